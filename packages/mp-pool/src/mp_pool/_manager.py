"""The I/O thread of a pool: carries out what the scheduler decides.

It holds everything of the pool but the `Pool` object, which it does not know, so that
the pool can be collected while this thread runs, and then ends it.
"""

from __future__ import annotations

import threading
from time import monotonic

from mp_connection.lifecycle import at_exit, close_after_fork
from mp_pool._again import try_again
from mp_pool._burial import bury_returned, ended
from mp_pool._callbacks import Callbacks
from mp_pool._cancelling import cancel
from mp_pool._desk import (
    BROKEN,
    CLOSE,
    FOREIGN,
    HURRY,
    TERMINATE,
    TERMINATED,
    Again,
    Call,
    Cancellation,
    Desk,
    Feed,
)
from mp_pool._fleet import Fleet
from mp_pool._foreman import Foreman
from mp_pool._jobs import Chunk, Collected, Job
from mp_pool._packs import MOST_BYTES, MOST_TASKS
from mp_pool._platform import Poller
from mp_pool._result import Failure
from mp_pool._scheduler import RUNNING, STOPPED, Scheduler
from mp_pool._stream import Stream
from mp_pool._warden import Warden, earliest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mp_pool._desk import Request
    from mp_pool._packs import LightCall
    from mp_pool._terms import Setup
    from mp_pool._trace import Tracer
    from mp_pool.stats import PoolStats
    from mp_process.process import BaseProcess

#: How long a chunk that was sent ahead may wait for its worker: from once to twice as
#: long.  Tasks that run longer do not notice what sending ahead saves.
TICK_SECONDS = 0.005

#: Requests that are seen to before workers are.
_REQUESTS = 64

#: How often it looks whether a caller has given back a worker that has ended.
RETURN_SECONDS = 0.002

#: How long an interpreter that exits waits for its pools.
EXIT_SECONDS = 5.0


