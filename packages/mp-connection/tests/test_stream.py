"""`Connection` over byte streams: sockets, pipes, FIFOs; the channel beneath."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import array
import os
import pickle
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from mp_connection_forks import forked

from mp_connection import (
    BufferTooShort,
    ChannelClosedError,
    Connection,
    FramingError,
    HandleError,
    Pipe,
    TimeoutError,
    UnpicklableError,
    wait,
)
from mp_connection._stream import StreamChannel, adopt_stream

Ends = tuple["Connection[Any, Any]", "Connection[Any, Any]"]
LARGE = 3_000_000


def unix_ends() -> tuple[int, int]:
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def tcp_ends() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return one.detach(), other.detach()


@pytest.fixture(params=[unix_ends, tcp_ends])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    one, other = map(Connection[Any, Any], request.param())
    with one, other:
        yield one, other


@pytest.fixture
def unix() -> Iterator[Ends]:
    one, other = map(Connection[Any, Any], unix_ends())
    with one, other:
        yield one, other


class Started:
    """A function that runs in a thread."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._result: list[object] = []
        self._errors: list[BaseException] = []

        def run() -> None:
            try:
                self._result.append(function())
            except BaseException as error:
                self._errors.append(error)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def result(self) -> object:
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._errors:
            raise self._errors[0]
        return self._result[0]


