"""Queues of both kinds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

assert sys.platform == "linux"

from bench.harness import (
    SMALL,
    Body,
    Job,
    MiB,
    Row,
    Timed,
    acknowledged,
    add_row,
    each,
    row,
    started,
    together,
)
from bench.implementations import Implementation
from bench.targets import get_many, now, put_many, queue_drain, queue_echo

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

AREA = "queues"


def _make(implementation: Implementation, kind: str) -> Queue[Any]:
    context = implementation.context()
    if kind == "simplequeue":
        return context.SimpleQueue()  # type: ignore[return-value]  # but for its put
    return context.Queue()


def _round_trip(kind: str) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        there, back = _make(implementation, kind), _make(implementation, kind)
        with started(implementation.context(), queue_echo, there, back):
            put, get = there.put, back.get

            def both() -> None:
                put(SMALL)
                get()

            yield each(both)
            put(None)

    return body


def _one_way(kind: str, item: object) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        queue = _make(implementation, kind)
        with (
            acknowledged() as (done, end),
            started(implementation.context(), queue_drain, queue, end),
        ):

            def timed(loops: int) -> float:
                begin = now()
                queue.put(loops)
                put_many(queue, item, loops)
                done()
                return now() - begin

            yield timed
            queue.put(0)

    return body


def _crowd(kind: str) -> Body:
    """4 processes put, 4 get; the time is that of one item."""

    def body(implementation: Implementation) -> Iterator[Timed]:
        queue = _make(implementation, kind)

        def timed(loops: int) -> float:
            each_of = max(1, loops // 4)
            puts: Job = (put_many, (queue, SMALL, each_of))
            gets: Job = (get_many, (queue, each_of))
            # For few items it is the start of the processes.
            spent = together(implementation.context(), [puts, gets] * 4)
            return spent * loops / (4 * each_of)

        yield timed

    return body


for kind in ("queue", "simplequeue"):
    add_row(Row(AREA, f"{kind}_round_trip", _round_trip(kind), cpus=1))
    add_row(Row(AREA, f"{kind}_round_trip_2_cpus", _round_trip(kind)))
    add_row(Row(AREA, f"{kind}_one_way", _one_way(kind, SMALL)))
    add_row(Row(AREA, f"{kind}_4_to_4", _crowd(kind)))
    add_row(Row(AREA, f"{kind}_one_way_1MiB", _one_way(kind, bytes(MiB))))


@row(AREA)
def queue_one_way_array_8MiB(implementation: Implementation) -> Iterator[Timed]:
    """An object of numpy, pickled."""
    import numpy

    array = numpy.arange(MiB, dtype="f8")
    yield from _one_way("queue", array)(implementation)
