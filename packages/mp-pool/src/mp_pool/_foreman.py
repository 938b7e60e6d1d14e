"""Carries out what the scheduler decides, and tells it what workers say.

Part of the I/O thread: nothing here is called from elsewhere.
"""

from __future__ import annotations

from functools import partial

from mp_connection.errors import HandleError
from mp_connection.lean import dumps, loads
from mp_pool._actions import (
    Action,
    Cancel,
    Fail,
    Kill,
    Send,
    Start,
    Stop,
    TakeBack,
    TakeBackWaiting,
)
from mp_pool._deaths import death_of, ended_by_itself, why_not_ready
from mp_pool._desk import (
    BROKEN,
    CLOSED,
    OPEN,
    TERMINATED,
    Again,
    Call,
    Cancellation,
    Desk,
)
from mp_pool._jobs import Chunk, Collected, Dropped, Job
from mp_pool._platform import Poller
from mp_pool._result import Failure, lost_descriptors, size_of
from mp_pool._scheduler import (
    DEEP,
    DEPTH,
    LOST,
    LOST_PART,
    RETRIED,
    STOPPED,
    UNTOUCHED,
    Scheduler,
)
from mp_pool._wire import (
    ANSWERS,
    DROPPED,
    FAILED,
    HELLO,
    NOTED,
    PART,
    PICKLE,
    PROTOCOL,
    READY,
    REFUSED,
    UNLOADED,
    Notice,
    beginning_at,
    pickle_chunk,
)
from mp_pool.errors import TaskCancelledError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_connection.channel import Received
    from mp_pool._callbacks import Callbacks
    from mp_pool._fleet import Fleet
    from mp_pool._lane import Lane
    from mp_pool._result import Answer, AsyncResult
    from mp_pool._trace import Tracer
    from mp_pool._warden import Warden


#: Chunks that are sent together at most: the worker has more to do while their answers
#: are dealt with.
MOST_TOGETHER = DEEP // 2


