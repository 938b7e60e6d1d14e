"""`Connection`: the manual's "Connection objects", and what it does not mention."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import array
import ctypes
import gc
import os
import pickle
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from mp_connection_forks import forked, in_child, open_descriptors

from mp_connection import (
    BufferTooShort,
    ChannelClosedError,
    Connection,
    FramingError,
    Pipe,
    UnpicklableError,
)

# Whatever carries the packets.
pytestmark = pytest.mark.usefixtures("backend")

Ends = tuple[Connection[Any, Any], Connection[Any, Any]]
SLICE = 0.2


@pytest.fixture
def ends() -> Iterator[Ends]:
    a, b = Pipe()
    with a, b:
        yield a, b


@pytest.fixture
def one_way() -> Iterator[Ends]:
    """A reader and a writer."""
    a, b = Pipe(False)
    with a, b:
        yield a, b


# ------------------------------------------------------------------------ the manual


def test_the_example_of_the_manual(ends: Ends) -> None:
    a, b = ends
    a.send([1, "hello", None])
    assert b.recv() == [1, "hello", None]
    b.send_bytes(b"thank you")
    assert a.recv_bytes() == b"thank you"
    arr1 = array.array("i", range(5))
    arr2 = array.array("i", [0] * 10)
    a.send_bytes(arr1)
    assert b.recv_bytes_into(arr2) == len(arr1) * arr1.itemsize
    assert arr2 == array.array("i", [0, 1, 2, 3, 4, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    "obj",
    [None, 0, "", b"", [], "x" * 70_000, b"\x80" * 300_000, list(range(50_000))],
    ids=lambda obj: f"{type(obj).__name__}-{len(pickle.dumps(obj))}",
)
def test_objects_arrive_equal(ends: Ends, obj: object) -> None:
    a, b = ends
    with forked(lambda: a.send(obj)):
        assert b.recv() == obj


@pytest.mark.parametrize(
    "size", [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 2**22]
)
def test_bytes_of_any_size_arrive(ends: Ends, size: int) -> None:
    a, b = ends
    data = os.urandom(size)

    def send() -> None:
        for buffer in (data, bytearray(data), memoryview(data)):
            a.send_bytes(buffer)

    with forked(send):
        for _ in range(3):
            received = b.recv_bytes()
            assert type(received) is bytes
            assert received == data


def test_objects_and_bytes_may_be_mixed_up(ends: Ends) -> None:
    a, b = ends
    a.send({"k": 1})
    assert pickle.loads(b.recv_bytes()) == {"k": 1}
    for protocol in range(6):
        a.send_bytes(pickle.dumps({"k": 2}, protocol))
        assert b.recv() == {"k": 2}


@pytest.mark.parametrize(
    "buffer",
    [
        array.array("d", [1.5, 2.5]),
        memoryview(b"abcdef")[1:4],
        memoryview(b"abcdef")[::2],
        memoryview(b"abcdef")[::-1],
        memoryview(bytes(range(12))).cast("B", (3, 4)),
        memoryview(bytes(range(24))).cast("h", (3, 4)),
        (ctypes.c_int * 3)(1, 2, 3),
        array.array("i"),
        memoryview(b""),
    ],
    ids=range(9),
)
def test_any_buffer_is_its_bytes(ends: Ends, buffer: Any) -> None:
    a, b = ends
    expected = memoryview(buffer).tobytes()
    a.send_bytes(buffer)
    assert b.recv_bytes() == expected
    if expected:
        a.send_bytes(buffer, 1)
        a.send_bytes(buffer, 1, 2)
        a.send_bytes(buffer, len(expected))
        assert [b.recv_bytes() for _ in range(3)] == [expected[1:], expected[1:3], b""]


def test_offset_and_size_of_what_is_sent(ends: Ends) -> None:
    a, b = ends
    data = b"abcdefghijklmnopqrstuvwxyz"
    right: list[tuple[tuple[Any, ...], bytes]] = [
        ((), data),
        ((5,), data[5:]),
        ((7, 8), data[7:15]),
        ((26,), b""),
        ((26, 0), b""),
        ((0, 0), b""),
        ((0, None), data),
    ]
    for arguments, expected in right:
        a.send_bytes(data, *arguments)
        assert b.recv_bytes() == expected
    wrong: list[tuple[int, int | None]] = [
        (27, None), (22, 5), (26, 1), (-1, None), (4, -1), (-1, 0), (0, 27)
    ]  # fmt: skip
    for offset, size in wrong:
        with pytest.raises(ValueError, match=r"offset|size|bytes"):
            a.send_bytes(data, offset, size)
    a.send("nothing else was sent")
    assert b.recv() == "nothing else was sent"


def test_offset_counts_bytes_and_not_items(ends: Ends) -> None:
    a, b = ends
    numbers = array.array("i", [1, 2, 3])
    a.send_bytes(numbers, 4, 4)
    target = array.array("i", [9, 9, 9])
    assert b.recv_bytes_into(target, 8) == 4
    assert target == array.array("i", [9, 9, 2])


@pytest.mark.parametrize("size", [0, 3, 70_000, 300_000])
@pytest.mark.parametrize("as_object", [False, True])
def test_receiving_into_memory(ends: Ends, size: int, as_object: bool) -> None:
    a, b = ends
    data = os.urandom(size)
    with forked(lambda: a.send(data) if as_object else a.send_bytes(data)):
        memory = bytearray(size + 100)
        count = b.recv_bytes_into(memory, 7)
        sent = pickle.dumps(data, 5) if as_object else data
        assert count == len(sent)
        assert memory == bytes(7) + sent + bytes(size + 93 - count)


def test_receiving_into_other_kinds_of_memory(ends: Ends) -> None:
    a, b = ends
    numbers = (ctypes.c_int32 * 3)()
    matrix = memoryview(bytearray(6)).cast("B", (2, 3))
    for memory in (numbers, matrix, memoryview(bytearray(4))[1:], bytearray()):
        a.send_bytes(b"\1\0\0"[: memoryview(memory).nbytes])
        assert b.recv_bytes_into(memory) == min(3, memoryview(memory).nbytes)
    assert numbers[0] == 1
    assert matrix.tobytes() == b"\1\0\0\0\0\0"


@pytest.mark.parametrize("size", [4, 1000, 100_000, 400_000])
def test_a_message_that_does_not_fit_is_in_the_error_whole(
    ends: Ends, size: int
) -> None:
    a, b = ends
    data = os.urandom(size)
    with forked(lambda: a.send_bytes(data)):
        memory = bytearray(10)
        with pytest.raises(BufferTooShort) as caught:
            b.recv_bytes_into(memory, 7)
    assert caught.value.args == (data,)
    assert memory == bytes(10)
    a.send("next")
    assert b.recv() == "next"


def test_memory_that_cannot_be_used_is_refused_before_anything_is_received(
    ends: Ends,
) -> None:
    a, b = ends
    a.send_bytes(b"abc")
    for memory in (b"read-only", memoryview(bytearray(9))[::2], memoryview(b"")):
        with pytest.raises(TypeError):
            b.recv_bytes_into(memory)
    for offset in (-1, 6):
        with pytest.raises(ValueError, match="offset"):
            b.recv_bytes_into(bytearray(5), offset)
    assert b.recv_bytes() == b"abc"


def test_a_limit_on_the_length(ends: Ends) -> None:
    a, b = ends
    for size, limit in ((0, 0), (3, 3), (3, None), (3, 10), (300, 1 << 40)):
        a.send_bytes(bytes(size))
        assert b.recv_bytes(limit) == bytes(size)
    with pytest.raises(ValueError, match="negative"):
        b.recv_bytes(-1)
    a.send_bytes(b"abcd")
    with pytest.raises(OSError, match="exceeds"):
        b.recv_bytes(3)
    # It is not readable any more, but writable still.
    assert not b.readable
    assert not b.closed
    for call in (b.recv, b.recv_bytes, b.poll, lambda: b.recv_bytes_into(bytearray(9))):
        with pytest.raises(OSError, match="not readable"):
            call()
    b.send("still writable")
    assert a.recv() == "still writable"


@pytest.mark.parametrize("size", [4, 100_000])
def test_a_limit_on_the_length_closes_what_could_only_be_read(
    one_way: Ends, size: int
) -> None:
    reader, writer = one_way
    writer.send_bytes(bytes(size))
    with pytest.raises(OSError, match="exceeds"):
        reader.recv_bytes(3)
    assert reader.closed
    with pytest.raises(BrokenPipeError):
        writer.send("x")


# ------------------------------------------------------------------- state, direction


def test_directions(one_way: Ends) -> None:
    reader, writer = one_way
    assert (reader.readable, reader.writable) == (True, False)
    assert (writer.readable, writer.writable) == (False, True)
    with pytest.raises(ChannelClosedError, match="not writable"):
        reader.send(1)
    for size in (1, 100_000):
        with pytest.raises(ChannelClosedError, match="not writable"):
            reader.send_bytes(bytes(size))
    for other in (writer.recv, writer.recv_bytes, writer.poll, lambda: writer.poll(1)):
        with pytest.raises(ChannelClosedError, match="not readable"):
            other()
    writer.send(1)
    assert reader.recv() == 1


def test_a_closed_connection_says_so(ends: Ends) -> None:
    a, b = ends
    b.send("unread")
    used = a.poll()
    assert used
    a.close()
    a.close()
    assert a.closed
    assert "closed" in repr(a)
    calls: list[Callable[[], object]] = [
        a.recv, a.recv_bytes, a.poll, a.fileno, lambda: a.send(1),
        lambda: a.poll(None), lambda: a.poll(0.1), lambda: a.send_bytes(b"x"),
        lambda: a.send_bytes(bytes(100_000)), lambda: a.recv_bytes_into(bytearray(1)),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ChannelClosedError, match="closed") as caught:
            call()
        assert isinstance(caught.value, OSError)


def test_the_context_manager_closes(ends: Ends) -> None:
    a, b = ends
    with a as same:
        assert same is a
        assert f"fd {a.fileno()}" in repr(a)
    assert a.closed
    with pytest.raises(EOFError):
        b.recv()


def test_what_was_sent_before_the_end_arrives(one_way: Ends) -> None:
    reader, writer = one_way
    for number in range(5):
        writer.send(number)
    writer.close()
    assert reader.poll()
    assert [reader.recv() for _ in range(5)] == list(range(5))
    for call in (reader.recv, reader.recv_bytes, reader.recv):
        assert reader.poll()
        with pytest.raises(EOFError):
            call()


def test_the_end_with_messages_unread_on_both_sides(ends: Ends) -> None:
    a, b = ends
    a.send("never read")
    b.send("read")
    b.close()
    assert a.recv() == "read"
    with pytest.raises(EOFError):
        a.recv()
    with pytest.raises(BrokenPipeError):
        a.send("x")


@pytest.mark.parametrize("send", ["send", "send_bytes"])
@pytest.mark.parametrize("size", [1, 30_000, 100_000])
def test_sending_to_nobody_is_a_broken_pipe(ends: Ends, send: str, size: int) -> None:
    a, b = ends
    a.send("unread, so that the first error is a reset")
    b.close()
    for _ in range(3):
        with pytest.raises(BrokenPipeError):
            getattr(a, send)(bytes(size))


def test_dropping_the_last_reference_closes() -> None:
    before = open_descriptors()
    a, b = Pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del a
        with pytest.raises(EOFError):
            b.recv()
        del b
    assert open_descriptors() == before


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_connections_in_reference_cycles_are_closed_without_a_warning() -> None:
    before = open_descriptors()
    for _ in range(10):
        ends: list[object] = [*Pipe(), *Pipe()]
        ends.append(ends)
        del ends
    gc.collect()
    assert open_descriptors() == before


def test_nor_is_there_a_warning_at_the_end_of_the_interpreter() -> None:
    program = """
