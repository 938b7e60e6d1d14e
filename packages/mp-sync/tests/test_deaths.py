"""Processes killed while they hold or wait, and Ctrl-C."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import mp_sync_targets as targets
import pytest
from mp_sync_targets import AnyLock

from mp_connection import Pipe, ProcessError
from mp_process import BaseProcess, get_context
from mp_sync import Event, Lock, OwnerDiedError, RLock, Semaphore, _backend
from mp_testing import StartMethod

assert sys.platform == "linux"


def holder_killed(lock: AnyLock, method: StartMethod, depth: int = 1) -> int:
    """Have a process die in possession of the lock; its pid."""
    ours, theirs = Pipe()
    process = get_context(method).Process(
        target=targets.hold_and_die, args=(lock, theirs, depth)
    )
    process.start()
    theirs.close()
    process.join(targets.SECONDS)
    assert process.exitcode == -signal.SIGKILL
    process.close()
    pid = ours.recv()
    ours.close()
    assert isinstance(pid, int)
    return pid


def test_the_death_of_a_holder_is_an_error(start_method: StartMethod) -> None:
    lock = RLock()
    pid = holder_killed(lock, start_method, depth=2)
    for _ in range(2):
        with pytest.raises(OwnerDiedError, match=f"process {pid}, or a") as info:
            lock.acquire()
        assert info.value.pid == pid
        assert isinstance(info.value, ProcessError)
    with pytest.raises(OwnerDiedError):
        lock.acquire(block=False)
    with pytest.raises(OwnerDiedError), lock:
        pass
    with pytest.raises(AssertionError):
        lock.release()


def test_a_lock_is_recovered_once(start_method: StartMethod) -> None:
    lock = RLock()
    holder_killed(lock, start_method)
    assert lock.recover() is True
    assert repr(lock).endswith("count=1>")
    assert lock.recover() is False
    assert lock.acquire()
    lock.release()
    lock.release()
    assert not lock.locked()
    with lock:
        pass
    assert lock.recover() is False


def test_a_lock_is_recovered_before_anybody_noticed(start_method: StartMethod) -> None:
    lock = RLock()
    holder_killed(lock, start_method)
    assert lock.recover() is True
    lock.release()


def test_a_recoverer_may_die_too(start_method: StartMethod) -> None:
    lock = RLock()
    first = holder_killed(lock, start_method)
    pid = os.fork()
    if pid == 0:
        lock.recover()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    with pytest.raises(OwnerDiedError) as info:
        lock.acquire()
    assert first != info.value.pid == pid


def test_the_death_of_a_holder_wakes_those_who_wait(start_method: StartMethod) -> None:
    """Each of them, though nobody releases the lock."""
    lock = RLock()
    ours, theirs = Pipe()
    holder = get_context(start_method).Process(target=targets.hold, args=(lock, theirs))
    holder.start()
    assert ours.poll(targets.SECONDS)
    pid = ours.recv()
    errors: list[object] = []

    def wait() -> None:
        try:
            lock.acquire(timeout=targets.SECONDS)
        except OwnerDiedError as error:
            errors.append(error.pid)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    holder.kill()
    for thread in threads:
        thread.join(targets.SECONDS / 2)
    assert errors == [pid] * 3
    holder.join()
    ours.close()
    theirs.close()


def test_a_thread_that_ends_in_possession_is_noticed_as_well() -> None:
    lock = RLock()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    with pytest.raises(OwnerDiedError) as info:
        lock.acquire(timeout=targets.SECONDS)
    assert info.value.pid == os.getpid()


def test_a_plain_lock_stays_held(start_method: StartMethod) -> None:
    """Anybody may release it, so that there is no telling whom it waits for."""
    for lock in (Lock(), Semaphore()):
        holder_killed(lock, start_method)
        assert lock.acquire(timeout=0.2) is False
        lock.release()
        with lock:
            pass


def waiter(
    method: StartMethod,
    target: Callable[..., object],
    shared: AnyLock | Event,
) -> tuple[BaseProcess, targets.Report]:
    """A process that waits, and what it will say when it has waited."""
    ours, theirs = Pipe()
    process = get_context(method).Process(target=target, args=(shared, theirs))
    process.start()
    theirs.close()
    assert ours.poll(targets.SECONDS)
    ours.recv()
    deadline = time.monotonic() + 5
    while "futex" not in wchan(process.pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    return process, ours


def wchan(pid: int | None) -> str:
    try:
        with open(f"/proc/{pid}/wchan") as file:
            return file.read()
    except OSError:
        return "futex"  # not told


def test_a_waiter_that_is_killed_disturbs_nobody(
    lock: AnyLock, start_method: StartMethod
) -> None:
    with lock:
        doomed = [waiter(start_method, targets.acquire_and_say, lock) for _ in range(2)]
        for process, report in doomed:
            process.kill()
            process.join(targets.SECONDS)
            report.close()
    for _ in range(3):
        assert lock.acquire(timeout=targets.SECONDS)
        lock.release()


#: Where each kind notes that somebody is asleep, and what it says when nobody is.
ANNOUNCEMENT = {
    "native": {"Lock": (0, 1), "RLock": (52, 0), "Semaphore": (4, 0)},
    "portable": {"Lock": (60, 0), "RLock": (72, 0), "Semaphore": (56, 0)},
}[_backend.backend]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="where an RLock keeps what")
def test_a_woken_waiter_that_is_killed_leaves_nobody_asleep(
    lock: AnyLock, start_method: StartMethod
) -> None:
    """Its wake-up is lost with it: the next one looks for itself.

    The loss is made by a release that knows of nobody to wake.
    """
    lock.acquire()
    process, report = waiter(start_method, targets.acquire_and_say, lock)
    name = type(lock).__name__.removeprefix("Bounded")
    offset, nobody = ANNOUNCEMENT[name]
    reduced = lock.__reduce__()
    assert isinstance(reduced, tuple)
    memory = reduced[1][1].memory().cast("I")
    while memory[offset // 4] != nobody + 1:  # it is just looking
        time.sleep(0.001)
    memory[offset // 4] = nobody
    lock.release()
    assert report.poll(5)
    assert report.recv() is True
    process.join(targets.SECONDS)
    report.close()


def test_setting_an_event_waits_for_nobody(start_method: StartMethod) -> None:
    """Neither for one that is stopped, nor for one that is dead."""
    event = Event()
    stopped, first = waiter(start_method, targets.wait_for_event, event)
    killed, second = waiter(start_method, targets.wait_for_event, event)
    assert stopped.pid is not None
    os.kill(stopped.pid, signal.SIGSTOP)
    killed.kill()
    killed.join(targets.SECONDS)
    for _ in range(3):
        event.set()
        assert event.wait(0)
        event.clear()
    stopped.kill()
    stopped.join(targets.SECONDS)
    first.close()
    second.close()


# ----------------------------------------------------------------------------- Ctrl-C


class Interrupt(Exception):
    """What the handler raises."""


def interrupted_after(wait: Callable[[], object]) -> float:
    """Send a signal into a wait that would be long; how long it took to end."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    def kill() -> None:
        time.sleep(0.1)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    sent: list[float] = []
    previous = signal.signal(signal.SIGINT, handler)
    thread = threading.Thread(target=kill)
    try:
        thread.start()
        with pytest.raises(Interrupt):
            wait()
        return time.monotonic() - sent[0]
    finally:
        thread.join()
        signal.signal(signal.SIGINT, previous)


