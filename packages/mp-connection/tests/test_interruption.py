"""A signal handler that raises, at every point where one can run, loses no message."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import pickle
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest
from mp_connection_forks import in_child, open_descriptors

from mp_connection import Client, Connection, HandleError, Listener, Pipe, connection

# Whatever carries the packets.
pytestmark = pytest.mark.usefixtures("backend")

Ends = tuple["Connection[Any, Any]", "Connection[Any, Any]"]
HOME = os.path.dirname(connection.__file__)


def unix_ends() -> Ends:
    one, other = socket.socketpair()
    return Connection(one.detach()), Connection(other.detach())


def tcp_ends() -> Ends:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return Connection(one.detach()), Connection(other.detach())


class Interruption(BaseException):
    """What a handler raises; like KeyboardInterrupt."""


class Alarm(TimeoutError):
    """What another one raises; an OSError, as errors of system calls are."""


class Interrupter:
    """Raises in place of a signal handler, at one of the points where one may run.

    These are where a function begins and where a call of C code returns, both of which
    a profiler sees.  (They are also where a loop jumps back.)  In finalizers, whose
    errors nobody gets, it does not raise.
    """

    def __init__(self, point: int, kind: type[BaseException]) -> None:
        self._left = point
        self._kind = kind
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event not in ("call", "c_return"):
            return
        within: FrameType | None = frame
        if not frame.f_code.co_filename.startswith(HOME):
            return
        while within is not None:
            if within.f_code.co_name == "__del__":
                return
            within = within.f_back
        self._left -= 1
        if self._left < 0:
            sys.setprofile(None)
            code = frame.f_code
            self.where = f"{event} in {code.co_qualname}:{frame.f_lineno} {argument}"
            raise self._kind

    def run(self, function: Callable[[], object]) -> object:
        sys.setprofile(self)
        try:
            return function()
        finally:
            sys.setprofile(None)


def each_point(
    function: Callable[[], object],
    restart: Callable[[], object],
    kind: type[BaseException] = Interruption,
) -> int:
    """Interrupt a call at each of its points; after each, *restart* has to succeed."""
    for point in range(10_000):
        interrupter = Interrupter(point, kind)
        raised: type[BaseException] | None = None
        try:
            interrupter.run(function)
        except (kind, OSError) as error:
            raised = type(error)
        if not interrupter.where:
            return point
        assert raised is kind, f"not raised, or as another: {interrupter.where}"
        try:
            restart()
        except BaseException as error:
            error.add_note(f"after {interrupter.where}")
            raise
    raise AssertionError("too many points")


MESSAGES = {
    "small": "message",
    "large": [bytes(300_000), bytearray(70_000)],
    "larger": [bytes(500_000), bytearray(70_000)],
}


@pytest.fixture(params=[Pipe, unix_ends, tcp_ends])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    one, other = request.param()
    with one, other:
        yield one, other


def receives(name: str, b: Connection[Any, Any]) -> Callable[[], Any]:
    """A way to receive a message; it returns the object that was sent."""
    if name == "recv":
        return b.recv
    if name == "recv with a deadline":
        return lambda: b.recv(timeout=20)
    if name == "recv_bytes":
        return lambda: pickle.loads(b.recv_bytes())
    if name == "recv_bytes, bounded":
        return lambda: pickle.loads(b.recv_bytes(1 << 20))
    buffer = bytearray(1 << 20)
    return lambda: pickle.loads(memoryview(buffer)[: b.recv_bytes_into(buffer)])


@contextlib.contextmanager
def sent_by_a_thread(a: Connection[Any, Any]) -> Iterator[Callable[[object], None]]:
    """A function that leaves sending, and waiting for room, to a thread."""
    outbox: queue.SimpleQueue[object] = queue.SimpleQueue()

    def send() -> None:
        while (value := outbox.get()) is not None:
            a.send(value)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield outbox.put
    finally:
        outbox.put(None)
        thread.join(20)


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize(
    "name",
    ["recv", "recv with a deadline", "recv_bytes", "recv_bytes, bounded", "bytes into"],
)
@pytest.mark.parametrize("kind", [Interruption, Alarm])
def test_receiving(
    ends: Ends, name: str, message: str, kind: type[BaseException]
) -> None:
    a, b = ends
    value = MESSAGES[message]
    receive = receives(name, b)
    # An Exception in the middle of unpickling is taken for one of the object's.
    sure = kind is Interruption or "bytes" in name

    def restart() -> None:
        assert not sure or b.poll(20)
        send("end")
        got = list(iter(receive, "end"))
        assert got == [value] or (not sure and not got)
        send(value)

    with sent_by_a_thread(a) as send:
        send(value)
        assert each_point(receive, restart, kind) > 0


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize(
    ("by", "kind"),
    [
        ("send", Interruption),
        ("send", Alarm),
        ("send_bytes", Interruption),
        ("send_bytes", Alarm),
        # While that is pickled an Exception is taken for one of the object's.
        ("with a handle", Interruption),
    ],
)
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket object")
def test_sending(ends: Ends, by: str, message: str, kind: type[BaseException]) -> None:
    """A message is sent or not, and as a whole; what follows arrives."""
    a, b = ends
    if by == "with a handle" and not carries_handles(a, b):
        return
    value = MESSAGES[message]
    got: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive() -> None:
        while (value := b.recv()) is not None:
            if isinstance(value, tuple):
                value, pipe = value
                pipe.close()
            got.put(value)

    def send() -> None:
        if by == "send":
            a.send(value)
        elif by == "send_bytes":
            a.send_bytes(pickle.dumps(value))
        else:
            a.send((value, spare))

    def restart() -> None:
        a.send("end")
        arrived = list(iter(lambda: got.get(timeout=20), "end"))
        assert arrived in ([], [value])

    spare, other = Pipe()
    thread = threading.Thread(target=receive)
    thread.start()
    try:
        assert each_point(send, restart, kind) > 0
    finally:
        a.send(None)
        thread.join(20)
        spare.close()
        other.close()


def carries_handles(a: Connection[Any, Any], b: Connection[Any, Any]) -> bool:
    """Whether descriptors travel; not over TCP."""
    spare, other = Pipe()
    with spare, other:
        try:
            a.send(spare)
        except HandleError:
            return False
        b.recv().close()
        return True


def test_bytes_of_a_message_with_descriptors(ends: Ends) -> None:
    a, b = ends
    if not carries_handles(a, b):
        return
    spare, other = Pipe()
    sent = {"pipe": spare, "data": bytes(10)}

    def restart() -> None:
        assert b.poll(20)
        assert b.recv_bytes()
        assert not b.poll(0)
        a.send(sent)

    a.send(sent)
    before = open_descriptors()
    assert each_point(b.recv_bytes, restart) > 0
    assert open_descriptors() == before
    spare.close()
    other.close()


# ------------------------------------------------------------------------ real signals


def alarmed(function: Callable[[], object]) -> object:
    """Call a function, with an alarm that comes soon.

    And again: one that comes just before a system call, when the interpreter has looked
    for signals already, does not end that call.
    """
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.5)
    try:
        return function()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def blocked(name: str, b: Connection[Any, Any]) -> object:
    """Wait for ever."""
    if name == "poll":
        return b.poll(None)
    if name == "wait":
        return connection.wait([b])
    if name == "send":
        while True:
            b.send(None)
    if name == "send large":
        b.send(bytes(1 << 24))
    if name == "send_bytes":
        while True:
            b.send_bytes(bytes(1000))
    return receives(name, b)()


@pytest.mark.parametrize(
    "name",
    ["recv", "recv with a deadline", "recv_bytes", "recv_bytes, bounded", "bytes into",
     "poll", "wait", "send", "send large", "send_bytes"],
)  # fmt: skip
def test_an_alarm_ends_what_blocks(ends: Ends, name: str) -> None:
    _, b = ends

    def sound(*_: object) -> None:
        raise Alarm

    def child() -> None:
        signal.signal(signal.SIGALRM, sound)
        for _ in range(3):
            with pytest.raises(Alarm):
                alarmed(lambda: blocked(name, b))

    in_child(child)


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
def test_an_alarm_ends_listening_and_connecting(family: str) -> None:
    def sound(*_: object) -> None:
        raise Alarm

    def child() -> None:
        signal.signal(signal.SIGALRM, sound)
        with Listener[Any, Any](family=family, authkey=b"key") as listener:
            key, address = b"key", listener.address
            for function, arguments in (
                (listener.accept, {}),
                (listener.accept, {"timeout": 20}),
                (Client, {"address": address, "authkey": key}),
                (Client, {"address": address, "authkey": key, "timeout": 20}),
            ):
                call: Callable[[], object] = partial(function, **arguments)
                with pytest.raises(Alarm):
                    alarmed(call)

    in_child(child)
