"""What the rows are made of."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

assert sys.platform == "linux"

from bench.implementations import API, Implementation
from bench.targets import gated, now

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext
    from multiprocessing.process import BaseProcess

KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30
SMALL = (1, "abc", 2.5)

#: Does something so often, and returns how long that took (seconds, or bytes for a
#: row of memory: those of one multiplied).
Timed = Callable[[int], float]
Body = Callable[[Implementation], Iterator[Timed]]
Job = tuple[Callable[..., None], tuple[Any, ...]]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        area: what part of the API it belongs to.
        name: unique.
        unit: of the value: ``second`` or ``byte``.
        needs: what an implementation must have.
        cpus: how many the processes may use; None for all.
    """

    area: str
    name: str
    body: Body
    unit: str = "second"
    needs: str = API
    cpus: int | None = None

    def open(self, implementation: Implementation) -> AbstractContextManager[Timed]:
        """Prepare it; the block gets what is to be timed, and its end tidies up."""
        if self.cpus is not None:
            os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: self.cpus]))
        return contextmanager(self.body)(implementation)


ROWS: dict[str, Row] = {}


def row(
    area: str, *, unit: str = "second", needs: str = API, cpus: int | None = None
) -> Callable[[Body], Body]:
    """Register a generator that yields one `Timed` as the row of that name."""

    def register(body: Body) -> Body:
        add_row(Row(area, body.__name__, body, unit, needs, cpus))
        return body

    return register


def add_row(row: Row) -> None:
    """Register *row*."""
    assert row.name not in ROWS, row.name
    ROWS[row.name] = row


def each(action: Callable[[], object]) -> Timed:
    """Time *action*, loop included."""

    def timed(loops: int) -> float:
        turns = range(loops)
        begin = now()
        for _ in turns:
            action()
        return now() - begin

    return timed


@contextmanager
def started(
    context: ForkContext, target: Callable[..., object], *args: Any
) -> Iterator[BaseProcess]:
    """A process for the time of a block, joined at its end."""
    process = context.Process(target=target, args=args)
    process.start()
    try:
        yield process
    except BaseException:
        process.terminate()
        raise
    finally:
        process.join()


@contextmanager
def acknowledged() -> Iterator[tuple[Callable[[], object], int]]:
    """A way for a child to say one thing: a function that waits for it, and an end."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        yield (lambda: os.read(reader, 1)), writer
    finally:
        os.close(reader)
        os.close(writer)


def together(context: ForkContext, jobs: Sequence[Job]) -> float:
    """Run all *jobs*, each in a forked process and at once; return the time of all."""
    gate, gate_end = os.pipe()
    out, out_end = os.pipe()
    processes = [
        context.Process(target=gated, args=(gate, gate_end, out_end, *job))
        for job in jobs
    ]
    for process in processes:
        process.start()
    for end in (gate, out_end, gate_end):
        os.close(end)
    with open(out) as lines:
        spans = [tuple(map(float, line.split())) for line in lines]
    for process in processes:
        process.join()
    assert len(spans) == len(jobs), "a process failed"
    return max(span[1] for span in spans) - min(span[0] for span in spans)
