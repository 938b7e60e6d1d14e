"""Lock(robust=True) and Semaphore(robust=True): whose they are, and what deaths do."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import mp_sync_targets as targets
import pytest

from mp_connection import Pipe
from mp_process import get_context
from mp_sync import BoundedSemaphore, Condition, Lock, OwnerDiedError, Semaphore
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_sync import _backend, _permits


def dead_after(work: Callable[[], object]) -> int:
    """The number of a process that did this and was killed; it stays a zombie."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        work()
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    os.read(reader, 1)  # end of file: it is dead
    os.close(reader)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def reap(pid: int) -> None:
    os.waitpid(pid, 0)


def in_thread(function: Callable[[], object]) -> BaseException | None:
    """What the function raises in another thread."""
    raised: list[BaseException | None] = [None]

    def run() -> None:
        try:
            function()
        except BaseException as error:
            raised[0] = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(targets.SECONDS)
    return raised[0]


# ------------------------------------------------------------------------------- locks


def test_the_death_of_a_lock_s_holder_is_an_error(start_method: StartMethod) -> None:
    lock = Lock(robust=True)
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.hold_and_die, args=(lock, theirs)
    )
    process.start()
    process.join(targets.SECONDS)
    pid = ours.recv()
    for _ in range(2):
        with pytest.raises(OwnerDiedError) as info:
            lock.acquire()
        assert info.value.pid == pid
    with pytest.raises(OwnerDiedError):
        lock.acquire(block=False)
    assert lock.recover() is True
    assert lock.locked()
    assert lock.recover() is False
    lock.release()
    assert lock.recover() is False
    with lock:
        pass
    ours.close()
    theirs.close()


def test_a_zombie_is_dead_enough() -> None:
    lock = Lock(robust=True)
    pid = dead_after(lock.acquire)
    with pytest.raises(OwnerDiedError) as info:
        lock.acquire()
    assert info.value.pid == pid
    reap(pid)


def test_a_waiter_learns_of_the_death() -> None:
    lock = Lock(robust=True)
    ours, theirs = Pipe()
    holder = get_context("fork").Process(target=targets.hold, args=(lock, theirs))
    holder.start()
    assert ours.poll(targets.SECONDS)
    ours.recv()
    timer = threading.Timer(0.05, holder.kill)
    timer.start()
    with pytest.raises(OwnerDiedError):
        lock.acquire(timeout=targets.SECONDS)
    timer.join()
    holder.join(targets.SECONDS)
    ours.close()
    theirs.close()


def test_a_robust_lock_belongs_to_its_holder() -> None:
    lock = Lock(robust=True)
    with pytest.raises(ValueError, match="not held"):
        lock.release()
    lock.acquire()
    assert isinstance(in_thread(lock.release), AssertionError)
    assert lock.acquire(False) is False  # nor is it recursive
    assert lock.acquire(timeout=0.02) is False
    assert lock.locked()
    pid, tid = os.getpid(), threading.get_native_id()
    assert repr(lock) == f"<Lock owner=(process {pid}, thread {tid})>"
    lock.release()
    assert repr(lock) == "<Lock owner=None>"
    thread_lock = Lock(robust=True)
    assert in_thread(thread_lock.acquire) is None  # and the thread has ended
    with pytest.raises(OwnerDiedError):
        thread_lock.acquire()


def test_a_plain_lock_cannot_be_recovered() -> None:
    with pytest.raises(RuntimeError, match=r"Lock\(robust=True\)"):
        Lock().recover()
    with pytest.raises(RuntimeError):
        Lock(robust=False).recover()


def test_an_interrupted_wait_for_one_s_own_lock_keeps_it() -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        raise LookupError

    lock = Lock(robust=True)
    lock.acquire()
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(LookupError):
            lock.acquire()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert lock.locked()
    lock.release()


def test_a_robust_lock_is_sent_as_one(start_method: StartMethod) -> None:
    lock = Lock(robust=True)
    ours, theirs = Pipe()
    child = get_context(start_method).Process(target=targets.hold, args=(lock, theirs))
    child.start()
    assert ours.poll(targets.SECONDS)
    assert f"process {ours.recv()}," in repr(lock)
    with pytest.raises(AssertionError):
        lock.release()
    ours.send("enough")
    child.join(targets.SECONDS)
    with lock:
        pass
    ours.close()
    theirs.close()


