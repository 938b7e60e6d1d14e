"""Queues where memory, descriptors or room run out: errors, and nothing is lost."""

from __future__ import annotations

import errno
import importlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partialmethod
from queue import Empty, Full
from typing import Any

import pytest

from mp_connection import HandleError, Pipe
from mp_sync import JoinableQueue, Queue

assert sys.platform == "linux"


def in_child(function: Callable[[], object]) -> None:
    """Run a function in a forked child, whose limits it may change."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.alarm(50)
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert status == 0


def use_up_descriptors(left: int) -> list[int]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
    taken = []
    while True:
        try:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            break
    for _ in range(left):
        os.close(taken.pop())
    return taken


def test_a_hundred_thousand_items_unread() -> None:
    queue: Queue[int] = Queue()
    for number in range(50_000):
        queue.put(number)
    queue.put_many(range(50_000, 100_000))
    assert queue.qsize() == 100_000
    got: list[int] = []
    while len(got) < 100_000:
        got += queue.get_many()
    assert got == list(range(100_000))
    assert queue.empty()
    queue.close()


def put_until_it_fails(queue: Queue[bytes]) -> int:
    for count in range(100_000):
        try:
            queue.put(count.to_bytes(4, "big") + bytes(3000), block=False)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            return count
    raise AssertionError


@pytest.mark.parametrize("kind", [Queue, JoinableQueue])
def test_no_more_memory(kind: type[Queue[bytes]]) -> None:
    """An error in `put`; all that was put is there, and there is room again later."""
    queue = kind()

    def fill_and_drain() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        for _ in range(2):
            count = put_until_it_fails(queue)
            with pytest.raises(OSError, match="too large"):
                queue.put_many([bytes(60_000)] * 20)
            assert count > 100
            assert queue.qsize() == count
            for number in range(count):
                assert int.from_bytes(queue.get(timeout=10)[:4], "big") == number
            assert queue.empty()

    in_child(fill_and_drain)
    queue.close()


def test_no_descriptors_to_put_something_large() -> None:
    queue: Queue[bytes] = Queue()

    def put_and_get() -> None:
        for left in range(4):
            taken = use_up_descriptors(left)
            for size in (300_000, 1, 2_000_000):
                queue.put(bytes(size), block=False)
                queue.put(b"small")
            for size in (300_000, 1, 2_000_000):
                assert len(taken) > 10
                try:
                    assert len(queue.get(timeout=10)) == size
                except HandleError:
                    assert size > 1
                assert queue.get(timeout=10) == b"small"
            for fd in taken:
                os.close(fd)

    in_child(put_and_get)
    queue.close()


def test_no_descriptor_to_get_something_large() -> None:
    """That item fails, and nothing else."""
    queue: Queue[bytes] = Queue()
    queue.put(b"x" * 300_000)
    queue.put(b"next")

    def get() -> None:
        use_up_descriptors(0)
        with pytest.raises(HandleError, match="RLIMIT_NOFILE"):
            queue.get(timeout=10)
        assert queue.get(timeout=10) == b"next"

    in_child(get)
    assert queue.empty()
    queue.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_more_in_flight_than_an_ordinary_user_may_have() -> None:
    queue: Queue[tuple[int, bytes]] = Queue()

    def put_and_get() -> None:
        os.setgid(65534)
        os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
        for number in range(250):
            queue.put((number, bytes(66_000)), block=False)
        for number in range(250):
            assert queue.get(timeout=10)[0] == number
        assert queue.empty()

    in_child(put_and_get)
    queue.close()


def test_descriptors_cannot_wait_in_memory() -> None:
    queue: Queue[Any] = Queue()
    ours, theirs = Pipe()
    for number in range(600):
        queue.put(number)
    with pytest.raises(Full):
        queue.put_nowait(theirs)
    with pytest.raises(Full):
        queue.put(theirs, timeout=0.05)
    assert [queue.get() for _ in range(600)] == list(range(600))
    queue.put_nowait(theirs)
    queue.get().send("there")
    assert ours.recv() == "there"
    for each in (ours, theirs, queue):
        each.close()


def test_an_item_of_a_reader_that_died_is_put_again() -> None:
    """A large one, whose reader has not yet received all of it."""
    queue: Queue[bytes] = Queue()
    reader = os.fork()
    if not reader:
        try:
            receiver: Any = importlib.import_module("mp_connection._receiver_linux")

            def die(*_: object) -> None:
                os.kill(os.getpid(), signal.SIGKILL)

            receiver.Receiver._fragment = die
            queue.get()
        finally:
            os._exit(1)
    writer = os.fork()
    if not writer:
        code = 1
        try:
            from mp_sync import _putting

            _putting.PATIENCE = 30.0
            queue.put(b"y" * 5_000_000)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(reader, 0)[1] == signal.SIGKILL
    assert len(queue.get(timeout=30)) == 5_000_000
    assert os.waitpid(writer, 0)[1] == 0
    assert queue.empty()
    queue.close()


def test_get_keeps_its_deadline_for_the_whole_item() -> None:
    """The writer of a large one is stopped half-way, and goes on later."""

    def stop_half_way(self: object, send: Callable[..., bool], seconds: float) -> bool:
        os.kill(os.getpid(), signal.SIGSTOP)  # it is announced, and may be begun
        return send(self, seconds)

    queue: Queue[bytes] = Queue()
    writer = os.fork()
    if not writer:
        code = 1
        try:
            handover: Any = importlib.import_module("mp_connection._handover_linux")
            for way in (handover._ByPair, handover._ByPipe):
                way.send = partialmethod(stop_half_way, way.send)
            # More than a socket or a pipe holds.
            queue.put(b"z" * 3_000_000)
            code = 0
        finally:
            os._exit(code)
    with pytest.raises(Empty):
        queue.get(timeout=0.5)
    os.kill(writer, signal.SIGCONT)
    assert len(queue.get(timeout=30)) == 3_000_000
    assert os.waitpid(writer, 0)[1] == 0
    queue.close()