class Manager:
    """The I/O thread and what it owns.

    Args:
        desk: what it shares with callers.
        size: workers to keep.
        lifetime: chunks after which a worker is replaced; None for never.
        make: makes a process object.
        method: the start method.
        setup: what workers are told.
        max_rss: bytes of memory that a worker may use; None for any number.
        tracer: notes what happens, and is owned from now on; None for nothing.

    Raises:
        Exception: whatever starting a process can raise; nothing is left then.
    """

    def __init__(
        self,
        desk: Desk,
        size: int,
        lifetime: int | None,
        make: Callable[..., BaseProcess],
        method: str | None,
        setup: Setup,
        max_rss: int | None,
        tracer: Tracer | None,
    ) -> None:
        self._desk = desk
        self._fleet = fleet = Fleet(desk, make, method, setup)
        self._scheduler: Scheduler[Chunk] = Scheduler(size, lifetime, fleet.recall)
        # Whose memory is watched must not be led by a caller.
        self._scheduler.lends &= max_rss is None
        self._scheduler.drops = setup.initializer is setup.finalizer is None
        desk.watch = fleet.poller.watch
        self._tick_at: float | None = None
        self._closing = False
        self.callbacks = Callbacks()
        self._warden = Warden(fleet, self._scheduler, max_rss)
        self._foreman = Foreman(
            desk, fleet, self._scheduler, self.callbacks, self._warden, tracer
        )
        self._tracer = tracer
        close_after_fork(self)
        self.thread = threading.Thread(target=self._run, name="mp_pool-io", daemon=True)
        try:
            fleet.poller.watch(desk.waker.fileno(), Poller.READ)
            while self._scheduler.actions:
                fleet.launch(self._scheduler.actions.popleft().worker)
            self._cancel_at_exit = at_exit(self._at_exit, priority=10)
            self.thread.start()
        except BaseException:
            if self.thread.is_alive():  # Ctrl-C, in the last moment
                self.stop(wait=True)
            else:
                fleet.wreck()
            raise

    # -------------------------------------------------------- from other threads

    def submit(self, request: Collected | Feed | Cancellation) -> None:
        """Have something run."""
        self._desk.post(request)
        self.check_requests()

    def submit_work(self, request: LightCall | Feed) -> None:
        """Have something run, once workers can take it."""
        self._desk.post_work(request)
        if self._desk.finished:
            self._refuse_requests()

    @property
    def workers(self) -> list[BaseProcess]:
        """The worker processes, as they are now."""
        processes = [lane.process for lane in self._fleet if lane.pid is not None]
        return [process for process in processes if process is not None]

    def stats(self) -> PoolStats:
        """What is done and has been; any thread may ask."""
        from mp_pool.stats import PoolStats, WorkerStats

        done, failed, busy, traffic = self._fleet.past
        workers = []
        for lane in self._fleet:
            try:
                runs, *counts = lane.counts()
            except ValueError:
                continue  # it was closed just now
            seconds = counts[2] / 1e9
            workers.append(
                WorkerStats(lane.pid, runs, counts[0], counts[1], seconds, lane.traffic)
            )
        return PoolStats(
            workers=tuple(workers),
            queued=sum(chunk.tasks for chunk in list(self._scheduler.pending))
            + len(self._desk.requests),
            running=sum(worker.busy for worker in workers),
            done=done + sum(worker.done for worker in workers),
            failed=failed + sum(worker.failed for worker in workers),
            busy_seconds=busy / 1e9 + sum(worker.busy_seconds for worker in workers),
            bytes=traffic + sum(worker.bytes for worker in workers),
            restarts=max(0, self._fleet.started - self._scheduler.size),
        )

    def check_requests(self) -> None:
        """After a request was posted: see that it does not stay there for ever."""
        if self._desk.finished:
            self._refuse_requests()

    def stop(self, wait: bool) -> None:
        """Terminate the pool.

        Args:
            wait: until all workers are gone.
        """
        if self._desk.state != BROKEN:
            self._desk.state = TERMINATED
        self._desk.post(TERMINATE)
        if wait and self.thread is not threading.current_thread():
            self.thread.join()

    def join(self) -> None:
        """Wait until nothing of the pool is left."""
        self._desk.post(HURRY)
        if self.thread is not threading.current_thread():
            self.thread.join()
            self.callbacks.join()
            self._desk.waker.close()

    def _at_exit(self) -> None:
        self.stop(wait=False)
        self.thread.join(EXIT_SECONDS)

    def close(self) -> None:
        """In a forked child: let go of what is the parent's."""
        self._desk.state = FOREIGN
        self._desk.recall = True
        if self._tracer is not None:
            self._tracer.close()
        self._fleet.close_in_child()
        self._desk.waker.close()

    def _refuse_requests(self) -> None:
        """Fail what was asked for when there is nobody left to do it."""
        requests = self._desk.requests
        while requests:
            try:
                request = requests.popleft()
            except IndexError:
                return  # another thread refused it
            if isinstance(request, Collected):
                self._abandon(request)
            elif isinstance(request, tuple):
                self._abandon(self._foreman.calls([request]))
            elif isinstance(request, Feed):
                self._abandon(request.stream)
            elif isinstance(request, Again):
                self._abandon(request.chunk.job)
            elif isinstance(request, Call):
                self._abandon_call(request)

    def _abandon(self, job: Job) -> None:
        """Fail a whole job."""
        job.give_up(Failure(self._desk.error()))
        self._foreman.finish(job)

    def _abandon_call(self, call: Call) -> None:
        if call.result is not None:
            self._abandon(Collected(call.function, call.result, single=True))

    # ------------------------------------------------------------------ the loop

    def _run(self) -> None:
        desk = self._desk
        try:
            while not self._over():
                self._rest()
                events = self._wait()
                for fd, ready in events:
                    self._event(fd, ready)
                if desk.urgent or not self._scheduler.full:
                    self._requests()
                if self._scheduler.pending:
                    self._scheduler.look_again()
                    self._foreman.perform()
        except BaseException as error:
            # A bug, or no memory.  Nobody may wait for ever because of it.
            desk.state = BROKEN
            desk.reason = f"the pool's own thread failed: {error!r}"
            desk.cause = error
            self._wreck()
        finally:
            self._cancel_at_exit()
            self._fleet.poller.close()
            # Without this cycle all goes at once that a dropped pool leaves.
            del self._warden.take_back
            if self._tracer is not None:
                self._tracer.end()
            desk.finished = True
            for job in list(self._foreman.jobs):
                self._abandon(job)
            self._foreman.jobs.clear()
            self._refuse_requests()
            self.callbacks.finish()

    def _over(self) -> bool:
        """Nothing is left to do, nothing more will come, and all workers are gone."""
        scheduler = self._scheduler
        if self._fleet or not scheduler.finished:
            return False
        # Of a pool that was stopped nothing is awaited.
        return scheduler.phase == STOPPED or not self._foreman.awaited

    def _requests(self) -> None:
        """See to what was asked for."""
        desk = self._desk
        was_urgent, desk.urgent = desk.urgent, False
        for _ in range(_REQUESTS):
            if not desk.requests:
                return
            # It stays there meanwhile: see `_run`.
            seen_to = self._request(desk.requests[0])
            if self._scheduler.pending:
                desk.recall = True  # lest callers overtake what waits
            for _ in range(seen_to):
                desk.requests.popleft()
            if self._scheduler.full and not was_urgent:
                return  # the rest may become more until workers can take it
        desk.urgent |= was_urgent

    def _wait(self) -> list[tuple[int, int]]:
        """Sleep until something happens."""
        desk = self._desk
        seconds = self._until_next()
        desk.full = self._scheduler.full
        # First the flag, then the look: a request is either seen or wakes.
        desk.sleeping = True
        if desk.urgent or (desk.requests and not desk.full):
            seconds = 0
        try:
            return self._fleet.poller.wait(seconds)
        finally:
            desk.sleeping = False

    def _until_next(self) -> float | None:
        """Seconds to what has to be done by the clock, after doing what is due."""
        now = monotonic()
        due = self._warden.due(now)
        self._foreman.perform()
        due = earliest(due, self._fleet.due(now))
        if self._fleet.unburied and bury_returned(self._foreman):
            due = earliest(due, now + RETURN_SECONDS)
        if self._tick_at is not None and now >= self._tick_at:
            self._tick_at = None
            self._scheduler.tick()
            self._foreman.perform()
        if self._tick_at is None and self._scheduler.sent_ahead:
            self._tick_at = now + TICK_SECONDS
        due = earliest(due, self._tick_at)
        return None if due is None else max(0.0, due - now)

    def _rest(self) -> None:
        """Before sleeping: settle who has idle workers."""
        desk, scheduler = self._desk, self._scheduler
        if scheduler.phase == STOPPED:
            self._stop_streams()
        if scheduler.pending or scheduler.phase != RUNNING:
            # From here on callers give workers back; those that they gave back to
            # one another just before can still be taken.
            desk.recall = True
            if scheduler.lent:
                scheduler.look_again()
                self._foreman.perform()
            return
        desk.recall = False
        self._fleet.lend(scheduler.lend())

    def _stop_streams(self) -> None:
        """Nothing will come of what was not submitted."""
        jobs = self._foreman.jobs
        for stream in [job for job in jobs if isinstance(job, Stream)]:
            stream.give_up(Failure(self._desk.error()))
            jobs.discard(stream)

    def _event(self, fd: int, ready: int) -> None:
        if (lane := self._fleet.by_channel(fd)) is not None:
            if ready & Poller.WRITE and lane.flush():
                self._fleet.listen(lane)
            if ready & ~Poller.WRITE:
                self._foreman.take_in(lane)
        elif (lane := self._fleet.by_sentinel(fd)) is not None:
            ended(self._foreman, lane)
        else:
            self._desk.waker.clear()

    def _request(self, request: Request) -> int:
        """See to the first request; how many of them were seen to."""
        scheduler, foreman = self._scheduler, self._foreman
        seen_to = 1
        if isinstance(request, tuple):
            calls = self._light_calls()
            foreman.add(foreman.calls(calls))
            seen_to = len(calls)
        elif isinstance(request, Collected):
            chunks = request.take_chunks()
            foreman.jobs.add(request)
            if not chunks:
                foreman.finish(request)
            elif scheduler.phase == STOPPED:
                scheduler.submit(chunks)
            else:
                scheduler.add(chunks)
        elif isinstance(request, Call):
            foreman.take_over(request)
        elif isinstance(request, Feed):
            self._feed(request)
        elif isinstance(request, Again):
            try_again(foreman, request)
        elif isinstance(request, Cancellation):
            cancel(foreman, request)
        elif request == CLOSE:
            self._closing = True
        elif request == HURRY:
            for job in foreman.jobs:
                if isinstance(job, Stream):
                    job.hurry()
        elif request == TERMINATE:
            scheduler.terminate()
        if self._closing and not foreman.awaited:
            scheduler.close()
        foreman.perform()
        return seen_to

    def _light_calls(self) -> list[LightCall]:
        """The first requests, as many as are calls that can travel together."""
        requests = self._desk.requests
        calls: list[LightCall] = []
        size = 0
        function = None
        # Callers append meanwhile, so that it cannot be iterated over.
        for place in range(min(len(requests), MOST_TASKS)):
            call = requests[place]
            if not isinstance(call, tuple):
                break
            size += len(call[3])
            if call[2] is not function and call[2] is not None:
                function = call[2]
                size += len(function)
            if size > MOST_BYTES and calls:
                break
            calls.append(call)
        return calls

    def _feed(self, feed: Feed) -> None:
        """More of an `imap`."""
        stream, foreman = feed.stream, self._foreman
        foreman.jobs.add(stream)
        if feed.chunks:
            self._scheduler.submit(feed.chunks)
        if not feed.last:
            foreman.awaited.add(stream)
            return
        foreman.awaited.discard(stream)
        stream.ended()
        if stream.complete:
            foreman.finish(stream)

    def _wreck(self) -> None:
        """Drop everything at once, in whatever state it is."""
        self._fleet.wreck()
        for job in list(self._foreman.jobs):
            self._abandon(job)
        self._foreman.jobs.clear()
        for owner in list(self._desk.claims.values()):
            if isinstance(owner, Call):
                self._abandon_call(owner)