def test_a_condition_over_a_robust_lock(start_method: StartMethod) -> None:
    condition = Condition(Lock(robust=True))
    ours, theirs = Pipe()
    child = get_context(start_method).Process(
        target=targets.wait_for_condition, args=(condition, theirs)
    )
    child.start()
    assert ours.poll(targets.SECONDS)
    ours.recv()
    with condition:
        condition.notify()
    assert ours.poll(targets.SECONDS)
    assert ours.recv() is True
    child.join(targets.SECONDS)
    ours.close()
    theirs.close()


@pytest.mark.leaks("fds")  # the memory of those that are dropped, which is the point
def test_a_robust_lock_that_is_dropped_while_it_is_held_does_no_harm() -> None:
    def work() -> None:
        for _ in range(10):
            Lock(robust=True).acquire()
        locks = [Lock(robust=True) for _ in range(20)]
        assert all(lock.acquire(False) for lock in locks)
        held.extend(locks)

    held: list[Lock] = []
    assert in_thread(work) is None
    gc.collect()
    for lock in held:
        with pytest.raises(OwnerDiedError):
            lock.acquire()


# -------------------------------------------------------------------------- semaphores


@pytest.fixture(params=[Semaphore, BoundedSemaphore])
def kind(request: pytest.FixtureRequest) -> type[Semaphore]:
    """Both are the same if they are robust."""
    value: type[Semaphore] = request.param
    return value


def test_permits_belong_to_processes(kind: type[Semaphore]) -> None:
    semaphore = kind(2, robust=True)
    assert isinstance(semaphore, kind)
    assert repr(semaphore) == f"<{kind.__name__} value=2 maximum=2 robust>"
    with pytest.raises(ValueError, match="holds no permit"):
        semaphore.release()
    assert semaphore.acquire()
    with semaphore:
        assert semaphore.get_value() == 0
        assert semaphore.locked()
        assert semaphore.acquire(False) is False
        assert semaphore.acquire(timeout=0.02) is False
        assert semaphore.acquire(timeout=-1) is False
    assert semaphore.get_value() == 1
    assert in_thread(semaphore.release) is None  # of the same process
    assert isinstance(in_thread(semaphore.release), ValueError)
    assert semaphore.get_value() == 2


@pytest.mark.parametrize("value", [0, -1])
def test_there_is_a_permit_at_least(kind: type[Semaphore], value: int) -> None:
    with pytest.raises(ValueError, match="semaphore begins with"):
        kind(value, robust=True)
    with pytest.raises(ValueError, match="not a number"):
        kind(robust=True).acquire(timeout=float("nan"))


def test_another_process_cannot_release(start_method: StartMethod) -> None:
    semaphore = Semaphore(2, robust=True)
    semaphore.acquire()
    ours, theirs = Pipe()
    child = get_context(start_method).Process(
        target=targets.release, args=(semaphore, theirs)
    )
    child.start()
    assert ours.poll(targets.SECONDS)
    assert ours.recv() is ValueError
    child.join(targets.SECONDS)
    assert semaphore.get_value() == 1
    semaphore.release()
    ours.close()
    theirs.close()


def test_what_the_dead_held_is_given_back(start_method: StartMethod) -> None:
    semaphore = Semaphore(3, robust=True)
    ours, theirs = Pipe()
    for depth in (2, 1):
        process = get_context(start_method).Process(
            target=targets.hold_and_die, args=(semaphore, theirs, depth)
        )
        process.start()
        process.join(targets.SECONDS)
        ours.recv()
    assert [semaphore.acquire(timeout=targets.SECONDS) for _ in range(3)] == [True] * 3
    assert semaphore.acquire(False) is False
    for _ in range(3):
        semaphore.release()
    ours.close()
    theirs.close()


def test_a_waiter_gets_what_the_dead_held() -> None:
    semaphore = Semaphore(1, robust=True)
    ours, theirs = Pipe()
    holder = get_context("fork").Process(target=targets.hold, args=(semaphore, theirs))
    holder.start()
    assert ours.poll(targets.SECONDS)
    ours.recv()
    assert semaphore.acquire(timeout=0.02) is False
    timer = threading.Timer(0.05, holder.kill)
    timer.start()
    assert semaphore.acquire(timeout=targets.SECONDS)
    timer.join()
    holder.join(targets.SECONDS)
    semaphore.release()
    ours.close()
    theirs.close()


