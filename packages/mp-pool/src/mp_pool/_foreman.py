"""Carries out what the scheduler decides, and tells it what workers say.

Part of the I/O thread: nothing here is called from elsewhere.
"""

from __future__ import annotations

from mp_connection.errors import HandleError
from mp_connection.lean import dumps, loads
from mp_pool._actions import (
    Action,
    Cancel,
    Drop,
    Fail,
    Kill,
    Send,
    Start,
    Stop,
    TakeBack,
    TakeBackWaiting,
)
from mp_pool._again import split
from mp_pool._burial import bury, lost, note_breakage
from mp_pool._cancelling import end_dropped
from mp_pool._desk import TERMINATED, Call, Desk
from mp_pool._jobs import Chunk, Collected, Job
from mp_pool._packs import MOST_TASKS, Calls, Pack, first_of
from mp_pool._platform import Poller
from mp_pool._result import Alone, Failure, lost_descriptors, size_of
from mp_pool._scheduler import Scheduler
from mp_pool._wire import (
    ANSWER_HEAD,
    ANSWERS,
    DROPPED,
    FAILED,
    HELLO,
    PART,
    PICKLE,
    PROTOCOL,
    READY,
    REFUSED,
    UNLOADED,
    Notice,
    beginning_at,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mp_connection.channel import Message, Received
    from mp_pool._callbacks import Callback, Callbacks, ErrorCallback
    from mp_pool._fleet import Fleet
    from mp_pool._lane import Lane
    from mp_pool._packs import LightCall
    from mp_pool._result import Answer, AsyncResult
    from mp_pool._trace import Tracer
    from mp_pool._warden import Warden


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
        dropped: workers hold chunks that nobody wants.
    """

    __slots__ = (
        "_packs",
        "awaited",
        "callbacks",
        "desk",
        "dropped",
        "fleet",
        "jobs",
        "scheduler",
        "tracer",
        "warden",
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
        self.desk = desk
        self.fleet = fleet
        self.scheduler = scheduler
        self.callbacks = callbacks
        self.warden = warden
        warden.take_back = self.take_back
        self.tracer = tracer
        # A single worker keeps what it was sent; and the task that takes too much
        # memory has to be known.
        self._packs = scheduler.size > 1 and not warden.looks_at_memory
        self.dropped = False
        self.jobs: set[Job] = set()
        self.awaited: set[object] = set()

    # ------------------------------------------------------------------- actions

    def perform(self) -> None:
        """Carry out what was decided."""
        actions = self.scheduler.actions
        while actions:
            action = actions.popleft()
            if isinstance(action, Send):
                self._send(self.fleet[action.worker], action.chunk)
            else:
                self._perform_rare(action)

    def _send(self, lane: Lane, chunk: Chunk) -> None:
        if isinstance(chunk, Pack):
            content: bytes | Message = chunk.packed(next(self.desk.serials))
        else:
            content = chunk.packet = chunk.content
            if chunk.done:
                lane.push(beginning_at(chunk.done))
            if chunk.job.terms.timeout is not None:
                self.warden.watch(lane, chunk)
        lane.traffic += chunk.size
        if not lane.push(content):
            fd = lane.channel.fileno()
            self.fleet.poller.watch(fd, Poller.READ | Poller.WRITE)

    def _perform_rare(self, action: Action) -> None:
        if isinstance(action, Start):
            self._start(action.worker)
        elif isinstance(action, TakeBack):
            self.take_back(action.worker)
        elif isinstance(action, TakeBackWaiting):
            self.take_back_waiting(action.worker)
        elif isinstance(action, Fail):
            lost(self, self.fleet[action.worker], action.chunk)
        elif isinstance(action, Cancel):
            chunk = action.chunk
            self.resolve(chunk, chunk.count, Failure(self.desk.error()))
        elif isinstance(action, Stop):
            self.fleet[action.worker].stop()
        elif isinstance(action, Drop):
            self.fleet[action.worker].kill(gently=False)
        elif isinstance(action, Kill):
            self.fleet.kill(self.fleet[action.worker])

    def _start(self, number: int) -> None:
        """Start a worker while the pool is in use."""
        try:
            self.fleet.launch(number)
        except Exception as error:
            self.desk.reason = f"a worker cannot be started: {error!r}"
            self.desk.cause = error
            self.scheduler.not_started(number)
            note_breakage(self)
        else:
            self.fleet.expect_sign(self.fleet[number])

    def take_back(self, number: int) -> bool:
        """Take back what a worker is to receive next; whether there was something."""
        packet = self.fleet[number].take_back()
        if packet is None:
            return False
        # It need not be the newest, if the worker is slow to receive.
        held = self.scheduler.workers[number].held
        for chunk in [chunk for chunk in held if chunk.packet == packet]:
            self.scheduler.taken_back(number, chunk)
        return True

    def take_back_waiting(self, number: int) -> None:
        lane = self.fleet[number]
        # What is done is not to wait for what runs.
        self._find_values(lane)
        oldest = self.scheduler.oldest(number)
        packet = lane.take_back(peek=True)
        if oldest is None or packet == oldest.packet:
            return
        if isinstance(oldest, Pack):
            self.revoke(lane, oldest)
        if packet is not None:
            while self.take_back(number):
                pass
        if self.dropped:
            end_dropped(self, lane)

    def revoke(self, lane: Lane, pack: Pack) -> bool:
        """Take back what a worker has not begun of the pack that it has in hand.

        Returns:
            Whether it certainly has nothing left but the task that it runs.
        """
        index = lane.revoke(pack)
        if index is None:
            return False
        if index + 1 < pack.count:
            self.scheduler.cut_off(pack.cut(index + 1))
        return True

    # --------------------------------------------------------- calls that are led

    def take_over(self, call: Call) -> None:
        """Go on where a caller stopped with its call."""
        lane = self.fleet.take_from(call)
        if lane is None:
            # It was interrupted before it had the worker, or after it had let go.
            self.fleet.find_lost(self.scheduler.lent)
            return
        chunk = None
        if call.sent and not call.answered:
            job = Collected(call.function, call.result, single=True)
            chunk = Chunk(job, call.serial, 0, call.data)
            job.chunks.append(chunk)
            job.take_chunks()
            self.jobs.add(job)
        self.scheduler.returned(lane.number, chunk)
        self.perform()
        if chunk is not None:
            if call.inbox and call.inbox[0][0]:
                lane.keep(call.inbox[0])
            self.take_in(lane)
        if lane.over:
            bury(self, lane)

    # ------------------------------------------------------------------- answers

    def take_in(self, lane: Lane) -> None:
        """Receive one message of a worker, if this thread is the one to do it."""
        owner = self.desk.claims.get(lane)
        if isinstance(owner, Call) and owner.deferred:
            self.take_over(owner)
        elif owner is self.desk:
            received = lane.try_receive()
            if received is not None:
                self.message(lane, received)

    def message(self, lane: Lane, received: bytes | Received | HandleError) -> None:
        if isinstance(received, HandleError):
            self._values(lane, lost_descriptors(received))
        elif isinstance(received, bytes):
            if received[0] == PICKLE:
                self._values(lane, received)
            elif received[:2] == ANSWERS:
                self._pack_values(lane, received)
            else:
                self._notice(lane, Notice.decode(memoryview(received)[1:]))
        elif received.pickled:
            self._values(lane, received)
        else:
            self._notice(lane, Notice.decode(received.parts[0]))

    def _values(self, lane: Lane, answer: Answer | Failure) -> None:
        """Values arrived: for the rest of a worker's oldest chunk, or for a part."""
        chunk = self.scheduler.oldest(lane.number)
        if chunk is None:
            return  # it was cancelled meanwhile
        end = chunk.part or chunk.count
        chunk.part = 0
        if not isinstance(answer, Failure):
            lane.traffic += size_of(answer)
            if isinstance(chunk, Pack):
                answer = Alone(answer)
        self._come_to(lane, chunk, end, answer)

    def _come_to(
        self,
        lane: Lane,
        chunk: Chunk,
        end: int,
        outcome: Answer | Failure,
        sent: bool = True,
    ) -> None:
        """A worker's oldest chunk is answered up to a task.

        Args:
            lane: the worker.
            chunk: the chunk.
            end: the first task that is not answered.
            outcome: of those before, so far as they were not.
            sent: it was, and not found while the worker runs something long.
        """
        number, first, begin = lane.number, chunk.first, chunk.done
        chunk.done = end
        if self._packs and sent:
            pace = min(lane.pace(), MOST_TASKS)
            self.scheduler.workers[number].pace = pace
        if end == chunk.count and not (isinstance(chunk, Pack) and chunk.revoked):
            self.scheduler.answered(number, sent)
        elif sent:
            self.scheduler.answered_part(number)
        # The worker first: it can go on while this thread does the rest.
        self.perform()
        if self.dropped:
            end_dropped(self, lane)
        self._deliver(chunk, first + begin, end - begin, outcome)

    def _pack_values(self, lane: Lane, packet: bytes) -> None:
        """Values of a pack arrived, some of which may have been found before."""
        _, serial, first, end = ANSWER_HEAD.unpack_from(packet)
        chunk = self.scheduler.oldest(lane.number)
        if chunk is None or chunk.serial != serial:
            return  # all of them were found, or nobody wants them any more
        lane.traffic += len(packet)
        values = packet[ANSWER_HEAD.size :]
        done = chunk.done
        if first < done:
            values = dumps(loads(values)[done - first :], PROTOCOL)
        self._come_to(lane, chunk, end, values)

    def _find_values(self, lane: Lane) -> None:
        """Take values that a worker has noted and not sent, of the pack that it has."""
        chunk = self.scheduler.oldest(lane.number)
        if isinstance(chunk, Pack):
            values = first_of(lane.values(chunk), chunk.done, chunk.count)
            if values:
                end = chunk.done + len(values)
                self._come_to(lane, chunk, end, dumps(values, PROTOCOL), sent=False)

    def _notice(self, lane: Lane, notice: Notice) -> None:
        if notice.kind == HELLO:
            self.fleet.has_spoken(lane)
        elif notice.kind == REFUSED:
            lane.refusal = notice
        elif notice.kind == DROPPED:
            self._take_dropped(lane.number, notice.index)
        elif notice.kind == READY:
            self.scheduler.ready(lane.number)
            self.perform()
        elif (chunk := self.scheduler.oldest(lane.number)) is not None:
            if notice.kind == PART:
                chunk.part = notice.index
            elif notice.kind == FAILED:
                self._come_to(lane, chunk, notice.index + 1, Failure(notice))
            elif notice.kind == UNLOADED:
                self.scheduler.answered(lane.number)
                self.perform()
                if chunk.count - chunk.done > 1:
                    split(self, chunk)
                else:
                    self.resolve(chunk, chunk.count, Failure(notice))

    def _take_dropped(self, number: int, serial: int) -> None:
        """A worker let go of what it had not begun of a pack that was revoked."""
        chunk = self.scheduler.oldest(number)
        if isinstance(chunk, Pack) and chunk.serial == serial:
            if chunk.tasks:
                self.scheduler.taken_back(number, chunk)
            else:  # that was certain before: what had not begun is here already
                self.scheduler.answered(number)
            self.perform()

    def resolve(self, chunk: Chunk, end: int, outcome: Answer | Failure) -> None:
        """All tasks of a chunk before this one, so far as they were not, are done."""
        begin, chunk.done = chunk.done, end
        self._deliver(chunk, chunk.first + begin, end - begin, outcome)

    def _deliver(
        self, chunk: Chunk, first: int, count: int, outcome: Answer | Failure
    ) -> None:
        """Tell the job of a chunk what came of some tasks."""
        if not count:
            return
        job = chunk.job
        if job.resolved(first, count, outcome, chunk.style):
            self.finish(job)
        elif job.terms.progress is not None and isinstance(job, Collected):
            job.report(self.callbacks)

    def finish(self, job: Job) -> None:
        """All of a job is resolved."""
        self.jobs.discard(job)
        if job.terms.progress is not None and isinstance(job, Collected):
            job.report(self.callbacks)
        # Nobody who terminates a pool expects to be called back.
        terminated = self.desk.state == TERMINATED
        job.finish(None if terminated else self.callbacks)

    def calls(self, calls: Sequence[LightCall]) -> Calls:
        """A job of calls that can travel together."""
        return Calls(calls, self._post)

    def add(self, calls: Calls) -> None:
        """Have calls run."""
        self.jobs.add(calls)
        self.scheduler.submit([calls.pack()])

    def _post(
        self,
        result: AsyncResult[Any],
        callback: Callback[Any],
        error_callback: ErrorCallback,
    ) -> None:
        """A call is complete; it may have callbacks."""
        if callback is error_callback is None or self.desk.state == TERMINATED:
            result._complete()
        else:
            self.callbacks.post(result, callback, error_callback)