import builtins
import mp_connection
class Holder: pass
holder = Holder()
holder.itself, holder.ends = holder, mp_connection.Pipe()
builtins.holder = holder
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=20, check=True)
    assert done.stderr == b""


def test_a_connection_made_of_a_descriptor() -> None:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a = Connection[object, object](first.detach())
    b = Connection[object, object](second.detach(), writable=False)
    with a, b:
        a.send([1])
        assert b.recv() == [1]
        with pytest.raises(ChannelClosedError):
            b.send(1)
        with pytest.raises(ValueError, match="readable or writable"):
            Connection(a.fileno(), False, False)
        assert not a.closed


def test_a_descriptor_that_is_not_open_is_refused() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Connection(read)
    with pytest.raises(ValueError, match="negative"):
        Connection(-1)


class Special(Connection[int, str]):
    """With attributes."""

    note: str


class Noting(Connection[Any, Any]):
    """Notes what its methods return, as programs do that log their messages."""

    noted: ClassVar[list[object]] = []

    def recv(self, timeout: float | None = None) -> Any:
        value = super().recv(timeout)
        self.noted.append(value)
        return value

    def send(self, obj: object) -> None:
        super().send(obj)
        self.noted.append(obj)


def test_methods_of_a_subclass_run_once_for_the_first_message() -> None:
    """The first one finds the connection unprepared, which is nobody's business."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near, far = Noting(one.detach()), Noting(other.detach())
    Noting.noted.clear()
    with near, far:
        near.send("first")
        assert far.recv() == "first"
        far.send("answer")
        assert near.recv() == "answer"
    assert Noting.noted == ["first", "first", "answer", "answer"]


def test_the_class_can_be_subscripted_and_subclassed() -> None:
    a, b = Pipe()
    special = Special(os.dup(a.fileno()))
    special.note = "n"
    special.send(5)
    assert b.recv() == 5
    a.send(special)
    arrived = b.recv()
    assert type(arrived) is Special
    for connection in (a, b, special, arrived):
        connection.close()


# ---------------------------------------------------------------------------- waiting


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 0.05, 0.45])
def test_poll_keeps_its_time_out(ends: Ends, timeout: float) -> None:
    a, b = ends
    start = time.monotonic()
    assert b.poll(timeout) is False
    assert max(timeout, 0) <= time.monotonic() - start < max(timeout, 0) + 0.5
    a.send(1)
    assert b.poll(timeout) is True
    assert b.poll() is True
    assert b.poll(None) is True
    assert b.recv() == 1


def test_poll_is_woken_by_a_message_and_by_the_end(ends: Ends) -> None:
    a, b = ends
    for event in (lambda: a.send(1), a.close):
        timer = threading.Timer(0.3, event)
        timer.start()
        start = time.monotonic()
        assert b.poll(10 if event == a.close else None)
        assert 0.2 < time.monotonic() - start < 5
        timer.join()
        if not a.closed:
            assert b.recv() == 1


def test_several_threads_may_poll(ends: Ends) -> None:
    a, b = ends
    found: list[bool] = []

    def poll() -> None:
        for _ in range(50):
            b.poll()
        found.append(b.poll(10))

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    a.send(1)
    for thread in threads:
        thread.join(5)
    assert found == [True] * 4


@pytest.mark.parametrize("what", ["recv", "recv_bytes", "poll", "send", "send large"])
def test_close_ends_what_blocks_in_another_thread(ends: Ends, what: str) -> None:
    a, b = ends

    def send(size: int) -> None:
        while True:
            a.send_bytes(bytes(size))

    calls: dict[str, Callable[[], object]] = {
        "recv": a.recv,
        "recv_bytes": a.recv_bytes,
        "poll": lambda: a.poll(None),
        "send": lambda: send(5000),
        "send large": lambda: send(4 << 20),
    }
    errors: list[BaseException] = []

    def run() -> None:
        try:
            calls[what]()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.1)
    number = a.fileno()
    start = time.monotonic()
    a.close()
    # The number stands for something else at once, where there is much to read.
    read, write = os.pipe()
    os.write(write, b"something else")
    assert number in (read, write)
    thread.join(5)
    assert time.monotonic() - start < SLICE + 0.5
    assert [type(error) for error in errors] == [ChannelClosedError]
    assert os.read(read, 100) == b"something else"
    os.close(read)
    os.close(write)
    assert not b.closed


def test_a_blocked_send_goes_on_after_a_slice(ends: Ends) -> None:
    a, b = ends
    data = os.urandom(3000)

    def send() -> None:
        for number in range(300):
            a.send((number, data))

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(2.5 * SLICE)
    assert [b.recv() for _ in range(300)] == [(n, data) for n in range(300)]
    thread.join(5)
    assert not b.poll()


# ----------------------------------------------------------------------------- errors


def test_an_object_that_cannot_be_pickled_sends_nothing(ends: Ends) -> None:
    a, b = ends
    with pytest.raises(UnpicklableError) as caught:
        a.send({"k": [1, lambda: None]})
    assert caught.value.path == "object['k'][1]"
    assert not b.poll()
    a.send(1)
    assert b.recv() == 1


def test_what_is_no_message_is_a_framing_error_and_costs_only_itself(
    ends: Ends,
) -> None:
    a, b = ends
    for packet in (b"\1", b"\2x", b"\x7f", b"\0" + bytes(80_000)):
        for receive in (b.recv, b.recv_bytes, lambda: b.recv_bytes_into(bytearray(9))):
            a._channel.sock.send(packet)
            with pytest.raises(FramingError):
                receive()
    a.send(1)
    assert b.recv() == 1


class Interruption(BaseException):
    """What a signal handler raises; like KeyboardInterrupt."""


def test_interruptions_lose_no_object(ends: Ends) -> None:
    a, b = ends
    sizes = [1, 100_000, 10, 300, 500_000] * 60

    def send() -> None:
        for number, size in enumerate(sizes):
            if number % 2:
                a.send((number, bytes(size)))
            else:
                a.send_bytes(pickle.dumps((number, bytes(size))))

    def receive() -> None:
        armed = False
        interrupted = 0

        def interrupt(*_: object) -> None:
            nonlocal armed
            if armed:
                armed = False
                raise Interruption

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
        got: list[tuple[int, bytes]] = []
        while len(got) < len(sizes):
            try:
                armed = True
                got += (b.recv(),)
                armed = False
            except Interruption:
                interrupted += 1
                b.poll()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert sorted(number for number, _ in got) == list(range(len(sizes)))
        assert all(len(data) == sizes[number] for number, data in got)
        assert interrupted > 5

    with forked(send):
        in_child(receive)


def test_an_interrupted_wait_ends_at_once(ends: Ends) -> None:
    _, b = ends

    def child() -> None:
        def interrupt(*_: object) -> None:
            raise Interruption

        signal.signal(signal.SIGALRM, interrupt)
        for call in (b.recv, b.recv_bytes, lambda: b.poll(None)):
            start = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interruption):
                call()
            assert time.monotonic() - start < 10

    in_child(child)


def test_interrupted_receiving_into_memory_leaves_the_memory_to_its_owner(
    ends: Ends,
) -> None:
    a, b = ends
    data = os.urandom(8 << 20)

    def receive() -> None:
        def interrupt(*_: object) -> None:
            raise Interruption

        signal.signal(signal.SIGALRM, interrupt)
        memory = bytearray(len(data))
        signal.setitimer(signal.ITIMER_REAL, 0.0015)
        try:
            b.recv_bytes_into(memory)
        except Interruption:
            # Nothing refers to it any more: it can be used for something else.
            memory[:] = b"x"
            memory.clear()
            assert b.recv_bytes() == data
        else:
            assert memory == data

    for _ in range(5):
        with forked(lambda: a.send_bytes(data)):
            in_child(receive)


LATE = """
from mp_connection import Pipe

class Late:
    def __init__(self):
        self.near, far = Pipe()
        far.close()

    def __del__(self):
        near = self.near
        for call in (lambda: near.send(1), lambda: near.send_bytes(b"1"), near.recv):
            try:
                call()
            except Exception as error:
                print(type(error).__name__)

late = Late()
"""


def test_when_the_interpreter_ends_errors_are_what_they_are() -> None:
    """Finalizers still use connections when nothing can be imported any more."""
    done = subprocess.run(
        [sys.executable, "-c", LATE],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert (done.stdout.split(), done.stderr) == (
        ["BrokenPipeError", "BrokenPipeError", "EOFError"],
        "",
    )