def test_a_signal_interrupts_a_wait(lock: AnyLock, start_method: StartMethod) -> None:
    ours, theirs = Pipe()
    child = get_context(start_method).Process(target=targets.hold, args=(lock, theirs))
    child.start()
    assert ours.poll(targets.SECONDS)
    ours.recv()
    assert interrupted_after(lock.acquire) < 5
    assert interrupted_after(lambda: lock.acquire(timeout=60)) < 5
    assert interrupted_after(lock.__enter__) < 5
    ours.send("enough")
    child.join(targets.SECONDS)
    assert child.exitcode == 0
    assert lock.acquire(timeout=targets.SECONDS)
    lock.release()
    ours.close()
    theirs.close()


def test_a_signal_interrupts_waiting_for_an_event() -> None:
    event = Event()
    assert interrupted_after(event.wait) < 5
    assert interrupted_after(lambda: event.wait(60)) < 5
    assert not event.is_set()


def test_a_signal_whose_handler_returns_does_not_end_a_wait(lock: AnyLock) -> None:
    calls: list[int] = []
    lock.acquire()
    previous = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        event = Event()
        assert event.wait(0.3) is False
        if not isinstance(lock, RLock):
            start = time.monotonic()
            assert lock.acquire(timeout=0.3) is False
            assert time.monotonic() - start >= 0.3
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert len(calls) >= 5
    lock.release()
