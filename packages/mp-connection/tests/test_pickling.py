"""Objects to messages and back: buffers beside the pickle, sockets, what is torn."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import array
import os
import pickle
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from mp_connection_forks import forked, open_descriptors

from mp_connection import Connection, Pipe, UnpicklableError
from mp_connection._framing import MAX_PARTS
from mp_connection.channel import Received, pickle_message, unpickle

Ends = tuple[Connection[Any, Any], Connection[Any, Any]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    a, b = Pipe()
    with a, b:
        yield a, b


class Buffered:
    """Pickles its memory out of band, as arrays do."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return Buffered, (pickle.PickleBuffer(self.memory),)


class Strided:
    """Offers memory that cannot go out of band, and has another way."""

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return bytes, (pickle.PickleBuffer(memoryview(b"abcdef")[::2]),)


@pytest.mark.parametrize("size", [0, 5, 60_000, 300_000])
def test_writable_memory_arrives_writable_and_the_rest_read_only(
    ends: Ends, size: int
) -> None:
    a, b = ends
    with forked(lambda: a.send([Buffered(bytearray(size)), Buffered(bytes(size))])):
        writable, read_only = b.recv()
    assert type(writable.memory) is bytearray
    assert writable.memory == bytes(size)
    assert memoryview(read_only.memory).readonly
    assert bytes(read_only.memory) == bytes(size)
    if size:
        writable.memory[0] = 1


def test_buffers_are_sent_from_where_they_lie() -> None:
    numbers = array.array("d", range(10_000))
    message = pickle_message([Buffered(numbers), Buffered(numbers)])
    assert len(message.parts) == 3
    numbers[0] = 7.0
    assert message.parts[1].cast("d")[0] == message.parts[2].cast("d")[0] == 7.0


def test_nothing_is_used_any_more_after_the_call(ends: Ends) -> None:
    a, b = ends
    memory = bytearray(50_000)
    a.send(Buffered(memory))
    memory += b"it can be resized: no buffer is exported"
    a.send_bytes(memory)
    memory.clear()
    b.recv()
    b.recv_bytes()


def test_more_buffers_than_a_message_has_parts_go_in_the_pickle(ends: Ends) -> None:
    a, b = ends
    for count in (MAX_PARTS - 1, MAX_PARTS):
        a.send([Buffered(b"%d" % n) for n in range(count)])
        assert [bytes(x.memory) for x in b.recv()] == [b"%d" % n for n in range(count)]
        a.send([a] + [Buffered(b"x")] * count)
        again, *buffers = b.recv()
        again.close()
        assert len(buffers) == count


def test_memory_with_gaps_is_the_picklers_own_error(ends: Ends) -> None:
    a, b = ends
    for obj in (Strided(), [Strided(), a]):
        with pytest.raises((UnpicklableError, pickle.PicklingError, BufferError)):
            a.send(obj)
    a.send("next")
    assert b.recv() == "next"


# ---------------------------------------------------------------------------- sockets


def test_sockets_arrive_with_family_type_and_time_out(ends: Ends) -> None:
    a, b = ends
    for default in (None, 5.0):
        for family, kind in (
            (socket.AF_INET, socket.SOCK_STREAM),
            (socket.AF_INET, socket.SOCK_DGRAM),
            (socket.AF_INET6, socket.SOCK_STREAM),
            (socket.AF_UNIX, socket.SOCK_STREAM),
            (socket.AF_UNIX, socket.SOCK_SEQPACKET),
        ):
            for timeout in (None, 0.0, 2.5):
                sock = socket.socket(family, kind)
                sock.settimeout(timeout)
                flag = os.get_blocking(sock.fileno())
                a.send({"sock": sock})
                socket.setdefaulttimeout(default)
                try:
                    arrived = b.recv()["sock"]
                finally:
                    socket.setdefaulttimeout(None)
                assert type(arrived) is socket.socket
                assert (arrived.family, arrived.type) == (family, kind)
                assert arrived.proto == sock.proto
                assert arrived.gettimeout() == timeout
                assert not os.get_inheritable(arrived.fileno())
                # The description is the same one: its flag is untouched.
                assert os.get_blocking(sock.fileno()) == flag
                assert arrived.fileno() != sock.fileno()
                arrived.close()
                sock.close()


def test_a_default_time_out_changes_nothing_for_connections(ends: Ends) -> None:
    a, b = ends
    socket.setdefaulttimeout(0.01)
    try:
        a.send(a)
        arrived = b.recv()
        c, d = Pipe()
        for connection in (a, arrived, c, d):
            assert os.get_blocking(connection.fileno())
        for connection in (arrived, c, d):
            connection.close()
    finally:
        socket.setdefaulttimeout(None)


def test_a_socket_works_at_the_other_end(ends: Ends) -> None:
    a, b = ends
    near, far = socket.socketpair()
    a.send(far)
    far.close()
    arrived = b.recv()
    near.sendall(b"through")
    assert arrived.recv(100) == b"through"
    arrived.close()
    near.close()


def test_a_tls_socket_is_more_than_its_descriptor(ends: Ends) -> None:
    a, _ = ends
    near, far = socket.socketpair()
    context = ssl.create_default_context()
    context.check_hostname = False
    secure = context.wrap_socket(near, do_handshake_on_connect=False)
    with far, secure, pytest.raises(UnpicklableError, match="SSLSocket"):
        a.send(secure)


# ------------------------------------------------------------------------- unpickling


class Raising:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __setstate__(self, state: dict[str, Exception]) -> None:
        raise state["error"]


@pytest.mark.parametrize("error", [ValueError("v"), OSError(5, "o"), EOFError("e")])
@pytest.mark.parametrize("size", [0, 300_000])
def test_what_unpickling_raises_reaches_the_receiver(
    ends: Ends, error: Exception, size: int
) -> None:
    a, b = ends
    raises = pytest.raises(type(error), match=str(error.args[-1]))
    with forked(lambda: a.send([Buffered(bytes(size)), Raising(error)])), raises:
        b.recv()
    a.send(Raising(error))
    with pytest.raises(type(error), match=str(error.args[-1])):
        b.recv()
    a.send("next")
    assert b.recv() == "next"


def test_descriptors_of_an_object_that_fails_are_closed(ends: Ends) -> None:
    a, b = ends
    before = open_descriptors()
    for obj in ([a, Raising(ValueError("x")), b], [Raising(ValueError("x")), a]):
        a.send(obj)
        with pytest.raises(ValueError, match="x"):
            b.recv()
        assert open_descriptors() == before


def test_the_end_of_a_pickle_is_not_the_end_of_the_connection(ends: Ends) -> None:
    a, b = ends
    good = pickle.dumps([1, "x" * 300, 2], 5)
    for end in range(len(good)):
        for torn in (good[:end], good[:end] if end == 0 else b"\x80" + good[1:end]):
            a.send_bytes(torn)
            with pytest.raises(pickle.UnpicklingError):
                b.recv()
    a.send("next")
    assert b.recv() == "next"


@settings(max_examples=100)
@given(st.binary(max_size=30))
def test_received_handles_are_closed_whatever_the_pickle(data: bytes) -> None:
    before = open_descriptors()
    handles = [os.open("/dev/null", os.O_RDONLY) for _ in range(2)]
    try:
        unpickle(Received([data], handles, True))
    except Exception:
        pass
    assert open_descriptors() == before
