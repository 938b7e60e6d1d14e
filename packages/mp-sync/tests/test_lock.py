"""Lock, RLock and the semaphores within one process, as the manual has them."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import mp_sync_targets as targets
import pytest
from mp_sync_targets import AnyLock

import mp_sync
from mp_connection import HandleError
from mp_sync import BoundedSemaphore, Lock, RLock, Semaphore, _backend

assert sys.platform == "linux"

import resource


def in_thread(function: Callable[[], object]) -> object:
    """What the function returns in another thread."""
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join(targets.SECONDS)
    return result[0]


def take_and_let_go(lock: AnyLock) -> bool:
    taken = lock.acquire(timeout=targets.SECONDS)
    lock.release()
    return taken


def test_taking_and_letting_go(lock: AnyLock) -> None:
    assert lock.locked() is False
    assert lock.acquire() is True
    assert lock.locked() is True
    assert in_thread(lambda: lock.acquire(block=False)) is False
    lock.release()
    assert lock.locked() is False
    with lock as held:
        assert held is True
        assert in_thread(lambda: lock.acquire(False)) is False
    assert in_thread(lambda: take_and_let_go(lock)) is True


@pytest.mark.parametrize("timeout", [0, -1, -0.5, 0.0, float("-inf")])
def test_a_timeout_that_is_not_positive_is_zero(lock: AnyLock, timeout: float) -> None:
    assert lock.acquire(True, timeout)
    start = time.monotonic()
    assert in_thread(lambda: lock.acquire(True, timeout)) is False
    assert time.monotonic() - start < 5
    lock.release()


@pytest.mark.parametrize("seconds", [0.05, 0.4])
def test_a_timeout_is_kept(lock: AnyLock, seconds: float) -> None:
    """Also one of several slices."""
    lock.acquire()
    start = time.monotonic()
    assert in_thread(lambda: lock.acquire(timeout=seconds)) is False
    assert seconds <= time.monotonic() - start < seconds + 10
    lock.release()


@pytest.mark.parametrize("timeout", [None, 1e10, float("inf"), 60])
def test_a_waiter_goes_on_when_the_lock_is_free(
    lock: AnyLock, timeout: float | None
) -> None:
    def take() -> None:
        assert lock.acquire(timeout=timeout)
        taken.set()
        lock.release()

    taken = threading.Event()
    lock.acquire()
    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert not taken.wait(0.02)
    lock.release()
    for thread in threads:
        thread.join(targets.SECONDS)
        assert not thread.is_alive()
    assert taken.is_set()
    assert not lock.locked()


def test_a_timeout_is_ignored_without_block(lock: AnyLock) -> None:
    lock.acquire()
    start = time.monotonic()
    assert in_thread(lambda: lock.acquire(False, 50)) is False
    assert in_thread(lambda: lock.acquire(block=0, timeout=50)) is False  # type: ignore[arg-type]
    assert time.monotonic() - start < 25
    lock.release()


@pytest.mark.parametrize(
    ("args", "kwargs", "error"),
    [
        ((1, 2, 3), {}, TypeError),
        ((), {"blocking": True}, TypeError),
        ((True,), {"block": True}, TypeError),
        ((True, "1"), {}, TypeError),
        ((True, float("nan")), {}, ValueError),
    ],
)
def test_wrong_arguments(
    lock: Any, args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        lock.acquire(*args, **kwargs)
    assert not lock.locked()


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_locks_take_no_arguments(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind(1)
    with pytest.raises(TypeError):
        kind(value=1)


def test_an_exception_goes_through(lock: AnyLock) -> None:
    with pytest.raises(LookupError), lock:
        raise LookupError
    assert not lock.locked()


# ------------------------------------------------------------------------------- Lock


def test_any_thread_may_release_a_lock() -> None:
    lock = Lock()
    lock.acquire()
    in_thread(lock.release)
    assert not lock.locked()


def test_a_lock_that_is_free_cannot_be_released() -> None:
    lock = Lock()
    with pytest.raises(ValueError, match="the lock is not held"):
        lock.release()
    assert lock.acquire(False)
    lock.release()
    with pytest.raises(ValueError, match="the lock is not held"):
        lock.release()


def test_a_lock_says_who_holds_it() -> None:
    lock = Lock()
    assert repr(lock) == "<Lock owner=None>"
    with lock:
        pid, tid = os.getpid(), threading.get_native_id()
        assert repr(lock) == f"<Lock owner=(process {pid}, thread {tid})>"
        assert in_thread(lambda: repr(lock)) == repr(lock)
    assert repr(lock) == "<Lock owner=None>"


# ------------------------------------------------------------------------------ RLock


def test_a_recursive_lock_is_taken_again_by_its_holder() -> None:
    lock = RLock()
    for _ in range(3):
        assert lock.acquire()
    assert lock.acquire(False)
    assert lock.acquire(timeout=0)
    assert repr(lock).endswith(" count=5>")
    for _ in range(5):
        assert in_thread(lambda: lock.acquire(False)) is False
        assert lock.locked()
        lock.release()
    assert in_thread(lambda: take_and_let_go(lock)) is True
    assert repr(lock) == "<RLock owner=None>"


def test_a_recursive_lock_is_released_by_its_holder_only() -> None:
    def release() -> type[BaseException] | None:
        try:
            lock.release()
        except AssertionError as error:
            return type(error)
        return None

    lock = RLock()
    assert release() is AssertionError
    lock.acquire()
    assert in_thread(release) is AssertionError
    assert lock.locked()
    lock.release()
    assert release() is AssertionError


def test_a_recursive_lock_that_nobody_left_is_not_recovered() -> None:
    lock = RLock()
    assert lock.recover() is False
    assert not lock.locked()
    with lock:
        assert lock.recover() is False
        assert in_thread(lock.recover) is False
    assert not lock.locked()


@pytest.mark.leaks("fds")  # the memory of those that are dropped, which is the point
def test_a_lock_that_is_dropped_while_it_is_held_does_no_harm() -> None:
    """Its memory stays: the kernel will look at it when this thread ends."""

    def work() -> None:
        for _ in range(10):
            lock = RLock()
            lock.acquire()
            dropped.append(weakref.ref(lock))
            del lock
        kept = [RLock() for _ in range(20)]
        for lock in kept:
            assert lock.acquire(False)
        held.extend(kept)

    dropped: list[weakref.ref[RLock]] = []
    held: list[RLock] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    gc.collect()
    assert [reference() for reference in dropped] == [None] * 10
    assert len(held) == 20
    for lock in held:
        with pytest.raises(mp_sync.OwnerDiedError):
            lock.acquire()


# -------------------------------------------------------------------------- semaphores


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
def test_a_semaphore_counts(kind: type[Semaphore]) -> None:
    semaphore = kind(3)
    assert semaphore.get_value() == 3
    assert [semaphore.acquire(False) for _ in range(4)] == [True, True, True, False]
    assert semaphore.get_value() == 0
    assert semaphore.locked()
    semaphore.release()
    assert semaphore.get_value() == 1
    assert not semaphore.locked()


def test_a_semaphore_rises_above_its_first_value() -> None:
    semaphore = Semaphore(0)
    assert semaphore.locked()
    for _ in range(4):
        semaphore.release()
    assert semaphore.get_value() == 4


def test_a_bounded_semaphore_does_not() -> None:
    semaphore = BoundedSemaphore(2)
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()
    semaphore.acquire()
    semaphore.release()
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()
    assert isinstance(semaphore, Semaphore)


def test_a_semaphore_has_a_limit() -> None:
    semaphore = Semaphore(2**31 - 1)
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()
    assert semaphore.acquire()
    semaphore.release()


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
@pytest.mark.parametrize("value", [-1, 2**31, 2**80])
def test_values_out_of_range(kind: type[Semaphore], value: int) -> None:
    with pytest.raises(ValueError, match="a semaphore begins with 0 to 2147483647"):
        kind(value)


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
def test_values_of_a_wrong_type(kind: Any) -> None:
    for wrong in ("1", 1.5, None):
        with pytest.raises(TypeError):
            kind(wrong)
    with pytest.raises(TypeError):
        kind(1, 2)


def test_semaphores_say_their_value() -> None:
    assert repr(Semaphore(3)) == "<Semaphore value=3>"
    assert repr(BoundedSemaphore(3)) == "<BoundedSemaphore value=3 maximum=3>"
    assert repr(Semaphore()) == "<Semaphore value=1>"


# ----------------------------------------------------------------- objects like others


class NamedLock(Lock):
    """A subclass with a constructor and attributes of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __new__(cls, name: str = "") -> NamedLock:
        return super().__new__(cls)