def test_a_zombie_holds_nothing() -> None:
    semaphore = Semaphore(1, robust=True)
    pid = dead_after(semaphore.acquire)
    assert semaphore.acquire(timeout=targets.SECONDS)
    reap(pid)


def test_a_process_of_the_same_number_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    semaphore = Semaphore(1, robust=True)
    with monkeypatch.context() as patch:
        patch.setattr(_permits, "_this_process", lambda: (os.getpid(), 12345))
        semaphore.acquire()
    assert semaphore.acquire(timeout=targets.SECONDS)
    semaphore.release()


def test_where_processes_cannot_be_looked_at_their_existence_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(pid: int) -> int:
        raise PermissionError

    semaphore = Semaphore(2, robust=True)
    assert semaphore.acquire()
    pid = dead_after(semaphore.acquire)
    reap(pid)
    real = _permits._this_process()
    monkeypatch.setattr(_permits, "_start_of", refuse)
    monkeypatch.setattr(_permits, "_this_process", lambda: real)
    assert semaphore.acquire(timeout=targets.SECONDS)  # of the one that is gone
    assert semaphore.acquire(False) is False


def test_waiters_of_semaphores_are_woken(start_method: StartMethod) -> None:
    semaphore = Semaphore(1, robust=True)
    ours, theirs = Pipe()
    with semaphore:
        child = get_context(start_method).Process(
            target=targets.acquire_and_say, args=(semaphore, theirs)
        )
        child.start()
        assert ours.poll(targets.SECONDS)
        assert ours.recv() == "here"
        assert not ours.poll(0.02)
    assert ours.poll(targets.SECONDS)
    assert ours.recv() is True
    child.join(targets.SECONDS)
    ours.close()
    theirs.close()


class Named(Semaphore):
    """A subclass with something to carry."""

    name: str


def test_a_robust_semaphore_of_a_subclass_travels() -> None:
    ours, theirs = Pipe()
    semaphore = Named(1, robust=True)
    semaphore.name = "x"
    semaphore.acquire()
    ours.send(semaphore)
    received = theirs.recv()
    assert (type(received), received.name) == (Named, "x")
    assert received.locked()
    received.release()  # the process is the same
    assert semaphore.get_value() == 1
    ours.close()
    theirs.close()


def kill_at_step(number: int, module: str, work: Callable[[], object]) -> bool:
    """Have a process do this and be killed at a line of the module; whether it was."""
    pid = os.fork()
    if pid == 0:
        left = number

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            if frame.f_globals.get("__name__") != module:
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


def test_killed_at_every_step_of_taking_and_giving_back_permits() -> None:
    semaphore = Semaphore(2, robust=True)

    def work() -> None:
        semaphore.acquire()
        semaphore.acquire()
        semaphore.acquire(False)
        semaphore.release()

    step = 0
    while kill_at_step(step, "mp_sync._permits", work):
        assert semaphore.acquire(timeout=targets.SECONDS)
        assert semaphore.acquire(timeout=targets.SECONDS)
        semaphore.release()
        semaphore.release()
        assert semaphore.get_value() == 2
        step += 1
    assert step > 20


def test_time_is_kept() -> None:
    semaphore = Semaphore(1, robust=True)
    semaphore.acquire()
    start = time.monotonic()
    assert semaphore.acquire(timeout=0.3) is False
    assert time.monotonic() - start >= 0.3


# A file that was opened when the signal came is closed when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [Lock, Semaphore])
def test_signals_interrupt_waits_and_take_nothing(kind: Any) -> None:
    """At whatever point of the wait they come."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise LookupError

    def wait(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        lock.acquire(timeout=targets.SECONDS)

    lock = kind(robust=True)
    ours, theirs = Pipe()
    holder = get_context("fork").Process(target=targets.hold, args=(lock, theirs))
    holder.start()
    assert ours.poll(targets.SECONDS)
    ours.recv()
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        for delay in range(20):
            # In Python, a handler that raises as a with statement ends may keep its
            # lock held; there it comes when the wait has begun.
            begun = 0.0001 if _backend.backend == "native" else 0.01
            with pytest.raises(LookupError):
                wait(begun + delay / 20000)
        ours.send("let go")
        holder.join(targets.SECONDS)
        assert holder.exitcode == 0
        assert not lock.locked()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    holder.close()
    ours.close()
    theirs.close()
