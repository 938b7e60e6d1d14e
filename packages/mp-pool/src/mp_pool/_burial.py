"""What becomes of the tasks of a worker that has ended."""

from __future__ import annotations

from mp_connection.lean import dumps
from mp_pool._again import split
from mp_pool._deaths import death_of, ended_by_itself, why_not_ready
from mp_pool._desk import BROKEN, CLOSED, OPEN
from mp_pool._jobs import Dropped
from mp_pool._packs import Pack, first_of
from mp_pool._result import Failure
from mp_pool._scheduler import LOST, LOST_PART, RETRIED, STOPPED, UNTOUCHED
from mp_pool._wire import NOTED, PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_pool._foreman import Foreman
    from mp_pool._jobs import Chunk
    from mp_pool._lane import Lane


def ended(foreman: Foreman, lane: Lane) -> None:
    """The process of a worker seems to have ended."""
    if not foreman.fleet.has_ended(lane):
        return
    if foreman.fleet.recall(lane.number):
        bury(foreman, lane)
    else:
        # The caller that leads it returns, and hands it over; or gives it back, if it
        # had the answer already and does not know of the end.
        lane.cut()
        foreman.fleet.unburied.append(lane)


def bury_returned(foreman: Foreman) -> bool:
    """Bury those that callers had when they ended; whether there are more."""
    unburied = foreman.fleet.unburied
    for lane in list(unburied):
        # Whoever handed one over has had it buried.
        if lane in foreman.fleet:
            if not foreman.fleet.recall(lane.number):
                continue
            bury(foreman, lane)
        unburied.remove(lane)
    return bool(unburied)


def bury(foreman: Foreman, lane: Lane) -> None:
    """Take in what a worker had sent before its end, and tell the scheduler."""
    scheduler, number = foreman.scheduler, lane.number
    scheduler.ended(number)
    while (received := lane.try_receive()) is not None:
        foreman.message(lane, received)
    loss = UNTOUCHED
    oldest = scheduler.oldest(number)
    if oldest is not None:
        loss = _loss(foreman, lane, oldest)
        pack = isinstance(oldest, Pack)
        if pack and loss in (LOST, LOST_PART):
            # What it took is separated from the rest, which is as new.
            lost(foreman, lane, oldest)
            loss = RETRIED
        if oldest.done == oldest.count:
            scheduler.answered(number, sent=False)
            loss = RETRIED
        elif not pack and (oldest.done or loss in (LOST_PART, RETRIED)):
            # The rest can only be sent to a worker that has nothing else to
            # receive.
            oldest.small = False
    # Once the pool has stopped, workers end because of that.
    if not (scheduler.workers[number].ready or scheduler.phase == STOPPED):
        foreman.desk.reason, foreman.desk.cause = why_not_ready(lane)
    scheduler.died(number, loss, ended_by_itself(lane))
    note_breakage(foreman)
    foreman.perform()
    foreman.fleet.discard(lane)


def _loss(foreman: Foreman, lane: Lane, chunk: Chunk) -> str:
    """What a worker took of its oldest chunk."""
    _recover(foreman, lane, chunk)
    index = lane.begun(chunk)  # None also if its value was noted
    if index is None:
        if chunk.verdict is None or chunk.done == chunk.count:
            return UNTOUCHED
        index = chunk.done
    task, times = chunk.died
    times = times + 1 if task == chunk.first + index else 1
    if chunk.verdict is None and times <= chunk.job.terms.retries:
        chunk.died = chunk.first + index, times
        if chunk.done < index:
            _, error = death_of(lane, chunk)
            foreman.resolve(chunk, index, Failure(error))
        return RETRIED
    return LOST_PART if index + 1 < chunk.count else LOST


def _recover(foreman: Foreman, lane: Lane, chunk: Chunk) -> None:
    """Take values that a worker had noted and not sent."""
    chunk.part = 0
    if not chunk.style & NOTED:
        return
    values = first_of(lane.values(chunk), chunk.done, chunk.count)
    if values:
        foreman.resolve(chunk, chunk.done + len(values), dumps(values, PROTOCOL))


def lost(foreman: Foreman, lane: Lane, chunk: Chunk) -> None:
    """A worker took a task with it, and values before it that were not sent."""
    verdict, chunk.verdict = chunk.verdict, None
    if isinstance(chunk.job, Dropped):
        chunk.done = chunk.count
        return
    untouched = verdict is None and lane.begun(chunk) is None
    if untouched and isinstance(chunk, Pack):
        # The first of those that are left is to blame: each is received by itself.
        task, error = death_of(lane, chunk)
        foreman.resolve(chunk, chunk.done + 1, Failure(error))
        if chunk.tasks:
            chunk.deaths = 0
            foreman.scheduler.cut_off(chunk)
        return
    if untouched and chunk.count > chunk.done + 1:
        split(foreman, chunk)
        return
    task, error = death_of(lane, chunk)
    if foreman.tracer is not None and error.pid is not None:
        foreman.tracer.happened(f"ended, and {chunk.job.describe(task)}", error.pid)
    foreman.resolve(chunk, task + 1 - chunk.first, verdict or Failure(error))


def note_breakage(foreman: Foreman) -> None:
    """Tell callers, if the pool has become unusable."""
    if foreman.scheduler.broken and foreman.desk.state in (OPEN, CLOSED):
        foreman.desk.state = BROKEN