def test_locks_can_be_subclassed_and_referred_to_weakly(lock: AnyLock) -> None:
    assert weakref.ref(lock)() is lock
    named = NamedLock("x")
    with named:
        assert repr(named).startswith("<NamedLock owner=(")
    assert named.name == "x"


def test_locks_do_not_leak_their_class_or_memory() -> None:
    for kind in (Lock, RLock, Semaphore, BoundedSemaphore, mp_sync.Event):
        before = sys.getrefcount(kind)
        for _ in range(100):
            kind()
        assert sys.getrefcount(kind) == before


def test_a_plain_pickle_says_how_to_share_a_lock(lock: AnyLock) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(HandleError, match="send it through a connection"):
            pickle.dumps(lock, protocol)
    with pytest.raises(RuntimeError):
        pickle.dumps([lock])


# ------------------------------------------------------------------ what they cost


@pytest.mark.skipif(_backend.backend == "portable", reason="it is Python")
def test_with_a_lock_costs_no_python_frame(lock: AnyLock) -> None:
    calls: list[str] = []

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        with lock:
            pass
        lock.acquire()
        lock.release()
    finally:
        sys.setprofile(None)
    assert calls == []


def test_a_process_without_descriptors_left_cannot_make_locks() -> None:
    """It gets an error, and those that it has go on to work."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept = Lock()
    locks: list[Lock] = []
    opened: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            opened.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(300))
        with pytest.raises(OSError, match="Too many open files"):
            locks.extend(Lock() for _ in range(100_000))
        with kept:
            assert kept.locked()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in opened:
            os.close(fd)
    assert not Lock().locked()
