"""Descriptors in messages, and where they cannot go."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import copy
import os
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from mp_connection_forks import forked, open_descriptors

from mp_connection import (
    ChannelClosedError,
    Connection,
    HandleError,
    Pipe,
    UnpicklableError,
)
from mp_connection.channel import Message, PacketChannel, packet_pair
from mp_connection.handles import Handle, ReceivedHandle, pickled_before

Ends = tuple[Connection[Any, Any], Connection[Any, Any]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    a, b = Pipe()
    with a, b:
        yield a, b


class File:
    """Owns a descriptor, as in the example of the module."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (Handle(self.fd), self.name)

    def close(self) -> None:
        os.close(self.fd)


def rebuild(handle: ReceivedHandle, name: str) -> File:
    return File(handle.take(), name)


class Careless(File):
    """Does not take its descriptor where it arrives."""

    def __reduce__(self) -> tuple[object, ...]:
        return type, (Handle(self.fd),)


class Greedy(File):
    def __reduce__(self) -> tuple[object, ...]:
        return take_twice, (Handle(self.fd),)


def take_twice(handle: ReceivedHandle) -> object:
    os.close(handle.take())
    return handle.take()


def test_an_owner_travels_with_its_descriptor(ends: Ends) -> None:
    a, b = ends
    fd = os.memfd_create("test")
    file = File(fd, "name")
    os.write(fd, b"content")
    a.send([file, file, File(fd, "other")])
    file.close()
    first, same, other = b.recv()
    assert first is same
    assert (first.name, other.name) == ("name", "other")
    assert first.fd != other.fd
    assert os.pread(first.fd, 100, 0) == b"content"
    first.close()
    other.close()


@pytest.mark.parametrize("count", [1, 252, 253, 254, 1000])
def test_any_number_of_connections_travels_in_one_message(count: int) -> None:
    a, b = Pipe()
    c, d = Pipe(False)
    with a, b, c, d:
        with forked(lambda: a.send({"ends": [copy_of(d) for _ in range(count)]})):
            arrived = b.recv()["ends"]
        assert len(arrived) == count
        for number, connection in enumerate(arrived):
            assert (connection.readable, connection.writable) == (False, True)
            if number % 50 == 0 or number == count - 1:
                connection.send(number)
                assert c.recv() == number
            connection.close()


def copy_of(connection: Connection[Any, Any]) -> Connection[Any, Any]:
    return Connection(os.dup(connection.fileno()), readable=False)


def test_a_connection_may_travel_through_itself(ends: Ends) -> None:
    a, b = ends
    a.send([a, b])
    first, second = b.recv()
    first.send("hello")
    assert second.recv() == "hello"
    first.close()
    second.close()


def test_a_received_end_keeps_the_far_end_open() -> None:
    a, b = Pipe()
    c, d = Pipe()
    a.send(c)
    c.close()
    d.send("before it arrives")
    arrived = b.recv()
    assert arrived.recv() == "before it arrives"
    arrived.close()
    with pytest.raises(EOFError):
        d.recv()
    for connection in (a, b, d):
        connection.close()


def test_an_end_that_nobody_receives_is_closed_with_the_pipe() -> None:
    a, b = Pipe()
    c, d = Pipe()
    a.send(c)
    c.close()
    b.close()
    with pytest.raises(EOFError):
        d.recv()
    a.close()
    d.close()


def test_descriptors_that_nobody_takes_are_closed(ends: Ends) -> None:
    a, b = ends
    before = open_descriptors()
    a.send(Careless(a.fileno(), ""))
    assert b.recv() is ReceivedHandle
    assert open_descriptors() == before
    a.send(Greedy(a.fileno(), ""))
    with pytest.raises(HandleError, match="taken before"):
        b.recv()
    assert open_descriptors() == before


@pytest.mark.parametrize("count", [1, 300])
def test_recv_bytes_closes_descriptors(ends: Ends, count: int) -> None:
    a, b = ends
    before = open_descriptors()
    channel = PacketChannel(a._channel.sock, True)
    with forked(lambda: channel.send(Message([b"\x80x"], [a.fileno()] * count))):
        assert b.recv_bytes() == b"\x80x"
    a.send([a, a])
    buffer = bytearray(500)
    assert b.recv_bytes_into(buffer)
    assert open_descriptors() == before


def test_a_message_with_lost_descriptors_is_dropped_with_its_channel() -> None:
    before = open_descriptors()
    near, far = (PacketChannel(end, True) for end in packet_pair(True))
    near.send(Message([b"x"], [near.fileno()] * 3, pickled=False))
    received = far.recv()
    assert len(received.handles) == 3
    near.close()
    far.close()
    del received
    assert open_descriptors() == before


# ------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_refuse_and_say_why(ends: Ends, protocol: int) -> None:
    for obj in (ends[0], [ends[0]], File(1, "")):
        with pytest.raises(HandleError, match="through a connection"):
            pickle.dumps(obj, protocol)


def test_copies_are_refused(ends: Ends) -> None:
    with pytest.raises(HandleError, match="cannot be copied"):
        copy.copy(ends[0])
    with pytest.raises(HandleError):
        copy.deepcopy(ends[0])
    with pytest.raises(HandleError):
        Handle(1).take()


def test_a_closed_connection_cannot_be_sent(ends: Ends) -> None:
    a, b = ends
    c, d = Pipe()
    c.close()
    d.close()
    with pytest.raises(ChannelClosedError):
        a.send([1, c])
    a.send("next")
    assert b.recv() == "next"


def test_a_received_handle_is_taken_once() -> None:
    handle = ReceivedHandle(os.open("/dev/null", os.O_RDONLY))
    os.close(handle.take())
    with pytest.raises(HandleError):
        handle.take()
    handle.close()
    other = ReceivedHandle(os.open("/dev/null", os.O_RDONLY))
    other.close()
    other.close()
    with pytest.raises(HandleError):
        other.take()


class _Notes:
    """Notes for each attempt to pickle it whether it was the first."""

    def __init__(self) -> None:
        self.attempts: list[bool] = []

    def __reduce__(self) -> tuple[object, ...]:
        self.attempts.append(pickled_before())
        return int, ()


def test_a_reduction_may_ask_whether_it_is_called_again() -> None:
    near, far = Pipe()
    alone, with_a_handle, refused = _Notes(), _Notes(), _Notes()
    near.send(alone)
    near.send([with_a_handle, near])
    with pytest.raises(UnpicklableError):
        near.send([refused, lambda: None])
    assert far.recv() == 0
    far.recv()[1].close()
    assert alone.attempts == [False]
    assert with_a_handle.attempts == [False, True]
    assert refused.attempts[0] is False
    assert set(refused.attempts[1:]) == {True}
    assert not pickled_before()
    near.close()
    far.close()