class Foreman:
    """Between the scheduler, the workers and the jobs.

    Args:
        desk: what is shared with callers.
        fleet: the workers.
        scheduler: decides.
        callbacks: runs what is the user's.
        warden: watches what runs.
        tracer: notes deaths; None if nobody wants to know.

    Attributes:
        jobs: what is not finished.
        awaited: from where more chunks will come, also after `close`.
    """

    __slots__ = (
        "_batches",
        "_callbacks",
        "_desk",
        "_dropped",
        "_fleet",
        "_scheduler",
        "_tracer",
        "_warden",
        "awaited",
        "jobs",
    )

    def __init__(
        self,
        desk: Desk,
        fleet: Fleet,
        scheduler: Scheduler[Chunk],
        callbacks: Callbacks,
        warden: Warden,
        tracer: Tracer | None,
    ) -> None:
        self._desk = desk
        self._fleet = fleet
        self._scheduler = scheduler
        self._callbacks = callbacks
        self._warden = warden
        warden.take_back = self._take_back
        self._tracer = tracer
        # With one worker the order counts more, and traces show tasks one by one.
        self._batches = scheduler.size > 1 and tracer is None
        #: Workers hold chunks that nobody wants.
        self._dropped = False
        self.jobs: set[Job] = set()
        self.awaited: set[object] = set()

    # ------------------------------------------------------------------- actions

    def perform(self) -> None:
        """Carry out what was decided."""
        actions = self._scheduler.actions
        while actions:
            sends: dict[int, list[Chunk]] = {}
            while actions and type(action := actions[0]) is Send:
                sends.setdefault(action.worker, []).append(action.chunk)
                actions.popleft()
            for number, chunks in sends.items():
                self._send_several(self._fleet[number], chunks)
            if actions:
                self._perform_rare(actions.popleft())

    def _send_several(self, lane: Lane, chunks: list[Chunk]) -> None:
        """Send chunks, and those together whose tasks are short."""
        pace = min(lane.pace(), MOST_TOGETHER) if self._batches else 1
        self._scheduler.workers[lane.number].depth = DEEP if pace > 1 else DEPTH
        together: list[Chunk] = []
        for chunk in chunks:
            if pace > 1 and chunk.simple:
                together.append(chunk)
                if len(together) < pace:
                    continue
            self._send_batch(lane, together)
            together = []
            if not (pace > 1 and chunk.simple):
                self._send(lane, chunk)
        self._send_batch(lane, together)

    def _send_batch(self, lane: Lane, chunks: list[Chunk]) -> None:
        if len(chunks) < 2:
            for chunk in chunks:
                self._send(lane, chunk)
            return
        lane.batch = next(self._desk.serials)
        packet = dumps([lane.batch, *(chunk.content for chunk in chunks)], PROTOCOL)
        for chunk in chunks:
            chunk.packet, chunk.batch = packet, lane.batch
        lane.traffic += len(packet)
        if not lane.push(packet):
            fd = lane.channel.fileno()
            self._fleet.poller.watch(fd, Poller.READ | Poller.WRITE)

    def _send(self, lane: Lane, chunk: Chunk) -> None:
        chunk.packet, chunk.batch = chunk.content, 0
        if chunk.done:
            lane.push(beginning_at(chunk.done))
        if chunk.job.terms.timeout is not None:
            self._warden.watch(lane, chunk)
        lane.traffic += chunk.size
        if not lane.push(chunk.content):
            fd = lane.channel.fileno()
            self._fleet.poller.watch(fd, Poller.READ | Poller.WRITE)

    def _perform_rare(self, action: Action) -> None:
        if isinstance(action, Start):
            self._start(action.worker)
        elif isinstance(action, TakeBack):
            self._take_back(action.worker)
        elif isinstance(action, TakeBackWaiting):
            self._take_back_waiting(action.worker)
        elif isinstance(action, Fail):
            self._lost(self._fleet[action.worker], action.chunk)
        elif isinstance(action, Cancel):
            chunk = action.chunk
            self._resolve(chunk, chunk.count, Failure(self._desk.error()))
        elif isinstance(action, Stop):
            self._fleet[action.worker].stop()
        elif isinstance(action, Kill):
            self._fleet.kill(self._fleet[action.worker])

    def _start(self, number: int) -> None:
        """Start a worker while the pool is in use."""
        try:
            self._fleet.launch(number)
        except Exception as error:
            self._desk.reason = f"a worker cannot be started: {error!r}"
            self._desk.cause = error
            self._scheduler.not_started(number)
            self._note_breakage()
        else:
            self._fleet.expect_sign(self._fleet[number])

    def _take_back(self, number: int) -> bool:
        """Take back what a worker is to receive next; whether there was something."""
        packet = self._fleet[number].take_back()
        if packet is None:
            return False
        # It need not be the newest, if the worker is slow to receive.
        held = self._scheduler.workers[number].held
        for chunk in [chunk for chunk in held if chunk.packet == packet]:
            chunk.batch = 0
            self._scheduler.taken_back(number, chunk)
        return True

    def _take_back_waiting(self, number: int) -> None:
        lane = self._fleet[number]
        # What is done is not to wait for what runs.
        self._answers(lane, lane.answers(), sent=False)
        oldest = self._scheduler.oldest(number)
        packet = lane.take_back(peek=True)
        if oldest is None or packet == oldest.packet:
            return
        if packet is not None:
            while self._take_back(number):
                pass
        held = self._scheduler.workers[number].held
        in_hand = [
            chunk for chunk in held if chunk.batch == oldest.batch and oldest.batch
        ][1:]
        if in_hand and lane.revoke(oldest):
            for chunk in in_hand:
                chunk.batch = 0
                self._scheduler.taken_back(number, chunk)

    # --------------------------------------------------------- calls that are led

    def take_over(self, call: Call) -> None:
        """Go on where a caller stopped with its call."""
        lane = self._fleet.take_from(call)
        if lane is None:
            # It was interrupted before it had the worker, or after it had let go.
            self._fleet.find_lost(self._scheduler.lent)
            return
        chunk = None
        if call.sent and not call.answered:
            job = Collected(call.function, call.result, single=True)
            chunk = Chunk(job, call.serial, 0, call.data)
            job.chunks.append(chunk)
            job.take_chunks()
            self.jobs.add(job)
        self._scheduler.returned(lane.number, chunk)
        self.perform()
        if chunk is not None:
            if call.inbox and call.inbox[0][0]:
                lane.keep(call.inbox[0])
            self.take_in(lane)
        if lane.over:
            self._bury(lane)

    # ------------------------------------------------------------------- answers

    def take_in(self, lane: Lane) -> None:
        """Receive one message of a worker, if this thread is the one to do it."""
        owner = self._desk.claims.get(lane)
        if isinstance(owner, Call) and owner.deferred:
            self.take_over(owner)
        elif owner is self._desk:
            received = lane.try_receive()
            if received is not None:
                self._message(lane, received)

    def _message(self, lane: Lane, received: bytes | Received | HandleError) -> None:
        if isinstance(received, HandleError):
            self._values(lane, lost_descriptors(received))
        elif isinstance(received, bytes):
            if received[0] == PICKLE:
                self._values(lane, received)
            elif received[:2] == ANSWERS:
                self._answers(lane, loads(memoryview(received)[2:]))
            else:
                self._notice(lane, Notice.decode(memoryview(received)[1:]))
        elif received.pickled:
            self._values(lane, received)
        else:
            self._notice(lane, Notice.decode(received.parts[0]))

    def _values(self, lane: Lane, answer: Answer | Failure) -> None:
        """Values arrived: for the rest of a worker's oldest chunk, or for a part."""
        chunk = self._scheduler.oldest(lane.number)
        if chunk is None:
            return  # it was cancelled meanwhile
        end = chunk.part or chunk.count
        if not isinstance(answer, Failure):
            lane.traffic += size_of(answer)
        if chunk.part:
            chunk.part = 0
        else:
            self._scheduler.answered(lane.number)
            # The worker first: it can go on while this thread does the rest.
            self.perform()
            if self._dropped:
                self._end_dropped(lane)
        self._resolve(chunk, end, answer)

    def _answers(
        self, lane: Lane, answers: list[tuple[int, bytes]], sent: bool = True
    ) -> None:
        """Answers of a batch arrived, some of which may have been found before.

        Args:
            lane: the worker.
            answers: serial numbers and pickles.
            sent: they were sent, and not found while the worker runs something long.
        """
        done = []
        for serial, answer in answers:
            oldest = self._scheduler.oldest(lane.number)
            if oldest is not None and oldest.serial == serial:
                self._scheduler.answered(lane.number, sent)
                lane.traffic += len(answer)
                done.append((oldest, answer))
        self.perform()
        if self._dropped:
            self._end_dropped(lane)
        for chunk, answer in done:
            self._resolve(chunk, chunk.count, answer)

    def _notice(self, lane: Lane, notice: Notice) -> None:
        if notice.kind == HELLO:
            self._fleet.has_spoken(lane)
        elif notice.kind == REFUSED:
            lane.refusal = notice
        elif notice.kind == DROPPED:
            self._take_dropped(lane.number, notice.index)
        elif notice.kind == READY:
            self._scheduler.ready(lane.number)
            self.perform()
        elif (chunk := self._scheduler.oldest(lane.number)) is not None:
            if notice.kind == PART:
                chunk.part = notice.index
            elif notice.kind == FAILED:
                end = notice.index + 1
                if end == chunk.count:
                    self._scheduler.answered(lane.number)
                    self.perform()
                self._resolve(chunk, end, Failure(notice))
            elif notice.kind == UNLOADED:
                self._scheduler.answered(lane.number)
                self.perform()
                if chunk.count - chunk.done > 1:
                    self._split(chunk)
                else:
                    self._resolve(chunk, chunk.count, Failure(notice))

    def _take_dropped(self, number: int, batch: int) -> None:
        """A worker let go of what it had not begun of a batch that was revoked."""
        held = self._scheduler.workers[number].held
        # Some may have been taken back before, and may even be here again.
        for chunk in [chunk for chunk in held if chunk.batch == batch]:
            chunk.batch = 0
            self._scheduler.taken_back(number, chunk)
        self.perform()

    def _resolve(self, chunk: Chunk, end: int, outcome: Answer | Failure) -> None:
        """All tasks of a chunk before this one, so far as they were not, are done."""
        first, count = chunk.first + chunk.done, end - chunk.done
        chunk.done = end
        job = chunk.job
        if job.resolved(first, count, outcome, chunk.style):
            self.finish(job)
        elif job.terms.progress is not None and isinstance(job, Collected):
            job.report(self._callbacks)

    def finish(self, job: Job) -> None:
        """All of a job is resolved."""
        self.jobs.discard(job)
        if job.terms.progress is not None and isinstance(job, Collected):
            job.report(self._callbacks)
        # Nobody who terminates a pool expects to be called back.
        terminated = self._desk.state == TERMINATED
        job.finish(None if terminated else self._callbacks)

    # -------------------------------------------------------------- cancellation

    def cancel(self, cancellation: Cancellation) -> None:
        """A call is not wanted any more."""
        job = self._job_of(cancellation.result)
        if job is None:
            return  # it is complete
        holders = [
            (number, worker)
            for number, worker in self._scheduler.workers.items()
            if any(chunk.job is job for chunk in worker.held)
        ]
        if not cancellation.running and any(
            self._fleet[number].begun(worker.held[0]) is not None
            for number, worker in holders
            if worker.held[0].job is job
        ):
            return
        job.give_up(Failure(TaskCancelledError("the call was cancelled")))
        everywhere = [self._scheduler.pending, *(worker.held for _, worker in holders)]
        unwanted = [c for chunks in everywhere for c in chunks if c.job is job]
        for chunk in unwanted:
            chunk.job = Dropped(job)
        self._scheduler.withdraw(unwanted)
        for number, worker in holders:
            if isinstance(worker.held[0].job, Dropped):
                self._end_dropped(self._fleet[number])
            else:
                self._dropped = True
                if self._scheduler.size > 1:
                    # All that it has not received, and then what it has in hand.
                    while len(worker.held) > 1 and self._take_back(number):
                        pass
                    self._take_back_waiting(number)
        # Whoever waits for the result hears of it when nobody will begin it any more.
        self.finish(job)

    def _job_of(self, result: AsyncResult[Any]) -> Collected | None:
        """The job with a certain result; None if it is complete."""
        for owner in list(self._desk.claims.values()):
            if isinstance(owner, Call) and owner.result is result:
                self.take_over(owner)
        for job in self.jobs:
            if isinstance(job, Collected) and job.result is result:
                return job
        return None

    def _end_dropped(self, lane: Lane) -> None:
        """End a worker if it runs something that nobody wants."""
        chunk = self._scheduler.oldest(lane.number)
        condemned = self._scheduler.workers[lane.number].condemned
        if chunk is not None and isinstance(chunk.job, Dropped) and not condemned:
            # If it is spared, the next answer is another occasion.
            self._dropped = True
            self._warden.end(lane, chunk, TaskCancelledError())

    # ------------------------------------------- chunks that are tried one by one

    def _split(self, chunk: Chunk) -> None:
        """Have the tasks of a chunk sent one by one, as some of them does harm."""
        again = Again(chunk)
        self.awaited.add(again)
        # Pickling may run code of the user's.
        self._callbacks.start()
        self._callbacks.run(partial(_pickle_again, again, self._desk))

    def try_again(self, again: Again) -> None:
        """The tasks of a chunk are there, one by one."""
        self.awaited.discard(again)
        job = again.chunk.job
        if job not in self.jobs:
            return  # it was cancelled meanwhile
        for task, failure in again.failures:
            if job.resolved(task, 1, failure):
                self.finish(job)
        self._scheduler.submit(again.chunks)

    # -------------------------------------------------------------------- deaths

    def ended(self, lane: Lane) -> None:
        """The process of a worker seems to have ended."""
        if not self._fleet.has_ended(lane):
            return
        if self._fleet.recall(lane.number):
            self._bury(lane)
        else:
            # The caller that leads it returns, and hands it over.
            lane.cut()

    def _bury(self, lane: Lane) -> None:
        """Take in what a worker had sent before its end, and tell the scheduler."""
        scheduler, number = self._scheduler, lane.number
        scheduler.ended(number)
        while (received := lane.try_receive()) is not None:
            self._message(lane, received)
        self._answers(lane, lane.answers())
        loss = UNTOUCHED
        oldest = scheduler.oldest(number)
        if oldest is not None:
            loss = self._loss(lane, oldest)
        if oldest is not None and (oldest.done or loss in (LOST_PART, RETRIED)):
            # The rest can only be sent to a worker that has nothing else to receive.
            oldest.small = False
        # Once the pool has stopped, workers end because of that.
        if not (scheduler.workers[number].ready or scheduler.phase == STOPPED):
            self._desk.reason, self._desk.cause = why_not_ready(lane)
        scheduler.died(number, loss, ended_by_itself(lane))
        self._note_breakage()
        self.perform()
        self._fleet.discard(lane)

    def _loss(self, lane: Lane, chunk: Chunk) -> str:
        """What a worker took of its oldest chunk."""
        index = lane.begun(chunk)
        if isinstance(chunk.job, Dropped):
            return LOST
        if index is None:
            if chunk.verdict is None:
                return UNTOUCHED
            index = chunk.done
        self._recover(lane, chunk, index)
        task, times = chunk.died
        times = times + 1 if task == index else 1
        if chunk.verdict is None and times <= chunk.job.terms.retries:
            chunk.died = index, times
            if chunk.done < index:
                _, error = death_of(lane, chunk)
                self._resolve(chunk, index, Failure(error))
            return RETRIED
        return LOST_PART if index + 1 < chunk.count else LOST

    def _recover(self, lane: Lane, chunk: Chunk, index: int) -> None:
        """Take values that a worker had noted and not sent: of tasks before this."""
        chunk.part = 0
        if not chunk.style & NOTED:
            return
        notes = lane.notes()
        values: list[bytes] = []
        while (task := chunk.done + len(values)) < index and task in notes:
            values.append(notes[task])
        if values:
            self._resolve(chunk, chunk.done + len(values), dumps(values, PROTOCOL))

    def _lost(self, lane: Lane, chunk: Chunk) -> None:
        """A worker took a task with it, and values before it that were not sent."""
        verdict, chunk.verdict = chunk.verdict, None
        if isinstance(chunk.job, Dropped):
            return
        untouched = verdict is None and lane.begun(chunk) is None
        if untouched and chunk.count > chunk.done + 1:
            self._split(chunk)
            return
        task, error = death_of(lane, chunk)
        if self._tracer is not None and error.pid is not None:
            self._tracer.happened(f"ended, and {chunk.job.describe(task)}", error.pid)
        self._resolve(chunk, task + 1 - chunk.first, verdict or Failure(error))

    def _note_breakage(self) -> None:
        """Tell callers, if the pool has become unusable."""
        if self._scheduler.broken and self._desk.state in (OPEN, CLOSED):
            self._desk.state = BROKEN


def _pickle_again(again: Again, desk: Desk) -> None:
    """Pickle the tasks of a chunk one by one."""
    chunk, function = again.chunk, again.chunk.job.function
    style = chunk.style & ~NOTED
    for number in range(chunk.done, chunk.count):
        item, task = chunk.items[number], chunk.first + number
        serial = next(desk.serials)

        def name_parts(
            task: int = task, item: object = item
        ) -> list[tuple[str, object]]:
            return [("func", function), (f"iterable[{task}]", item)]

        try:
            content = pickle_chunk(
                serial, style, chunk.job.sent, [item], {}, name_parts, copy=True
            )
        except Exception as error:
            again.failures.append((task, Failure(error)))
        else:
            single = Chunk(chunk.job, serial, task, content, [item], style)
            again.chunks.append(single)
    desk.post(again)
