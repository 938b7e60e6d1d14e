"""Condition: who is notified, who is not, and what deaths do."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import mp_sync_targets as targets
import pytest

from mp_connection import HandleError, Pipe, wait
from mp_process import BaseProcess, get_context
from mp_sync import Condition, Lock, OwnerDiedError, RLock, Semaphore
from mp_sync.arena import allocate
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_sync import _turns

Waiter = tuple[BaseProcess, targets.Report]


@pytest.fixture(params=[None, Lock, RLock])
def condition(request: pytest.FixtureRequest) -> Iterator[Condition]:
    """Over each kind of lock."""
    yield Condition() if request.param is None else Condition(request.param())
    del request.node.funcargs["condition"]


def waiters(condition: Condition, method: StartMethod, count: int) -> list[Waiter]:
    """Processes that wait."""
    made = []
    for _ in range(count):
        ours, theirs = Pipe()
        process = get_context(method).Process(
            target=targets.wait_for_condition, args=(condition, theirs)
        )
        process.start()
        theirs.close()
        made.append((process, ours))
    for _, report in made:
        assert report.poll(targets.SECONDS)
        assert report.recv() == "here"
    with condition:  # which they let go of when they wait
        pass
    return made


def gone_on(made: list[Waiter], count: int, seconds: float = targets.SECONDS) -> int:
    """Wait until so many have gone on; how many have."""
    reports = {report for _, report in made}
    deadline = time.monotonic() + seconds
    done: set[object] = set()
    while len(done) < count and time.monotonic() < deadline:
        done.update(wait(list(reports - done), deadline - time.monotonic()))
    return len(done | set(wait(list(reports), 0)))


def finish(condition: Condition, made: list[Waiter]) -> None:
    with condition:
        condition.notify_all()
    for process, report in made:
        process.join(targets.SECONDS)
        assert process.exitcode == 0
        process.close()
        assert report.recv() is True
        report.close()


def test_as_many_go_on_as_are_notified(
    condition: Condition, start_method: StartMethod
) -> None:
    made = waiters(condition, start_method, 4)
    targets.notify(condition, 1)
    assert gone_on(made, 1) == 1
    targets.notify(condition, 2)
    assert gone_on(made, 3) == 3
    assert gone_on(made, 4, 0.2) == 3
    finish(condition, made)


def test_another_process_notifies(start_method: StartMethod) -> None:
    condition = Condition()
    made = waiters(condition, start_method, 2)
    process = get_context(start_method).Process(
        target=targets.notify, args=(condition, 5)
    )
    process.start()
    assert gone_on(made, 2) == 2
    process.join(targets.SECONDS)
    finish(condition, made)


def test_nobody_is_notified_in_advance(condition: Condition) -> None:
    with condition:
        condition.notify()
        condition.notify_all()
        assert condition.wait(0.05) is False
        assert condition.wait(0) is False
        assert condition.wait(-1) is False
        condition.notify(0)


def test_one_that_comes_later_takes_no_notification_away() -> None:
    """It was not there when the others were notified."""
    condition = Condition()
    made = waiters(condition, "fork", 2)
    with condition:
        condition.notify(1)
        # It would get here first, as the others do not have the lock yet.
        assert condition.wait(0) is False
    assert gone_on(made, 1) == 1
    finish(condition, made)


def test_processes_take_turns(condition: Condition, start_method: StartMethod) -> None:
    memory = allocate(64)
    processes = [
        get_context(start_method).Process(
            target=targets.take_turns, args=(condition, memory, me, 60)
        )
        for me in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(targets.SECONDS)
        assert process.exitcode == 0
        process.close()
    assert memory.memory()[0] == 180


def test_every_notification_of_one_wakes_one(start_method: StartMethod) -> None:
    """Items are produced and consumed one by one, and none is forgotten."""
    condition, memory = Condition(), allocate(64)
    processes = [
        get_context(start_method).Process(
            target=targets.wait_and_count, args=(condition, memory, 40)
        )
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    view = memory.memory()
    for _ in range(120):
        with condition:
            view[0] += 1
            condition.notify()
    for process in processes:
        process.join(targets.SECONDS)
        assert process.exitcode == 0
        process.close()
    assert (view[0], view[1]) == (0, 120)


def test_it_is_sent_with_its_lock() -> None:
    ours, theirs = Pipe()
    lock = RLock()
    condition = Condition(lock)
    ours.send((condition, lock))
    received, same = theirs.recv()
    with received:
        assert repr(same) == repr(lock)
        assert "count=1" in repr(lock)
        assert repr(condition) == f"<Condition {lock!r}>"
    with pytest.raises(HandleError):
        pickle.dumps(condition)
    ours.close()
    theirs.close()


def test_waiting_and_notifying_need_the_lock(condition: Condition) -> None:
    for function in (
        condition.wait,
        condition.notify,
        condition.notify_all,
        lambda: condition.wait_for(lambda: False),
    ):
        with pytest.raises(RuntimeError, match="hold"):
            function()
    assert condition.acquire(False)
    condition.release()


@pytest.mark.parametrize("wrong", [Semaphore, threading.Lock, int])
def test_other_locks_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="over a Lock or an RLock"):
        Condition(wrong())  # type: ignore[arg-type]


def test_the_time_of_wait_for_is_for_all_its_waits(condition: Condition) -> None:
    start = time.monotonic()
    with condition:
        assert condition.wait_for(lambda: 0, 0.3) == 0
        assert condition.wait_for(lambda: "yes", 0) == "yes"
    assert 0.3 <= time.monotonic() - start < 10


def test_a_recursive_lock_is_let_go_of_entirely() -> None:
    condition = Condition()
    taken: list[bool] = []

    def notify() -> None:
        taken.append(condition.acquire(timeout=targets.SECONDS))
        condition.notify()
        condition.release()

    thread = threading.Thread(target=notify)
    with condition, condition, condition:
        thread.start()
        assert condition.wait(targets.SECONDS)
        assert "count=3" in repr(condition)
    thread.join()
    assert taken == [True]


def test_tickets_start_again_at_zero() -> None:
    condition = Condition()
    words = condition._words
    words.set(_turns._NEXT, 2**32 - 2)
    made: list[Waiter] = []
    for count in range(1, 5):
        made += waiters(condition, "fork", 1)
        assert words.get(_turns._WAITING) == count
    assert words.get(_turns._NEXT) == 2
    targets.notify(condition, 2)
    assert gone_on(made, 2) == 2
    finish(condition, made)


# ---------------------------------------------------------------------------- deaths


def test_a_killed_waiter_takes_no_notification_with_it(
    start_method: StartMethod,
) -> None:
    """Those that are alive get it."""
    condition = Condition(Lock())
    made = waiters(condition, start_method, 3)
    process, report = made.pop(0)
    process.kill()
    process.join(targets.SECONDS)
    process.close()
    report.close()
    targets.notify(condition, 1)
    assert gone_on(made, 1) >= 1
    targets.notify(condition, 1)
    assert gone_on(made, 2) == 2
    finish(condition, made)


def test_one_that_is_killed_when_notified_passes_it_on(
    start_method: StartMethod,
) -> None:
    """It was woken, and had no time to run: it never had the lock again."""
    condition = Condition(Lock())
    made = waiters(condition, start_method, 1)
    process, report = made.pop(0)
    made += waiters(condition, start_method, 1)
    with condition:
        condition.notify(1)
        process.kill()
        process.join(targets.SECONDS)
    process.close()
    report.close()
    assert gone_on(made, 1, 10) == 1
    finish(condition, made)


def test_the_lock_of_a_waiter_may_be_lost() -> None:
    """The error is that, and not one of releasing what is not held."""
    condition = Condition()
    pid = os.fork()
    if pid == 0:
        while not condition._words.get(_turns._WAITING):
            time.sleep(0.001)
        condition.acquire()
        condition.notify()
        os.kill(os.getpid(), signal.SIGKILL)
    with pytest.raises(OwnerDiedError) as info, condition:
        condition.wait(targets.SECONDS)
    assert info.value.pid == pid
    os.waitpid(pid, 0)


class Interrupt(Exception):
    """What the handler raises."""


def test_a_wait_may_be_interrupted_and_lose_its_lock() -> None:
    """What is raised is one of the two, and not that nothing can be released."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    condition = Condition()
    parent = os.getpid()
    previous = signal.signal(signal.SIGUSR1, handler)
    pid = os.fork()
    if pid == 0:
        while not condition._words.get(_turns._WAITING):
            time.sleep(0.001)
        condition.acquire()
        os.kill(parent, signal.SIGUSR1)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        with pytest.raises((Interrupt, OwnerDiedError)), condition:
            condition.wait(targets.SECONDS)
    finally:
        signal.signal(signal.SIGUSR1, previous)
        os.waitpid(pid, 0)
    with pytest.raises(OwnerDiedError):
        condition.acquire()


def test_an_interrupted_wait_has_the_lock_back(condition: Condition) -> None:
    """At whatever point the signals come."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        for delay in range(40):
            with condition:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + delay / 20000)
                    condition.wait(targets.SECONDS)
                except Interrupt:
                    pass
                assert condition._lock._depth() == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert condition.acquire(False)
    condition.release()
