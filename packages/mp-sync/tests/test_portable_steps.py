"""The portable backend, killed at every line of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import mp_sync_targets as targets
import pytest

from mp_sync import OwnerDiedError

assert sys.platform == "linux"

from mp_sync import _portable

MODULES = {
    "mp_sync._libc",
    "mp_sync._portable_base",
    "mp_sync._portable_counts",
    "mp_sync._portable_locks",
}


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Have a process do this and be killed at a line of the backend; whether it was."""
    pid = os.fork()
    if pid == 0:
        left = number

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            if frame.f_globals.get("__name__") not in MODULES:
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        work()
        sys.settrace(None)
        os._exit(0)
    return os.waitpid(pid, 0)[1] != 0


def at_every_step(work: Callable[[], object], check: Callable[[], object]) -> None:
    step = 0
    while killed_at(step, work):
        check()
        step += 1
    check()
    assert step > 5


def test_events() -> None:
    event = _portable.Event()

    def check() -> None:
        event.set()
        assert event.is_set()
        assert event.wait(targets.SECONDS)
        event.clear()
        assert not event.is_set()

    at_every_step(event.set, check)
    event.set()
    at_every_step(event.clear, check)
    at_every_step(lambda: event.wait(0.001), check)


def test_words() -> None:
    words = _portable.Words()
    seen = 0

    def check() -> None:
        nonlocal seen
        assert words.get(3) - seen in (0, 1)
        seen = words.get(3)
        assert words.add(4, 1) == words.get(4) - 1
        words.wake(5, 1)

    at_every_step(lambda: words.add(3, 1), check)


@pytest.mark.parametrize("robust", [False, True])
def test_locks(robust: bool) -> None:
    """A plain one may stay held, and whoever knows that releases it."""
    lock = _portable.Lock(robust=robust)

    def work() -> None:
        lock.acquire()
        lock.release()

    def check() -> None:
        try:
            if not lock.acquire(timeout=0.001):
                assert not robust
                lock.release()
                assert lock.acquire(timeout=targets.SECONDS)
        except OwnerDiedError:
            assert lock.recover()
        assert lock.locked()
        lock.release()
        assert not lock.locked()

    at_every_step(work, check)


def test_recursive_locks() -> None:
    lock = _portable.RLock()

    def work() -> None:
        with lock, lock:
            pass

    def check() -> None:
        try:
            assert lock.acquire(timeout=targets.SECONDS)
        except OwnerDiedError:
            assert lock.recover()
        lock.release()
        assert not lock.locked()

    at_every_step(work, check)


def test_recovery() -> None:
    lock = _portable.RLock()

    def leave() -> None:
        if os.fork() == 0:
            lock.acquire()
            os.kill(os.getpid(), signal.SIGKILL)
        os.wait()

    def work() -> None:
        if lock.recover():
            lock.release()

    step = 0
    leave()
    while killed_at(step, work):
        try:
            assert lock.acquire(timeout=targets.SECONDS)
        except OwnerDiedError:
            assert lock.recover()
        lock.release()
        leave()
        step += 1
    assert step > 5
    with lock:
        pass


def test_semaphores() -> None:
    """What is taken stays so, as nobody owns it; never is there more than before."""
    semaphore = _portable.BoundedSemaphore(3)

    def work() -> None:
        semaphore.acquire()
        semaphore.release()

    def check() -> None:
        while semaphore.get_value() < 3:
            semaphore.release()
        assert [semaphore.acquire(False) for _ in range(4)] == [True] * 3 + [False]
        for _ in range(3):
            semaphore.release()

    at_every_step(work, check)
