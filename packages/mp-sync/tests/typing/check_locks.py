"""What type checkers make of locks and their like.  Checked, never run."""

from __future__ import annotations

from typing import Literal, assert_type

from mp_sync import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    OwnerDiedError,
    RLock,
    Semaphore,
)
from mp_sync.arena import allocate


def annotated(lock: Lock, again: RLock, places: Semaphore, go: Event) -> None:
    with lock as held, again, places:
        assert_type(held, Literal[True])
    assert_type(lock.acquire(), bool)
    assert_type(lock.acquire(False, 1), bool)
    assert_type(again.acquire(block=True, timeout=None), bool)
    lock.acquire(blocking=False)  # type: ignore[call-arg]
    lock.acquire(timeout="1")  # type: ignore[arg-type]
    assert_type(lock.locked(), bool)
    assert_type(places.get_value(), int)
    assert_type(go.wait(0.5), bool)
    assert_type(go.is_set(), bool)
    lock.get_value()  # type: ignore[attr-defined]


annotated(Lock(), RLock(), BoundedSemaphore(2), Event())
annotated(RLock(), RLock(), Semaphore(), Event())  # type: ignore[arg-type]
Lock(robust=True)
Lock(True)  # type: ignore[call-arg]
RLock(robust=True)  # type: ignore[call-arg]
Semaphore(3, robust=True)
Semaphore("3")  # type: ignore[arg-type]
Event(1)  # type: ignore[call-arg]


def recovering(lock: Lock | RLock) -> int:
    try:
        lock.acquire()
    except OwnerDiedError as error:
        assert_type(lock.recover(), bool)
        return error.pid
    return 0


def number() -> int:
    return 1


def waiting(condition: Condition, barrier: Barrier) -> None:
    with condition:
        assert_type(condition.wait(1.5), bool)
        assert_type(condition.wait_for(number, timeout=2), int)
        condition.notify(2)
        condition.notify_all()
    assert_type(barrier.wait(), int)
    assert_type(barrier.parties, int)
    barrier.parties = 2  # type: ignore[misc]


Condition(Lock())
Condition(RLock())
Condition(Semaphore())  # type: ignore[arg-type]
Barrier(2, number, 1.5)
Barrier()  # type: ignore[call-arg]


async def in_event_loops(
    lock: Lock, places: Semaphore, go: Event, condition: Condition
) -> None:
    assert_type(await lock.aacquire(), bool)
    assert_type(await places.aacquire(timeout=1), bool)
    assert_type(await go.await_(1), bool)
    async with lock, places, condition:
        assert_type(await condition.await_(), bool)
        assert_type(await condition.await_for(number), int)
    await RLock().aacquire()  # type: ignore[attr-defined]


assert_type(allocate(10).memory(), memoryview)
