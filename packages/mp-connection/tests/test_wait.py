"""`wait`: which of several objects are ready."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from mp_connection_forks import doomed, in_child

from mp_connection import ChannelClosedError, Connection, Pipe, wait
from mp_testing import until


class Pipes:
    """Pipes that are closed with the test."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def __call__(self) -> tuple[Connection[Any, Any], Connection[Any, Any]]:
        reader, writer = Pipe(False)
        return self.stack.enter_context(reader), self.stack.enter_context(writer)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    with made.stack:
        yield made


def test_ready_objects_come_in_the_order_given(pipes: Pipes) -> None:
    (r1, w1), (r2, w2), (r3, w3) = pipes(), pipes(), pipes()
    assert wait([r1, r2, r3], 0) == []
    w3.send(1)
    assert wait([r1, r2, r3]) == [r3]
    w1.send(1)
    assert wait([r3, r2, r1], 5) == [r3, r1]
    assert wait((r for r in (r1, r3)), None) == [r1, r3]
    assert w2.writable


def test_an_object_given_twice_comes_twice(pipes: Pipes) -> None:
    reader, writer = pipes()
    writer.send(1)
    assert wait([reader, reader]) == [reader, reader]


def test_the_end_of_a_connection_is_ready(pipes: Pipes) -> None:
    reader, writer = pipes()
    other, _ = pipes()
    writer.close()
    assert wait([reader, other]) == [reader]


def test_a_reset_connection_is_ready() -> None:
    a, b = Pipe()
    a.send("unread")
    b.close()
    assert wait([a], 5) == [a]
    with pytest.raises(EOFError):
        a.recv()
    a.close()


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, 0.05, 0.3])
def test_the_time_out_is_kept(pipes: Pipes, timeout: float) -> None:
    reader, _ = pipes()
    start = time.monotonic()
    assert wait([reader], timeout) == []
    assert max(timeout, 0) <= time.monotonic() - start < max(timeout, 0) + 0.5


@pytest.mark.parametrize("timeout", [1e6, 1e12, float("inf"), None])
def test_a_very_long_time_out_is_as_good_as_none(
    pipes: Pipes, timeout: float | None
) -> None:
    reader, writer = pipes()
    writer.send(1)
    assert wait([reader], timeout) == [reader]


def test_nothing_to_wait_for() -> None:
    assert wait([], 0) == []
    assert wait([], 0.01) == []


def test_sockets_descriptors_and_sentinels_may_be_mixed(pipes: Pipes) -> None:
    reader, _ = pipes()
    near, far = socket.socketpair()
    with near, far, doomed(lambda: time.sleep(60)) as child:
        sentinel = os.pidfd_open(child.pid)
        everything: list[Any] = [reader, near, sentinel]
        assert wait(everything, 0) == []
        far.send(b"x")
        assert wait(everything) == [near]
        child.kill()
        until(lambda: wait([sentinel], 1))
        assert wait(everything) == [near, sentinel]
        os.close(sentinel)


def test_a_message_wakes_a_waiting_thread(pipes: Pipes) -> None:
    reader, writer = pipes()
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend(wait([reader], 10)))
    thread.start()
    time.sleep(0.05)
    writer.send(1)
    thread.join(5)
    assert found == [reader]


def test_a_signal_does_not_cut_it_short(pipes: Pipes) -> None:
    reader, _ = pipes()

    def child() -> None:
        caught: list[int] = []
        signal.signal(signal.SIGALRM, lambda number, _: caught.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        start = time.monotonic()
        assert wait([reader], 0.3) == []
        assert time.monotonic() - start >= 0.3
        assert len(caught) > 3

    in_child(child)


def many(count: int, body: Callable[[list[Connection[Any, Any]]], None]) -> None:
    def child() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4000), hard))
        pairs = [Pipe(False) for _ in range(count)]
        pairs[count // 2][1].send("x")
        pairs[-1][1].close()
        body([reader for reader, _ in pairs])

    in_child(child)


@pytest.mark.parametrize("count", [100, 1200])
def test_any_number_of_objects(count: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3000:
        pytest.skip("too few descriptors allowed")

    def body(readers: list[Connection[Any, Any]]) -> None:
        assert wait(readers) == [readers[count // 2], readers[-1]]
        assert readers[count // 2].recv() == "x"
        assert wait(readers[:-1], 0) == []

    many(count, body)


def test_closed_objects_are_refused(pipes: Pipes) -> None:
    reader, _ = pipes()
    closed, _ = pipes()
    closed.close()
    sock = socket.socket()
    sock.close()
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(ChannelClosedError):
        wait([reader, closed], 0)
    with pytest.raises(ValueError, match="closed"):
        wait([reader, sock], 0)
    with pytest.raises(OSError, match=r"[Bb]ad|not open"):
        wait([reader, read], 0)
    with pytest.raises(ValueError, match="closed"):
        wait([-1], 0)


def test_subclasses_may_have_a_descriptor_of_their_own(pipes: Pipes) -> None:
    reader, writer = pipes()
    other, _ = pipes()

    class Special(Connection[Any, Any]):
        __slots__ = ()

        def fileno(self) -> int:
            return reader.fileno()

    special = Special(os.dup(other.fileno()), writable=False)
    writer.send(1)
    assert wait([special, other], 0) == [special]
    special.close()


def test_half_a_message_is_ready(pipes: Pipes) -> None:
    reader, _ = pipes()
    other, _ = pipes()
    reader._channel.keep(b"\0whole", [], 0)
    start = time.monotonic()
    assert wait([other, reader], 5) == [reader]
    assert reader.poll()
    assert reader.poll(5)
    assert reader.poll(None)
    assert time.monotonic() - start < 4
    assert reader.recv_bytes() == b"whole"
    assert wait([other, reader], 0) == []
    assert not reader.poll()
