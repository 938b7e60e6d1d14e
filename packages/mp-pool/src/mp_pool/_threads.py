"""`ThreadPool`: the interface of `Pool`, with threads for workers."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from time import monotonic_ns

from mp_pool._callbacks import Callbacks
from mp_pool._calls import default_size, positive
from mp_pool._failures import task_exit
from mp_pool._imap import IMapIterator, feed
from mp_pool._jobs import Chunk, Collected, Job
from mp_pool._pool import Pool, check_initializer
from mp_pool._result import AsyncResult, Direct, Failure
from mp_pool._stream import Stream
from mp_pool._wire import CALL, MAP
from mp_pool.errors import BrokenPoolError, PoolTerminatedError, TaskCancelledError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVarTuple, overload

    from mp_pool._callbacks import Callback, ErrorCallback
    from mp_pool._terms import Terms
    from mp_pool.stats import PoolStats

    Ts = TypeVarTuple("Ts")

_OPEN, _CLOSED, _TERMINATED, _BROKEN = "RUN", "CLOSE", "TERMINATE", "BROKEN"


class ThreadPool(Pool):
    """Threads of this process that carry out calls (manual, "Process Pools").

    It has all methods of `Pool`.  Nothing is pickled: functions see the very arguments,
    and callers the very results.  A thread cannot be stopped: `terminate` fails what is
    not complete and lets running tasks run on; `join` waits for them.

    Args:
        processes: how many threads; None for `mp_process.cpu_count`.
        initializer: called in each thread first, with *initargs*.
        initargs: its arguments.

    Raises:
        ValueError: *processes* is less than 1.
        TypeError: it is no integer, or the initializer cannot be called.
        RuntimeError: the system has no more threads.
    """

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            processes: int | None = None,
            initializer: Callable[[], object] | None = None,
        ) -> None: ...

        @overload
        def __init__(
            self,
            processes: int | None,
            initializer: Callable[[*Ts], object] | None,
            initargs: tuple[*Ts],
        ) -> None: ...

        # The same by keywords, with or without the first.
        @overload
        def __init__(
            self,
            processes: int | None = None,
            *,
            initializer: Callable[[*Ts], object],
            initargs: tuple[*Ts],
        ) -> None: ...

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[object] = (),
    ) -> None:
        if processes is None:
            processes = default_size()
        processes = positive(processes, "processes")
        check_initializer(initializer)
        self._backend = _Threads(processes, initializer, tuple(initargs))


ThreadPool.__module__ = "mp_pool"


class _Threads:
    """The backend: threads that take chunks from one queue.

    Args:
        size: how many.
        initializer: called in each first; None for nothing.
        initargs: its arguments.
    """

    def __init__(
        self,
        size: int,
        initializer: Callable[..., object] | None,
        initargs: tuple[object, ...],
    ) -> None:
        self.size = size
        self.state = _OPEN
        self._queue: SimpleQueue[Chunk | None] = SimpleQueue()
        self._callbacks = Callbacks()
        # Guards the jobs: every worker brings outcomes.
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._begun: set[Job] = set()  # those of them of which a task has begun
        self._awaited: set[Stream] = set()
        self._cause: BaseException | None = None
        self._ending = False
        #: For each thread: whether it runs a chunk; tasks, failures, nanoseconds.
        self._counts = [[0, 0, 0, 0] for _ in range(size)]
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(initializer, initargs, number - 1),
                name=f"ThreadPoolWorker-{number}",
                daemon=True,
            )
            for number in range(1, size + 1)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self.terminate()
            raise

    # --------------------------------------------------------------- life cycle

    @property
    def open(self) -> bool:
        """As of `Backend`."""
        return self.state is _OPEN

    @property
    def workers(self) -> list[threading.Thread]:
        """As of `Backend`."""
        return self._threads

    @property
    def finished(self) -> bool:
        """As of `Backend`."""
        return not any(thread.is_alive() for thread in self._threads)

    def stats(self) -> PoolStats:
        """As of `Backend`."""
        from mp_pool.stats import PoolStats, WorkerStats

        workers = tuple(
            WorkerStats(thread.native_id, busy > 0, done, failed, took / 1e9, 0)
            for thread, (busy, done, failed, took) in zip(
                self._threads, self._counts, strict=True
            )
        )
        return PoolStats(
            workers=workers,
            queued=self._queue.qsize(),
            running=sum(worker.busy for worker in workers),
            done=sum(worker.done for worker in workers),
            failed=sum(worker.failed for worker in workers),
            busy_seconds=sum(worker.busy_seconds for worker in workers),
            bytes=0,
            restarts=0,
        )

    def check_running(self) -> None:
        """As of `Backend`."""
        if self.state is _BROKEN:
            raise self._error()
        if self.state is not _OPEN:
            raise ValueError("Pool not running")

    def close(self) -> None:
        """As of `Backend`."""
        if self.state is _OPEN:
            self.state = _CLOSED
            self._end_if_done()

    def terminate(self) -> None:
        """As of `Backend`, as far as threads can be ended."""
        if self.state is not _BROKEN:
            self.state = _TERMINATED
        self._stop()

    drop = terminate

    def join(self) -> None:
        """As of `Backend`."""
        if self.state is _OPEN:
            raise ValueError("Pool is still running")
        with self._lock:
            streams = list(self._awaited)
        for stream in streams:
            stream.hurry()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()
        self._callbacks.join()

    def _stop(self) -> None:
        """Fail what is not complete, and let the threads end."""
        with self._lock:
            jobs, self._jobs = self._jobs, set()
            self._awaited.clear()
        for job in jobs:
            job.give_up(Failure(self._error()))
            job.finish(None)
        self._end()

    def _end(self) -> None:
        self._ending = True
        for _ in self._threads:
            self._queue.put(None)
        self._callbacks.finish()

    def _end_if_done(self) -> None:
        """After `close`: end when nothing is left."""
        with self._lock:
            done = self.state is _CLOSED and not self._jobs and not self._ending
            if done:
                self._ending = True
        if done:
            self._end()

    def _error(self) -> BaseException:
        if self.state is _BROKEN:
            error = BrokenPoolError(
                f"the initializer of a worker raised {self._cause!r}"
            )
            error.__cause__ = self._cause
            return error
        if self.state is _CLOSED:
            return ValueError("Pool not running")
        return PoolTerminatedError("the pool was terminated before the task ended")

    # -------------------------------------------------------------------- calls

    def apply(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwds: dict[str, Any],
        keep: object,
        terms: Terms,
    ) -> Any:
        """As of `Backend`."""
        result: AsyncResult[Any] = AsyncResult(keep)
        self.call(result, func, args, kwds, None, None, terms)
        return result.get()

    def call(
        self,
        result: AsyncResult[Any],
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwds: dict[str, Any],
        callback: Callback[Any],
        error_callback: ErrorCallback,
        terms: Terms,
    ) -> None:
        """As of `Backend`."""
        self.check_running()
        _check(terms)
        job = Collected(func, result, True, callback, error_callback, terms)
        job.chunks.append(Chunk(job, 0, 0, b"", [(args, kwds)], CALL))
        self._submit(job)

    def map(
        self,
        result: AsyncResult[Any],
        style: int,
        func: Callable[..., Any],
        items: Sequence[Any],
        size: int,
        terms: Terms,
        callback: Callback[Any] = None,
        error_callback: ErrorCallback = None,
        wait: bool = False,
    ) -> None:
        """As of `Backend`."""
        _check(terms)
        job = Collected(func, result, False, callback, error_callback, terms)
        for first in range(0, len(items), size):
            part = items[first : first + size]
            job.chunks.append(Chunk(job, 0, first, b"", part, style))
        self._submit(job)

    def imap(
        self,
        func: Callable[..., Any],
        items: Iterable[Any],
        ordered: bool,
        size: int,
        buffersize: int | None,
        keep: object,
        terms: Terms,
    ) -> IMapIterator[Any]:
        """As of `Backend`."""
        self.check_running()
        _check(terms)
        source = iter(items)
        stream = Stream(func, ordered, size, self.size, buffersize, terms)

        def make(first: int, part: list[Any]) -> Chunk:
            return Chunk(stream, 0, first, b"", part, MAP)

        iterator: IMapIterator[Any] = IMapIterator._of(stream, keep)
        feed(stream, source, make, self._feed)
        return iterator

    def cancel(self, result: AsyncResult[Any], running: bool) -> None:
        """As of `Backend`; a thread that runs the call already is left alone."""
        with self._lock:
            found = [
                job
                for job in self._jobs
                if isinstance(job, Collected) and job.result is result
            ]
            if not running:
                found = [job for job in found if job not in self._begun]
            self._jobs.difference_update(found)
        for job in found:
            job.give_up(Failure(TaskCancelledError("the call was cancelled")))
            job.finish(self._callbacks)
        self._end_if_done()

    def _submit(self, job: Collected) -> None:
        if job.wants_callback:
            self._callbacks.start()
        chunks = job.take_chunks()
        with self._lock:
            self.check_running()
            self._jobs.add(job)
        if not chunks:
            self._finish(job)
        for chunk in chunks:
            self._queue.put(chunk)

    def _feed(self, stream: Stream, chunks: list[Chunk], last: bool) -> None:
        complete = False
        with self._lock:
            # It may have been closed since the caller looked, with nothing to do.
            stopped = self._ending or self.state in (_TERMINATED, _BROKEN)
            if not stopped:
                self._jobs.add(stream)
                (self._awaited.discard if last else self._awaited.add)(stream)
                if last:
                    stream.ended()
                complete = stream.complete
        if stopped:
            stream.give_up(Failure(self._error()))
        elif complete:
            self._finish(stream)
        for chunk in chunks:
            self._queue.put(chunk)

    def _finish(self, job: Job) -> None:
        with self._lock:
            if job not in self._jobs:
                return  # the pool was terminated meanwhile
            self._jobs.discard(job)
            self._begun.discard(job)
        if job.terms.progress is not None and isinstance(job, Collected):
            job.report(self._callbacks)
        job.finish(self._callbacks)
        self._end_if_done()

    # ------------------------------------------------------------------- workers

    def _work(
        self,
        initializer: Callable[..., object] | None,
        initargs: tuple[object, ...],
        number: int,
    ) -> None:
        """The life of a worker."""
        try:
            if initializer is not None:
                initializer(*initargs)
        except BaseException as error:
            self._cause = error
            self.state = _BROKEN
            self._stop()
            return
        while (chunk := self._queue.get()) is not None:
            with self._lock:
                wanted = chunk.job in self._jobs
                if wanted:
                    self._begun.add(chunk.job)
            if wanted:
                count, began = self._counts[number], monotonic_ns()
                count[0] = 1
                self._run(chunk, count)
                count[0] = 0
                count[3] += monotonic_ns() - began
            del chunk

    def _run(self, chunk: Chunk, count: list[int]) -> None:
        job, style = chunk.job, chunk.style
        values: list[object] = []
        begin = 0
        for number, item in enumerate(chunk.items):
            try:
                if style == CALL:
                    values.append(job.function(*item[0], **item[1]))
                elif style == MAP:
                    values.append(job.function(item))
                else:
                    values.append(job.function(*item))
            except BaseException as error:
                self._resolve(chunk, begin, values)
                self._resolve(chunk, number, _failure(error))
                begin, values = number + 1, []
                count[2] += 1
            count[1] += 1
            if job not in self._jobs:
                return  # the pool was terminated meanwhile
        self._resolve(chunk, begin, values)

    def _resolve(self, chunk: Chunk, begin: int, what: list[object] | Failure) -> None:
        """Some tasks of a chunk are done."""
        job = chunk.job
        if isinstance(what, Failure):
            outcome: Failure | Direct = what
            count = 1
        else:
            count = len(what)
            outcome = Direct(what[0] if count and job.single else what)
        if not count:
            return
        with self._lock:
            complete = job.resolved(chunk.first + begin, count, outcome)
        if complete:
            self._finish(job)
        elif job.terms.progress is not None and isinstance(job, Collected):
            job.report(self._callbacks)


def _check(terms: Terms) -> None:
    if terms.timeout is not None:
        raise ValueError("tasks of a ThreadPool have no timeout: threads do not end")


def _failure(error: BaseException) -> Failure:
    if isinstance(error, Exception):
        return Failure(error)
    instead = task_exit(error)
    instead.__cause__ = error
    return Failure(instead)
