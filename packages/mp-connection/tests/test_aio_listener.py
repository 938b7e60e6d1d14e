"""`Listener.aaccept`: handshakes side by side, in an event loop."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from mp_connection_forks import open_descriptors

from mp_connection import (
    AuthenticationError,
    ChannelClosedError,
    Client,
    Connection,
    Listener,
)

KEY = b"the key"
FAMILIES = ["AF_UNIX", "AF_INET"]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(40):
            return await work

    return asyncio.run(limited(), debug=True)


async def call(
    listener: Listener[Any, Any], key: bytes | None = None
) -> Connection[Any, Any]:
    return await asyncio.to_thread(Client, listener.address, authkey=key, timeout=20)


def stranger(listener: Listener[Any, Any]) -> socket.socket:
    family = socket.AF_UNIX if isinstance(listener.address, str) else socket.AF_INET
    sock = socket.socket(family)
    sock.connect(listener.address)
    return sock


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", [None, KEY])
def test_a_client_is_accepted(family: str, key: bytes | None) -> None:
    async def work() -> None:
        with Listener[Any, Any](family=family, authkey=key) as listener:
            accepting = asyncio.create_task(listener.aaccept())
            theirs = await call(listener, key)
            with await accepting as ours, theirs:
                await ours.asend("hello")
                assert await theirs.arecv() == "hello"

    before = open_descriptors()
    run(work())
    assert open_descriptors() == before


@pytest.mark.parametrize("family", FAMILIES)
def test_silent_clients_keep_nobody_waiting(family: str) -> None:
    async def work() -> None:
        with Listener[Any, Any](family=family, backlog=16, authkey=KEY) as listener:
            silent = [stranger(listener) for _ in range(8)]
            accepting = asyncio.create_task(listener.aaccept())
            theirs = await call(listener, KEY)
            (await accepting).close()
            theirs.close()
            for sock in silent:
                sock.close()

    run(work())


def test_many_tasks_and_many_clients() -> None:
    async def work() -> None:
        with Listener[Any, Any](backlog=16, authkey=KEY) as listener:
            accepting = [asyncio.create_task(listener.aaccept()) for _ in range(6)]
            clients = await asyncio.gather(*(call(listener, KEY) for _ in range(6)))
            for connection in (await asyncio.gather(*accepting), clients):
                for end in connection:
                    end.close()

    run(work())


def test_a_wrong_key() -> None:
    async def work() -> None:
        with Listener[Any, Any](authkey=KEY) as listener:
            accepting = asyncio.create_task(listener.aaccept())
            with pytest.raises(AuthenticationError):
                await call(listener, b"wrong")
            with pytest.raises(AuthenticationError):
                await accepting
            accepting = asyncio.create_task(listener.aaccept())
            theirs = await call(listener, KEY)
            (await accepting).close()
            theirs.close()

    before = open_descriptors()
    run(work())
    assert open_descriptors() == before


def test_silence_has_a_limit() -> None:
    async def work() -> None:
        with Listener[Any, Any](authkey=KEY, handshake_timeout=0.1) as listener:
            silent = stranger(listener)
            with pytest.raises(AuthenticationError, match="in time"):
                await listener.aaccept()
            silent.close()

    run(work())


def test_a_cancelled_accept_loses_no_client() -> None:
    async def work() -> None:
        with Listener[Any, Any](authkey=KEY) as listener:
            calling = asyncio.create_task(call(listener, KEY))
            ours = None
            while ours is None:
                try:
                    async with asyncio.timeout(0.002):
                        ours = await listener.aaccept()
                except TimeoutError:
                    pass
            ours.close()
            (await calling).close()

    run(work())


@pytest.mark.parametrize("by_thread", [False, True])
def test_close_ends_the_accept(by_thread: bool) -> None:
    async def work() -> None:
        listener = Listener[Any, Any](authkey=KEY)
        silent = stranger(listener)
        accepting = asyncio.create_task(listener.aaccept())
        await asyncio.sleep(0.02)
        if by_thread:
            await asyncio.to_thread(listener.close)
        else:
            listener.close()
        with pytest.raises(ChannelClosedError, match="listener is closed"):
            await accepting
        silent.close()

    run(work())


def test_a_task_and_a_thread_accept() -> None:
    with Listener[Any, Any](backlog=16, authkey=KEY) as listener:
        done: list[Connection[Any, Any]] = []
        thread = threading.Thread(target=lambda: done.append(listener.accept(20)))
        thread.start()

        async def work() -> None:
            accepting = asyncio.create_task(listener.aaccept())
            clients = [await call(listener, KEY), await call(listener, KEY)]
            done.append(await accepting)
            for connection in clients:
                connection.close()

        run(work())
        thread.join(20)
        assert len(done) == 2
        for connection in done:
            connection.close()


def test_descriptors_stay_blocking() -> None:
    async def work() -> None:
        with Listener[Any, Any](authkey=KEY) as listener:
            accepting = asyncio.create_task(listener.aaccept())
            with await call(listener, KEY) as theirs, await accepting as ours:
                assert os.get_blocking(theirs.fileno())
                assert os.get_blocking(ours.fileno())

    run(work())