def repeat(call: Callable[[], object]) -> None:
    """Call until it raises."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        call()
        time.sleep(0.01)


# ----------------------------------------------------------------------- messages


def test_objects_go_both_ways(ends: Ends) -> None:
    one, other = ends
    for sent in ([1, "two", None], {"a": b"b"}, b"", 0):
        one.send(sent)
        assert other.recv() == sent
        other.send(sent)
        assert one.recv() == sent


@pytest.mark.parametrize("size", [0, 1, 4, 16384, 16385, 65536, 65537, LARGE])
def test_bytes_of_any_size_arrive_whole(ends: Ends, size: int) -> None:
    one, other = ends
    data = os.urandom(size)
    sending = Started(lambda: one.send_bytes(data))
    assert other.recv_bytes() == data
    sending.result()


@pytest.mark.parametrize("make", [bytes, bytearray])
def test_large_buffers_in_objects_arrive(
    ends: Ends, make: Callable[[bytes], object]
) -> None:
    one, other = ends
    sent = [make(os.urandom(LARGE)), "between", make(b"small")]
    sending = Started(lambda: one.send(sent))
    assert other.recv() == sent
    sending.result()


def test_a_large_buffer_is_sent_from_where_it_lies(unix: Ends) -> None:
    one, other = unix
    chunks: list[object] = []
    parts = one._channel.send_parts  # type: ignore[attr-defined]

    class Spy:
        def __getattr__(self, name: str) -> object:
            return getattr(channel, name)

        def send_parts(self, given: list[Any], *rest: object) -> None:
            chunks.extend(memoryview(part).obj for part in given)
            parts(given, *rest)

    channel, one._channel = one._channel, Spy()  # type: ignore[assignment]
    data = bytes(LARGE)
    # The first one tells that this end sends large objects.
    for _ in range(2):
        sending = Started(lambda: one.send([data]))
        assert other.recv() == [data]
        sending.result()
    assert any(chunk is data for chunk in chunks)


def test_out_of_band_buffers_are_sent_in_band(ends: Ends) -> None:
    one, other = ends
    sent = pickle.PickleBuffer(bytearray(LARGE))
    sending = Started(lambda: one.send([sent, sent]))
    first, second = other.recv()
    sending.result()
    assert first == second == bytes(LARGE)


def test_what_send_sent_is_a_pickle(ends: Ends) -> None:
    one, other = ends
    one.send(["x", 1])
    assert pickle.loads(other.recv_bytes()) == ["x", 1]


def test_sections_of_any_buffer(ends: Ends) -> None:
    one, other = ends
    numbers = array.array("i", range(5))
    one.send_bytes(numbers, 4, 8)
    assert other.recv_bytes() == struct.pack("ii", 1, 2)
    into = array.array("i", [0] * 10)
    one.send_bytes(numbers)
    assert other.recv_bytes_into(into, 4) == 20
    assert into.tolist() == [0, 0, 1, 2, 3, 4, 0, 0, 0, 0]
    for offset, size in ((-1, None), (21, None), (0, -1), (1, 20)):
        with pytest.raises(ValueError):  # noqa: PT011
            one.send_bytes(numbers, offset, size)


def test_a_large_message_goes_straight_into_the_buffer(ends: Ends) -> None:
    one, other = ends
    data = os.urandom(LARGE)
    into = bytearray(LARGE + 7)
    sending = Started(lambda: one.send_bytes(data))
    assert other.recv_bytes_into(into, 3) == LARGE
    sending.result()
    assert into[3:-4] == data


def test_a_buffer_that_is_too_short(ends: Ends) -> None:
    one, other = ends
    one.send_bytes(b"too long")
    with pytest.raises(BufferTooShort) as caught:
        other.recv_bytes_into(bytearray(5))
    assert caught.value.args[0] == b"too long"
    one.send_bytes(b"next")
    assert other.recv_bytes() == b"next"


def test_a_message_longer_than_maxlength_ends_reading(ends: Ends) -> None:
    one, other = ends
    one.send_bytes(b"12345")
    assert other.recv_bytes(5) == b"12345"
    one.send_bytes(b"123456")
    with pytest.raises(OSError, match="6 bytes is longer than the 5 allowed"):
        other.recv_bytes(5)
    with pytest.raises(ChannelClosedError, match="not readable"):
        other.recv_bytes()
    other.send("still writable")
    assert one.recv() == "still writable"
    with pytest.raises(ValueError, match="negative"):
        one.recv_bytes(-1)


def test_the_frames_are_those_of_the_standard_library() -> None:
    fd, raw = unix_ends()
    with Connection[Any, Any](fd) as connection, socket.socket(fileno=raw) as peer:
        connection.send_bytes(b"abc")
        assert peer.recv(100) == b"\0\0\0\3abc"
        peer.sendall(b"\xff\xff\xff\xff" + bytes(7) + b"\3xyz")
        assert connection.recv_bytes() == b"xyz"


@pytest.mark.parametrize("garbage", [b"\x80\0\0\0", b"GET / HTTP/1.1\r\n\r\n"])
def test_garbage_is_an_error(garbage: bytes) -> None:
    fd, raw = unix_ends()
    with Connection[Any, Any](fd) as connection, socket.socket(fileno=raw) as peer:
        peer.sendall(garbage)
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises((FramingError, EOFError)):
            connection.recv()
        with pytest.raises((ChannelClosedError, EOFError)):
            connection.recv()


def test_a_lying_header_takes_no_memory() -> None:
    fd, raw = unix_ends()
    with Connection[Any, Any](fd) as connection, socket.socket(fileno=raw) as peer:
        peer.sendall(b"\xff\xff\xff\xff" + (1 << 50).to_bytes(8, "big") + b"abc")
        peer.close()
        with pytest.raises(EOFError, match="middle of a message"):
            connection.recv_bytes()


def test_an_object_that_cannot_be_pickled(ends: Ends) -> None:
    one, other = ends
    with pytest.raises(UnpicklableError, match=r"object\[1\]"):
        one.send([1, lambda: None])
    one.send("next")
    assert other.recv() == "next"


def test_a_message_that_is_no_pickle(ends: Ends) -> None:
    one, other = ends
    one.send_bytes(b"")
    with pytest.raises(pickle.UnpicklingError):
        other.recv()
    one.send("next")
    assert other.recv() == "next"


# ------------------------------------------------------------------- end and state


def test_the_far_end_is_closed(ends: Ends) -> None:
    one, other = ends
    one.send("last")
    one.close()
    assert other.recv() == "last"
    with pytest.raises(EOFError):
        other.recv()
    with pytest.raises(BrokenPipeError):
        repeat(lambda: other.send("x"))  # TCP: once the far end has answered


def test_the_far_end_is_closed_with_bytes_unread(ends: Ends) -> None:
    one, other = ends
    other.send("never read")
    one.send("last")
    assert one.poll(5)
    one.close()
    if other._channel.carries_handles:  # type: ignore[attr-defined]
        assert other.recv() == "last"  # TCP drops it
    with pytest.raises(EOFError):
        repeat(other.recv)


def test_a_closed_connection_refuses(ends: Ends) -> None:
    one, _ = ends
    one.close()
    one.close()
    assert one.closed
    calls: list[Callable[[], object]] = [
        one.fileno, one.recv, one.recv_bytes, one.poll, lambda: one.send(1),
        lambda: one.send_bytes(b""),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ChannelClosedError, match="closed"):
            call()


def test_directions_of_a_pipe() -> None:
    read, write = os.pipe()
    with (
        Connection[Any, Any](read, writable=False) as reader,
        Connection[Any, Any](write, readable=False) as writer,
    ):
        sending = Started(lambda: writer.send(bytes(LARGE)))
        assert reader.recv() == bytes(LARGE)
        sending.result()
        with pytest.raises(ChannelClosedError, match="not writable"):
            reader.send(1)
        with pytest.raises(ChannelClosedError, match="not readable"):
            writer.recv()
        with pytest.raises(HandleError, match="FIFO"):
            writer.send(writer)
        writer.close()
        with pytest.raises(EOFError):
            reader.recv()


def test_a_fifo(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    with Connection[Any, Any](both) as connection:
        connection.send("to myself")
        assert connection.poll()
        assert connection.recv() == "to myself"
        assert not connection.poll()
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.01)


def test_a_descriptor_that_is_not_open() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Connection(fd)
    with pytest.raises(ValueError, match="negative"):
        Connection(-1)


def test_a_subclass_keeps_its_methods(unix: Ends) -> None:
    class Loud(Connection[Any, Any]):
        def send(self, obj: object) -> None:
            super().send(["loud", obj])

    one, other = map(Loud, unix_ends())
    with one, other:
        assert isinstance(one, Loud)
        one.send(1)
        assert other.recv() == ["loud", 1]


def test_what_it_is_called(unix: Ends) -> None:
    one, _ = unix
    assert repr(one) == f"<mp_connection.Connection fd {one.fileno()}>"
    assert isinstance(one, Connection)


def test_o_nonblock_of_somebody_else_does_no_harm(ends: Ends) -> None:
    one, other = ends
    os.set_blocking(one.fileno(), False)
    sending = Started(lambda: one.send_bytes(bytes(LARGE)))
    assert other.recv_bytes() == bytes(LARGE)
    sending.result()
    receiving = Started(one.recv)
    other.send("x")
    assert receiving.result() == "x"
    assert not os.get_blocking(one.fileno())


def test_o_nonblock_is_never_set(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    socket.setdefaulttimeout(5)
    try:
        fds = unix_ends()
        for fd in fds:
            os.set_blocking(fd, True)
        one, other = map(Connection[Any, Any], fds)
    finally:
        socket.setdefaulttimeout(None)
    with one, other:
        one.send("x")
        assert other.recv(timeout=5) == "x"
        assert os.get_blocking(one.fileno())
        assert os.get_blocking(other.fileno())


# ----------------------------------------------------------------------- deadlines


def test_recv_with_a_deadline(ends: Ends) -> None:
    one, other = ends
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        other.recv(timeout=0.05)
    assert 0.04 < time.monotonic() - begun < 5
    one.send("x")
    assert other.recv(timeout=5) == "x"
    one.send("x")
    assert other.poll(5)
    assert other.recv(timeout=0) == "x"


def test_the_deadline_covers_the_whole_message() -> None:
    fd, raw = unix_ends()
    with Connection[Any, Any](fd) as connection, socket.socket(fileno=raw) as peer:
        message = pickle.dumps("x" * 100_000)
        frame = struct.pack(">i", len(message)) + message
        for piece in (frame[:2], frame[2:9], frame[9:-1]):
            peer.sendall(piece)
            assert connection.poll(5)
            with pytest.raises(TimeoutError):
                connection.recv(timeout=0.02)
            # What has arrived is kept and is no reason to try again.
            assert not connection.poll()
            assert wait([connection], 0) == []
        peer.sendall(frame[-1:])
        assert connection.recv(timeout=5) == "x" * 100_000


def test_recv_with_a_deadline_over_packets() -> None:
    one, other = Pipe()
    with one, other:
        with pytest.raises(TimeoutError):
            other.recv(timeout=0.02)
        one.send("x")
        assert other.recv(timeout=5) == "x"
        sending = Started(lambda: one.send(bytearray(LARGE)))
        assert other.recv(timeout=5) == bytearray(LARGE)
        sending.result()


def test_a_send_whose_deadline_passes_half_way_is_completed_by_the_next() -> None:
    fds = unix_ends()
    sender = StreamChannel(adopt_stream(fds[0]))
    with Connection[Any, Any](fds[1]) as receiver:
        with pytest.raises(BlockingIOError):
            sender.send_parts([bytes(LARGE)], (), time.monotonic() + 0.05)
        assert not sender.idle
        sending = Started(lambda: sender.send_parts([b"next"]))
        assert receiver.recv_bytes() == bytes(LARGE)
        assert receiver.recv_bytes() == b"next"
        sending.result()
    sender.close()


def test_a_sender_that_is_killed_half_way_is_the_end(unix: Ends) -> None:
    one, other = unix
    pid = os.fork()
    if not pid:
        try:
            other.close()
            one.send_bytes(bytes(50 << 20))
        finally:
            os._exit(1)
    one.close()
    assert other.poll(5)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with pytest.raises(EOFError, match="middle"):
        other.recv()


# ------------------------------------------------------------------------- handles


def test_connections_travel_over_unix_streams(unix: Ends) -> None:
    one, other = unix
    mine, theirs = Pipe()
    with mine, theirs:
        one.send({"pipe": theirs, "text": "x"})
        received = other.recv()
        with received["pipe"] as pipe:
            mine.send("through the copy")
            assert pipe.recv() == "through the copy"


def test_stream_connections_travel_too(unix: Ends) -> None:
    one, other = unix
    fds = tcp_ends()
    mine, theirs = map(Connection[Any, Any], fds)
    packets, far = Pipe()
    with mine, theirs, packets, far:
        one.send(theirs)
        packets.send(theirs)
        for carrier in (other, far):
            with carrier.recv() as copy:
                assert type(copy) is type(theirs)
                copy.send("x")
                assert mine.recv() == "x"


def test_sockets_travel(unix: Ends) -> None:
    one, other = unix
    first, second = socket.socketpair()
    with first, second:
        one.send([first])
        (copy,) = other.recv()
        with copy:
            second.sendall(b"x")
            assert copy.recv(1) == b"x"


@pytest.mark.parametrize("count", [1, 252, 253, 254, 506, 600])
def test_many_handles(unix: Ends, count: int) -> None:
    one, other = unix
    mine, theirs = Pipe()
    with mine, theirs:
        one.send([theirs] * 1)
        other.recv()[0].close()
        # Distinct objects of one descriptor: the pickler remembers what it has seen.
        copies = [Connection[Any, Any](os.dup(theirs.fileno())) for _ in range(count)]
        sending = Started(lambda: one.send(copies))
        received = other.recv()
        sending.result()
        assert len(received) == count
        received[-1].send("x")
        assert mine.recv() == "x"
        for connection in [*received, *copies]:
            connection.close()
        one.send("next")
        assert other.recv() == "next"


def test_handles_that_nobody_takes_are_closed(unix: Ends) -> None:
    one, other = unix
    before = len(os.listdir("/proc/self/fd"))
    one.send([one, one, Explosive()])
    with pytest.raises(RuntimeError, match="boom"):
        other.recv()
    one.send(one)
    assert other.recv_bytes()
    one.send(one)
    assert other.poll(5)
    assert len(os.listdir("/proc/self/fd")) == before


def explode() -> NoReturn:
    raise RuntimeError("boom")


class Explosive:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return explode, ()


def test_handles_do_not_travel_over_tcp() -> None:
    one, other = map(Connection[Any, Any], tcp_ends())
    with one, other:
        with pytest.raises(HandleError, match="not over TCP"):
            one.send([one])
        one.send("next")
        assert other.recv() == "next"


def test_a_standard_peer_gets_an_ordinary_unpickling_error(unix: Ends) -> None:
    one, other = unix
    one.send([one])
    with pytest.raises(pickle.UnpicklingError, match="persistent"):
        pickle.loads(other.recv_bytes())


def test_a_connection_within_a_message_does_not_travel(unix: Ends) -> None:
    fd, raw = unix_ends()
    with Connection[Any, Any](fd) as connection, socket.socket(fileno=raw) as peer:
        peer.sendall(b"\0\0")
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.01)
        with pytest.raises(HandleError, match="in the middle of a message"):
            unix[0].send(connection)


def test_a_receiver_that_may_open_no_more_files(unix: Ends) -> None:
    import resource

    one, other = unix
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    one.send([one, "lost"])
    one.send("next")
    # No further number is free below the limit.
    holes = max(int(fd) for fd in os.listdir("/proc/self/fd")) + 1
    fillers = [os.dup(0) for _ in range(holes)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(fillers) + 1, limits[1]))
        with pytest.raises(HandleError, match="RLIMIT_NOFILE"):
            other.recv()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in fillers:
            os.close(fd)
    assert other.recv() == "next"


# ------------------------------------------------------------- threads and signals


def test_threads_send_and_receive_whole_messages(ends: Ends) -> None:
    one, other = ends
    count, threads = 60, 4

    def send(number: int) -> None:
        for index in range(count):
            one.send([number, index, bytes(index * 997)])

    got: list[tuple[int, int]] = []

    def receive() -> None:
        for _ in range(count):
            number, index, data = other.recv(timeout=20)
            assert len(data) == index * 997
            got.append((number, index))

    started = [Started(lambda n=n: send(n)) for n in range(threads)]  # type: ignore[misc]
    started += [Started(receive) for _ in range(threads)]
    for thread in started:
        thread.result()
    assert sorted(got) == [(n, i) for n in range(threads) for i in range(count)]


def test_a_close_ends_a_recv_in_another_thread(ends: Ends) -> None:
    one, _ = ends
    receiving = Started(one.recv)
    time.sleep(0.05)
    one.close()
    with pytest.raises(ChannelClosedError):
        receiving.result()


def test_a_fork_while_a_thread_receives_leaves_no_lock(unix: Ends) -> None:
    one, other = unix
    receiving = Started(other.recv)
    time.sleep(0.05)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with pytest.raises(TimeoutError):
                other.recv(timeout=0.01)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    one.send("x")
    assert receiving.result() == "x"


class Interrupted(BaseException):
    """What the signal handler raises."""


# Python drops an exception that a handler raises while a finalizer runs, and warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_recv_loses_nothing(ends: Ends) -> None:
    one, other = ends
    interruptions = 0
    armed = False

    def handle(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Interrupted

    count = 300

    def send() -> None:
        for index in range(count):
            one.send([index, bytes(index % 7 * 20_000)])

    previous = signal.signal(signal.SIGALRM, handle)
    sending = Started(send)
    got: list[int] = []
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
        while len(got) < count:
            try:
                armed = True
                message = other.recv(20.0)
                armed = False  # no call, and so no handler, between the two
            except Interrupted:
                interruptions += 1
            else:
                got.append(message[0])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    sending.result()
    assert interruptions
    assert got == list(range(count))


def test_an_interrupted_send_is_completed_by_the_next(unix: Ends) -> None:
    one, other = unix

    def handle(*_: object) -> None:
        raise Interrupted

    previous = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupted):
            one.send_bytes(bytes(LARGE))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    sending = Started(lambda: one.send_bytes(b"next"))
    assert other.recv_bytes() == bytes(LARGE)
    assert other.recv_bytes() == b"next"
    sending.result()


def test_a_message_whose_unpickling_is_interrupted_is_kept(unix: Ends) -> None:
    one, other = unix
    one.send(InterruptsOnce())
    interruptions.append("once")
    with pytest.raises(Interrupted):
        other.recv()
    assert other.poll()
    assert wait([other], 5) == [other]
    assert other.recv() == "unpickled"
    assert not other.poll()


interruptions: list[str] = []


def interrupt() -> str:
    if interruptions:
        raise Interrupted(interruptions.pop())
    return "unpickled"


def test_a_large_object_that_is_interrupted_may_be_taken_as_bytes(unix: Ends) -> None:
    one, other = unix
    value = [b"x" * LARGE, InterruptsOnce()]
    interruptions.append("once")
    with forked(lambda: one.send(value)), pytest.raises(Interrupted):
        other.recv()
    assert other.recv_bytes() == pickle.dumps(value, 5)


@pytest.mark.parametrize("first", ["object", "bytes"])
def test_a_large_message_may_be_begun_in_one_way_and_ended_in_another(
    unix: Ends, first: str
) -> None:
    one, other = unix
    value = {"a": b"x" * LARGE, "b": bytearray(LARGE), "c": "text"}
    data = pickle.dumps(value, 5)
    frame = struct.pack(">i", len(data)) + data
    sending = os.dup(one.fileno())
    os.write(sending, frame[:100_000])
    if first == "object":
        with pytest.raises(TimeoutError):
            other.recv(timeout=0.01)
    else:
        with pytest.raises(BlockingIOError):
            other._channel.recv(time.monotonic())
    with forked(lambda: write_all(sending, frame[100_000:])):
        if first == "object":
            assert other.recv_bytes() == data
        else:
            assert other.recv() == value
    os.close(sending)


def write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


class InterruptsOnce:
    """Its unpickling is interrupted."""

    def __reduce__(self) -> tuple[object, ...]:
        return interrupt, ()
