"""Calls that are not wanted any more."""

from __future__ import annotations

from mp_pool._desk import Call
from mp_pool._jobs import Collected, Dropped
from mp_pool._packs import Calls, Pack
from mp_pool._result import Failure
from mp_pool.errors import TaskCancelledError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mp_pool._desk import Cancellation
    from mp_pool._foreman import Foreman
    from mp_pool._jobs import Chunk
    from mp_pool._lane import Lane
    from mp_pool._result import AsyncResult


def cancel(foreman: Foreman, cancellation: Cancellation) -> None:
    """A call is not wanted any more."""
    job = _job_of(foreman, cancellation.result)
    if isinstance(job, Calls):
        _cancel_one(foreman, job, cancellation)
    if not isinstance(job, Collected):
        return  # it is complete
    holders = [
        (number, worker)
        for number, worker in foreman.scheduler.workers.items()
        if any(chunk.job is job for chunk in worker.held)
    ]
    if not cancellation.running and any(
        foreman.fleet[number].begun(worker.held[0]) is not None
        for number, worker in holders
        if worker.held[0].job is job
    ):
        return
    job.give_up(Failure(TaskCancelledError("the call was cancelled")))
    everywhere = [foreman.scheduler.pending, *(worker.held for _, worker in holders)]
    unwanted = [c for chunks in everywhere for c in chunks if c.job is job]
    for chunk in unwanted:
        chunk.job = Dropped(job)
    foreman.scheduler.withdraw(unwanted)
    for number, worker in holders:
        if isinstance(worker.held[0].job, Dropped):
            end_dropped(foreman, foreman.fleet[number])
        else:
            foreman.dropped = True
            if foreman.scheduler.size > 1:
                # All that it has not received, and then what it has in hand.
                while len(worker.held) > 1 and foreman.take_back(number):
                    pass
                foreman.take_back_waiting(number)
    # Whoever waits for the result hears of it when nobody will begin it any more.
    foreman.finish(job)


def _cancel_one(foreman: Foreman, calls: Calls, cancellation: Cancellation) -> None:
    """One of several calls is not wanted any more."""
    task = calls.find(cancellation.result)
    assert task is not None
    cancelled = Failure(TaskCancelledError("the call was cancelled"))
    pending = _pack_with(calls, task, foreman.scheduler.pending)
    if pending is not None:
        pending.drop(task)
        calls.end(task, cancelled)
        return
    for number, worker in foreman.scheduler.workers.items():
        pack = _pack_with(calls, task, worker.held)
        if pack is None:
            continue
        lane = foreman.fleet[number]
        begun = lane.begun(pack)
        ahead = 1 if begun is None else task - pack.first - begun
        # What is done already is only to arrive.
        if ahead < 0 or (ahead == 0 and not cancellation.running):
            return
        pack.drop(task)
        calls.end(task, cancelled)
        foreman.dropped = True
        if foreman.scheduler.size > 1:
            while len(worker.held) > 1 and foreman.take_back(number):
                pass
            if worker.held and worker.held[0] is pack:
                foreman.revoke(lane, pack)
        end_dropped(foreman, lane)
        return


def _pack_with(calls: Calls, task: int, chunks: Iterable[Chunk]) -> Pack | None:
    """The pack with a certain call that is not complete."""
    for chunk in chunks:
        if isinstance(chunk, Pack) and chunk.job is calls and task in chunk:
            return chunk
    return None


def _job_of(foreman: Foreman, result: AsyncResult[Any]) -> Collected | Calls | None:
    """The job with a certain result; None if it is complete."""
    for owner in list(foreman.desk.claims.values()):
        if isinstance(owner, Call) and owner.result is result:
            foreman.take_over(owner)
    for job in foreman.jobs:
        if isinstance(job, Collected) and job.result is result:
            return job
        if isinstance(job, Calls) and job.find(result) is not None:
            return job
    return None


def end_dropped(foreman: Foreman, lane: Lane) -> None:
    """End a worker if it runs something that nobody wants."""
    chunk = foreman.scheduler.oldest(lane.number)
    if chunk is None or foreman.scheduler.workers[lane.number].condemned:
        return
    if isinstance(chunk.job, Dropped):
        pass
    elif isinstance(chunk, Pack) and lane.begun(chunk) in chunk.dropped:
        # Should it end just now, the next task is not to suffer.
        if not foreman.revoke(lane, chunk):
            return
    else:
        return
    # If it is spared, the next answer is another occasion.
    foreman.dropped = True
    foreman.warden.end(lane, chunk, TaskCancelledError())
