"""Locks, events, conditions, barriers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

assert sys.platform == "linux"

from bench.harness import Body, Row, Timed, add_row, each, row, started, together
from bench.implementations import Implementation
from bench.targets import hammer, meet, now, pong, take_turns

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext
    from multiprocessing.synchronize import Lock, RLock, Semaphore

AREA = "locks"
Maker = Callable[["ForkContext"], "Lock | RLock | Semaphore"]


# ----------------------------------------------------------------- nobody else wants it
def _methods(make: Maker) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        lock = make(implementation.context())

        def timed(loops: int) -> float:
            begin = now()
            hammer(lock, loops)
            return now() - begin

        yield timed

    return body


def _block(make: Maker) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        lock = make(implementation.context())

        # The loop is here, as a call would cost as much as the lock.
        def timed(loops: int) -> float:
            turns = range(loops)
            begin = now()
            for _ in turns:
                with lock:
                    pass
            return now() - begin

        yield timed

    return body


MAKERS: dict[str, Maker] = {
    "lock": lambda context: context.Lock(),
    "rlock": lambda context: context.RLock(),
    "semaphore": lambda context: context.Semaphore(3),
}
for name, make in MAKERS.items():
    add_row(Row(AREA, f"{name}_methods", _methods(make)))
    add_row(Row(AREA, f"{name}_block", _block(make)))


@row(AREA)
def lock_create(implementation: Implementation) -> Iterator[Timed]:
    yield each(implementation.context().Lock)


@row(AREA)
def event_create(implementation: Implementation) -> Iterator[Timed]:
    yield each(implementation.context().Event)


@row(AREA)
def event_is_set(implementation: Implementation) -> Iterator[Timed]:
    yield each(implementation.context().Event().is_set)


@row(AREA)
def event_set(implementation: Implementation) -> Iterator[Timed]:
    yield each(implementation.context().Event().set)


# ------------------------------------------------------------------------ several do
def _contended(count: int) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        context = implementation.context()
        lock = context.Lock()
        yield lambda loops: together(context, [(hammer, (lock, loops))] * count)

    return body


for count in (2, 4):
    add_row(Row(AREA, f"lock_contended_{count}", _contended(count)))


@row(AREA, cpus=1)
def event_round_trip(implementation: Implementation) -> Iterator[Timed]:
    """Two events set and waited for, in turn."""
    context = implementation.context()
    ping, answer, stop = context.Event(), context.Event(), context.RawValue("i", 0)
    with started(context, pong, ping, answer, stop):

        def both() -> None:
            ping.set()
            answer.wait()
            answer.clear()

        yield each(both)
        stop.value = 1
        ping.set()


@row(AREA, cpus=1)
def condition_handoff(implementation: Implementation) -> Iterator[Timed]:
    """Two processes take turns, each waking the other."""
    context = implementation.context()
    condition, turn = context.Condition(), context.RawValue("i", 0)

    def timed(loops: int) -> float:
        jobs = [(take_turns, (condition, turn, me, loops)) for me in (0, 1)]
        return together(context, jobs)

    yield timed


@row(AREA)
def barrier_4(implementation: Implementation) -> Iterator[Timed]:
    context = implementation.context()
    barrier = context.Barrier(4)
    yield lambda loops: together(context, [(meet, (barrier, loops))] * 4)
