"""A telegraph office: mp-connection as a program uses it that installs nothing else."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, assert_type

from mp_connection import (
    AuthenticationError,
    BufferTooShort,
    ChannelClosedError,
    Client,
    Connection,
    FramingError,
    HandleError,
    Listener,
    NotAllowedError,
    Pipe,
    ProcessError,
    TimeoutError,
    UnpicklableError,
    __version__,
    answer_challenge,
    deliver_challenge,
    get_logger,
    log_to_stderr,
    wait,
)


@dataclass(frozen=True)
class Telegram:
    to: str
    words: tuple[str, ...]


Receipt: TypeAlias = tuple[Literal["sent"], int]
Desk: TypeAlias = Connection[Telegram, Receipt]
Clerk: TypeAlias = Connection[Receipt, Telegram]

KEY = b"a key for an example"


def serve(clerk: Clerk, telegrams: int) -> None:
    for _ in range(telegrams):
        telegram = clerk.recv(timeout=60)
        assert_type(telegram, Telegram)
        clerk.send(("sent", len(telegram.words)))


def hand_in(desk: Desk, words: int) -> int:
    desk.send(Telegram("anybody", ("stop",) * words))
    verdict, count = desk.recv(timeout=60)
    assert_type(verdict, Literal["sent"])
    return count


def over_a_pipe() -> list[int]:
    desk: Desk
    clerk: Clerk
    desk, clerk = Pipe()
    with desk, clerk:
        thread = threading.Thread(target=serve, args=(clerk, 2))
        thread.start()
        counts = [hand_in(desk, words) for words in (1, 2)]
        thread.join()
    return counts


def over_a_socket() -> int:
    with Listener[Receipt, Telegram](authkey=KEY) as listener:

        def accept() -> None:
            with listener.accept(timeout=60) as clerk:
                serve(clerk, 1)

        thread = threading.Thread(target=accept)
        thread.start()
        desk: Desk
        with Client(listener.address, authkey=KEY, allow=[Telegram]) as desk:
            count = hand_in(desk, 3)
        thread.join()
    return count


async def in_an_event_loop() -> Receipt:
    with Listener[Receipt, Telegram]() as listener:
        desk: Desk
        with Client(listener.address) as desk, await listener.aaccept() as clerk:
            await desk.asend(Telegram("nobody", ()))
            await clerk.asend(("sent", len((await clerk.arecv()).words)))
            await clerk.asend_bytes(b"bytes")
            receipt = await desk.arecv()
            assert await desk.arecv_bytes() == b"bytes"
    return receipt


def waiting() -> list[str]:
    first: tuple[Connection[str, str], Connection[str, str]] = Pipe()
    second: tuple[Connection[str, str], Connection[str, str]] = Pipe()
    first[0].send("one")
    second[0].send("two")
    found = [ready.recv() for ready in wait([first[1], second[1]], timeout=60)]
    near, far = socket.socketpair()
    assert_type(wait([near, far], timeout=0), list[socket.socket])
    for end in (*first, *second, near, far):
        end.close()
    return sorted(found)


def prove(end: Connection[Any, Any], mine: bytes) -> None:
    deliver_challenge(end, mine, digest_name="sha256")
    answer_challenge(end, mine)


def both_prove() -> None:
    near, far = Pipe()
    thread = threading.Thread(target=prove, args=(near, KEY))
    thread.start()
    answer_challenge(far, KEY)
    deliver_challenge(far, KEY)
    thread.join()
    near.close()
    far.close()


def explain(error: ProcessError) -> str:
    match error:
        case UnpicklableError(path=path):
            assert_type(path, str)
            return f"cannot be sent: {path}"
        case NotAllowedError(module=module, name=name):
            assert_type((module, name), tuple[str, str])
            return f"is not let in: {module}.{name}"
        case BufferTooShort(args=(message, *_)):
            return f"does not fit: {message!r}"
        case TimeoutError() | AuthenticationError() | HandleError():
            return type(error).__name__
        case ChannelClosedError(errno=number) | FramingError(errno=number):
            assert_type(number, int | None)
            return f"the line is dead: {number}"
    return str(error)


def mistaken() -> str:
    near, far = Pipe()
    with near, far:
        try:
            near.send({"a lambda": lambda: None})
        except ProcessError as error:
            return explain(error)
    return "sent"


def main() -> None:
    assert_type(log_to_stderr("WARNING"), logging.Logger)
    assert get_logger() is logging.getLogger("multiprocessing")
    both_prove()
    print(__version__, over_a_pipe(), over_a_socket(), asyncio.run(in_an_event_loop()))
    print(waiting(), mistaken())


if __name__ == "__main__":
    main()
