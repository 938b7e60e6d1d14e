"""Strangers, wrong keys, garbage, limits and TLS."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

assert sys.platform == "linux"

import pytest
import trustme
from mp_managers_targets import Manager, settle

from mp_connection import AuthenticationError, Client, ProcessError
from mp_managers import ListProxy, RemoteError, TLSConfig
from mp_process import get_context
from mp_testing import StartMethod

KEY = b"a key of this test"
WAIT = 30


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self._path,)


def test_nothing_is_unpickled_without_the_key(tmp_path: Path) -> None:
    with Manager(authkey=KEY) as manager:
        numbers = manager.list([1])
        for key in (None, b"wrong"):
            try:
                with Client(manager.address, authkey=key) as stranger:
                    stranger.send((None, "create", (Trap(tmp_path / "x"),), {}))
                    stranger.recv(timeout=WAIT)
            except (AuthenticationError, EOFError, OSError):
                pass
        assert numbers[:] == [1]
    assert not (tmp_path / "x").exists()


def test_garbage_at_the_port_while_others_work() -> None:
    """Silence, noise, half messages: who knows the key goes on."""
    with Manager(("127.0.0.1", 0), KEY) as manager:
        numbers: ListProxy[int] = manager.list()
        address = manager.address
        strangers = []
        for noise in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\0\0\0\x05ab", b"\xff" * 400):
            stranger = socket.create_connection(address)
            stranger.sendall(noise)
            strangers.append(stranger)
            numbers.append(len(noise))
        with Client(address, authkey=KEY) as friend:
            friend.send_bytes(b"this is no pickle")
            assert friend.recv(timeout=WAIT)[0] == "#TRACEBACK"
        with Client(address, authkey=KEY) as friend:
            friend.send("no request")
            assert friend.recv(timeout=WAIT)[0] == "#TRACEBACK"
        threads = [threading.Thread(target=numbers.append, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert len(numbers) == 8
        for stranger in strangers:
            stranger.close()


def test_garbage_from_a_client_costs_that_client_only(manager: Manager) -> None:
    numbers = manager.list([1])
    with Client(manager.address, authkey=manager._authkey) as friend:
        friend.send((None, "accept_connection", ("somebody",), {}))
        assert friend.recv(timeout=WAIT) == ("#RETURN", None)
        requests: list[object] = [
            "text",
            (1, 2),
            (["list"], "x", (), {}),
            ("1", 2, 3, 4),
        ]
        for request in requests:
            friend.send(request)
            assert friend.recv(timeout=WAIT)[0] == "#TRACEBACK"
    with Client(manager.address, authkey=manager._authkey) as friend:
        hello = (1, "client", None, "name", ())
        friend.send((None, "attach", hello, {}))
        link = friend.recv(timeout=WAIT)[1][2]
        requests = ["text", (1, 2), (["list"], "x", (), {}), (None, "nothing", (), {})]
        for request in requests:
            link.send(request)
            assert link.recv(timeout=WAIT)[0] == "#TRACEBACK"
        link.close()
    assert numbers[:] == [1]


def test_a_client_that_stalls_holds_up_nobody(manager: Manager) -> None:
    """It asks for far more than the kernel keeps, and reads nothing."""
    numbers = manager.list(range(100_000))
    with Client(manager.address, authkey=manager._authkey) as friend:
        friend.send((None, "accept_connection", ("somebody",), {}))
        assert friend.recv(timeout=WAIT) == ("#RETURN", None)
        for _ in range(5):
            friend.send((numbers._id, "copy", (), {}))
        assert len(numbers) == 100_000


@pytest.mark.parametrize("address", [None, ("127.0.0.1", 0)], ids=["unix", "inet"])
def test_a_request_that_is_too_long(address: Any) -> None:
    with Manager(address, max_message=10_000) as manager:
        numbers: ListProxy[Any] = manager.list([1])
        with pytest.raises(RemoteError, match="too long"):
            numbers.append("x" * 20_000)
        numbers.append(3)
        assert numbers[:] == [1, 3]


def test_too_many_connections() -> None:
    with Manager(max_connections=2) as manager:
        numbers = manager.list([1])
        outcomes: list[object] = []
        ready, gate = threading.Event(), threading.Event()

        def use(wait: bool) -> None:
            try:
                outcomes.append(len(numbers))
            except ProcessError as error:
                outcomes.append(str(error))
            if wait:
                ready.set()
                gate.wait(WAIT)

        first = threading.Thread(target=use, args=(True,))
        first.start()
        assert ready.wait(WAIT)
        second = threading.Thread(target=use, args=(False,))
        second.start()
        second.join(WAIT)
        gate.set()
        first.join(WAIT)
        assert outcomes == [1, "the manager has 2 connections already"]
        settle(lambda: try_in_thread(numbers) == 1)


def try_in_thread(numbers: Any) -> object:
    outcome: list[object] = []

    def use() -> None:
        try:
            outcome.append(len(numbers))
        except ProcessError as error:
            outcome.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(WAIT)
    return outcome[0]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TLSConfig:
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    files = {name: directory / name for name in ("authority", "server", "client")}
    authority.cert_pem.write_to_path(str(files["authority"]))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(files["server"])
    )
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(
        str(files["client"])
    )
    return TLSConfig(
        certificate=files["server"],
        authority=files["authority"],
        client_certificate=files["client"],
        client_authority=files["authority"],
    )


def extend(numbers: Any) -> None:
    numbers.append(2)


def test_tls(start_method: StartMethod, tls: TLSConfig) -> None:
    context = get_context(start_method)
    with Manager(("127.0.0.1", 0), ctx=context, tls=tls) as manager:
        numbers = manager.list([1])
        child = context.Process(target=extend, args=(numbers,))
        child.start()
        child.join(WAIT)
        assert child.exitcode == 0
        assert numbers[:] == [1, 2]
        if start_method == "fork":
            nobody = TLSConfig(authority=tls.authority)
            with pytest.raises((AuthenticationError, EOFError, OSError)):
                Manager(manager.address, tls=nobody).connect()
            stranger = TLSConfig(client_certificate=tls.client_certificate)
            with pytest.raises(AuthenticationError) as caught:
                Manager(manager.address, tls=stranger).connect()
            assert isinstance(caught.value.__cause__, ssl.SSLError)
        assert numbers[:] == [1, 2]


def test_tls_needs_tcp_and_a_certificate(tls: TLSConfig) -> None:
    with pytest.raises(ValueError, match="TLS"):
        Manager(tls=tls).start()
    with pytest.raises(ValueError, match="certificate"):
        Manager(("127.0.0.1", 0), tls=TLSConfig()).start()
