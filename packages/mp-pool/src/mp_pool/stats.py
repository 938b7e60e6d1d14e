"""What `Pool.stats` returns."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("PoolStats", "WorkerStats")


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """What one worker does and has done.

    Attributes:
        pid: its process identifier; None if it has not started.
        busy: whether it runs a task just now.
        done: tasks that it has completed.
        failed: those of them that failed.
        busy_seconds: how long it has run tasks, those that are complete.
        bytes: pickles that were sent to it and came back.
    """

    pid: int | None
    busy: bool
    done: int
    failed: int
    busy_seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool does and has done.

    Attributes:
        workers: those that are there.
        queued: chunks that wait for a worker, and single tasks, which are counted as
            such.
        running: tasks that run.
        done: tasks that are complete, on workers that are gone too.
        failed: those of them that failed; tasks whose worker died do not count.
        busy_seconds: how long workers have run tasks that are complete.
        bytes: pickles that were sent to workers and came back.
        restarts: workers that were started in the place of others.
    """

    workers: tuple[WorkerStats, ...]
    queued: int
    running: int
    done: int
    failed: int
    busy_seconds: float
    bytes: int
    restarts: int


for _class in (WorkerStats, PoolStats):
    _class.__module__ = "mp_pool"
