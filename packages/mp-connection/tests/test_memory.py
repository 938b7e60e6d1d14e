"""A large message needs its own size once where it is received."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import gc
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mp_connection_forks import forked

from mp_connection import Connection, Pipe
from mp_connection._parts import AT_ONCE, part_of
from mp_connection.channel import (
    PacketChannel,
    packet_pair,
    pickle_message,
    ready_to_read,
    unpickle,
)
from mp_connection.handles import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection._parts import Part

Ends = tuple["Connection[Any, Any]", "Connection[Any, Any]"]
SIZE = 64 << 20
#: From here on memory of that size comes from the system and goes back to it.  What
#: glibc lets grow with what a process has freed makes figures depend on other tests.
_M_MMAP_THRESHOLD = -3
#: What else may be there for a moment.
MARGIN = 6 << 20
_THREADS = 150


def unix_ends() -> Ends:
    one, other = socket.socketpair()
    return Connection(one.detach()), Connection(other.detach())


def tcp_ends() -> Ends:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return Connection(one.detach()), Connection(other.detach())


@pytest.fixture(autouse=True, scope="module")
def _malloc() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 17)


@pytest.fixture(params=[unix_ends, tcp_ends])
def streams(request: pytest.FixtureRequest) -> Iterator[Ends]:
    one, other = request.param()
    with one, other:
        yield one, other


def resident(name: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at the peak."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) << 10
    raise LookupError(name)


def peak(function: Callable[[], Any]) -> tuple[int, Any]:
    """The most memory, in bytes, that a call takes besides; what it returns."""
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew (proc(5))
    before = resident("VmRSS")
    result = function()
    return resident("VmHWM") - before, result


def is_once(most: int) -> bool:
    """Whether this is what one large message takes."""
    # How much was there before and is used again is not known.
    return SIZE // 2 < most < SIZE + MARGIN


def make(kind: str) -> Any:
    if kind == "bytes":
        return {"data": b"x" * SIZE}
    if kind == "bytearray":
        return [bytearray(SIZE), "and more"]
    return pickle.PickleBuffer(bytearray(SIZE))


@pytest.mark.parametrize("solid", [True, False], ids=["bytes", "bytearray"])
def test_a_lying_length_takes_up_no_memory(solid: bool) -> None:
    """What has not arrived is not there, whatever was announced."""

    def receive_some() -> Part:
        part = part_of(AT_ONCE, solid)
        with part.view(1 << 20) as view:
            view[: 1 << 20] = b"x" * (1 << 20)
        return part

    most, part = peak(receive_some)
    assert most < MARGIN
    del part


def test_thread_pays_for_the_memory_that_its_messages_fill(backend: str) -> None:
    """Not for the longest one that might come."""
    pairs = [Pipe() for _ in range(_THREADS)]
    over = threading.Event()
    received = threading.Semaphore(0)

    def receive(connection: Connection[Any, int]) -> None:
        connection.recv()
        received.release()
        over.wait(20)

    threads = [threading.Thread(target=receive, args=(a,)) for a, _ in pairs]

    def receive_all() -> None:
        for thread, (_, b) in zip(threads, pairs, strict=True):
            thread.start()
            b.send(1)
            assert received.acquire(timeout=20)

    try:
        most, _ = peak(receive_all)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for a, b in pairs:
            a.close()
            b.close()
    assert most / _THREADS < 50_000


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "buffer"])
def test_objects_over_a_stream(streams: Ends, kind: str) -> None:
    a, b = streams
    with forked(lambda: a.send(make(kind))):
        assert b.poll(20)
        most, value = peak(b.recv)
    assert is_once(most)
    del value


def test_large_objects_in_a_row_are_sent_from_where_they_are(streams: Ends) -> None:
    """The first shows that the sender has such; a small one in between ends it."""
    a, b = streams
    value = make("bytes")

    def receive() -> None:
        for size in (SIZE, SIZE, 1, 1, SIZE, SIZE):
            assert len(b.recv()["data"]) == size

    with forked(receive):
        a.send(value)
        assert peak(lambda: a.send(value))[0] < MARGIN
        for _ in range(2):
            a.send({"data": b"x"})
        a.send(value)
        assert peak(lambda: a.send(value))[0] < MARGIN


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_over_a_pipe_are_sent_from_where_they_are(
    kind: type[bytes | bytearray],
) -> None:
    """No pickle of them is made, not even of the first one."""
    a, b = Pipe()
    value = kind(SIZE)

    def receive() -> None:
        assert b.recv() == value

    with a, b, forked(receive):
        most, _ = peak(lambda: a.send(value))
    assert most < MARGIN


def test_objects_with_a_list_over_a_stream() -> None:
    one, other = socket.socketpair()
    a = Connection[Any, Any](one.detach())
    b = Connection[Any, Any](other.detach(), allow=())
    with a, b, forked(lambda: a.send(make("bytes"))):
        assert b.poll(20)
        most, _ = peak(b.recv)
    assert is_once(most)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "buffer"])
def test_objects_over_a_pipe(kind: str) -> None:
    a, b = Pipe()
    with a, b, forked(lambda: a.send(make(kind))):
        assert b.poll(20)
        most, value = peak(b.recv)
    assert is_once(most)
    del value


def test_objects_over_a_channel_of_fragments() -> None:
    """As pools and queues have them; a descriptor and a buffer go along."""
    near, far = packet_pair(shared=False)
    a, b = PacketChannel(near), PacketChannel(far)

    def send() -> None:
        value = make("bytes"), pickle.PickleBuffer(bytearray(5)), far_handle
        a.send(pickle_message(value))

    far_handle = Handle(far.fileno())
    with forked(send):
        assert ready_to_read(b.fileno(), 20)
        most, value = peak(lambda: unpickle(b.recv()))
    assert is_once(most)
    assert len(value[0]["data"]) == SIZE
    value[2].close()
    a.close()
    b.close()


@pytest.mark.parametrize("make_ends", [Pipe, unix_ends, tcp_ends])
def test_bytes(make_ends: Callable[[], Ends]) -> None:
    a, b = make_ends()
    with a, b, forked(lambda: a.send_bytes(bytes(SIZE))):
        assert b.poll(20)
        most, _ = peak(b.recv_bytes)
    assert is_once(most)


def test_bytes_into_a_buffer(streams: Ends) -> None:
    a, b = streams
    buffer = bytearray(b"x") * SIZE
    with forked(lambda: a.send_bytes(bytes(SIZE))):
        assert b.poll(20)
        most, size = peak(lambda: b.recv_bytes_into(buffer))
    assert size == SIZE
    assert most < MARGIN
