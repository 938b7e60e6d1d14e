"""What callers do: check, pickle, and lead a worker or post a job.

All of this runs in the caller's thread.  A call is pickled before anything is reserved
for it, so that one that cannot be pickled leaves no trace.
"""

from __future__ import annotations

import os

from mp_connection.lean import dumps, follow_reducers
from mp_pool._desk import (
    BROKEN,
    CLOSE,
    CLOSED,
    FOREIGN,
    OPEN,
    Call,
    Cancellation,
    Desk,
    Feed,
)
from mp_pool._imap import IMapIterator, feed
from mp_pool._jobs import Chunk, Collected, Job
from mp_pool._light import Light
from mp_pool._manager import Manager
from mp_pool._result import AsyncResult, raised_there, value_of
from mp_pool._stored import stored
from mp_pool._stream import Stream
from mp_pool._wire import (
    CALL,
    MAP,
    NOTED,
    PICKLE,
    PROTOCOL,
    SMALL,
    TIMED,
    Notice,
    pickle_chunk,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pickle import PickleBuffer
    from typing import Any

    from mp_pool._callbacks import Callback, ErrorCallback
    from mp_pool._terms import Setup, Terms
    from mp_pool.stats import PoolStats
    from mp_process.context import BaseContext
    from mp_process.process import BaseProcess

follow_reducers(globals())


class Client:
    """The callers' side of a pool of processes.

    Args:
        size: workers to keep.
        lifetime: chunks after which a worker is replaced; None for never.
        context: starts the workers.
        setup: what workers are told.
        max_rss: bytes of memory that a worker may use; None for any number.
        trace: the file in which it is noted what happens; None for none.

    Raises:
        Exception: whatever starting a process can raise; nothing is left then.
    """

    __slots__ = ("_desk", "_light", "_manager", "size")

    def __init__(
        self,
        size: int,
        lifetime: int | None,
        context: BaseContext,
        setup: Setup,
        max_rss: int | None,
        trace: str | None,
    ) -> None:
        self.size = size
        self._desk = desk = Desk()
        method = context.get_start_method()
        tracer = None
        # Traces show tasks one by one.
        self._light = Light(trace is None)
        try:
            if trace is not None:
                from mp_pool._trace import Tracer

                tracer = Tracer.begin(trace)
                setup.trace = trace, os.getpid()
            self._manager = Manager(
                desk, size, lifetime, context.Process, method, setup, max_rss, tracer
            )
        except BaseException:
            desk.waker.close()
            if tracer is not None:
                tracer.close()
            raise

    # --------------------------------------------------------------- life cycle

    @property
    def state(self) -> str:
        """As it is shown."""
        return self._desk.state

    @property
    def open(self) -> bool:
        """Calls are accepted."""
        return self._desk.state is OPEN

    @property
    def finished(self) -> bool:
        """Nothing is left to be ended, or not by this process."""
        return self._desk.finished or self._desk.state is FOREIGN

    @property
    def workers(self) -> list[BaseProcess]:
        """The worker processes, as they are now."""
        return self._manager.workers

    def stats(self) -> PoolStats:
        """What is done and has been."""
        return self._manager.stats()

    def close(self) -> None:
        """Accept no more calls, and end when all is done."""
        if self._desk.state is OPEN:
            self._desk.state = CLOSED
            self._desk.post(CLOSE)

    def terminate(self) -> None:
        """End at once, and wait for that."""
        if self._desk.state is not FOREIGN:
            self._manager.stop(wait=True)

    def drop(self) -> None:
        """End at once, without waiting."""
        self._manager.stop(wait=False)

    def join(self) -> None:
        """Wait for the end.

        Raises:
            ValueError: nothing makes it end.
        """
        if self._desk.state is OPEN:
            raise ValueError("Pool is still running")
        if self._desk.state is FOREIGN:
            self.check_running()
        self._manager.join()

    # -------------------------------------------------------------------- calls

    def check_running(self) -> None:
        """Raise what a call has to raise where none is accepted."""
        state = self._desk.state
        if state is OPEN:
            return
        if state is FOREIGN:
            raise RuntimeError(
                "a pool can only be used by the process that made it, and not by a"
                " child"
            )
        if state is BROKEN:
            raise self._desk.error()
        raise ValueError("Pool not running")

    def apply(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwds: dict[str, Any],
        keep: object,
        terms: Terms,
    ) -> Any:
        """Carry a call through; with an idle worker, in this thread alone.

        Args:
            func: what to call.
            args: its arguments.
            kwds: its keyword arguments.
            keep: the pool, for the result.
            terms: on which it is run.
        """
        call = None if terms.special else self._small_call(func, args, kwds, None)
        if call is not None:
            packet = self._desk.lead(call)
            if packet is not None:
                if packet[0] == PICKLE:
                    return value_of(packet)
                raise raised_there(Notice.decode(memoryview(packet)[1:]))
            if call.result is not None:
                self._manager.check_requests()
                return call.result.get()
        result: AsyncResult[Any] = AsyncResult(keep)
        if terms.special or not self._post_light(result, func, args, kwds):
            self._submit_call(result, func, args, kwds, None, None, terms, copy=False)
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
        """Have a call carried out; with an idle worker, it is sent at once."""
        if not terms.special:
            if self._desk.idle and callback is None is error_callback:
                call = self._small_call(func, args, kwds, result)
                if call is not None and self._desk.dispatch(call):
                    return
            if self._post_light(result, func, args, kwds, callback, error_callback):
                return
        self._submit_call(
            result, func, args, kwds, callback, error_callback, terms, copy=True
        )

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
        """Have a function called with each of many items.

        Args:
            result: for the list of results.
            style: `MAP` or `STARMAP`.
            func: what to call.
            items: with what.
            size: how many make a chunk.
            terms: on which they are run.
            callback: called with the result.
            error_callback: called with the exception.
            wait: the caller waits, and changes none of the items meanwhile.
        """
        if terms.retries and size > 1:
            style |= NOTED  # what was done before a death need not be done again
        job = Collected(func, result, False, callback, error_callback, terms)
        if len(items) > size:
            job.sent = stored(func)

        def make(first: int, part: Sequence[Any]) -> Chunk:
            return self._chunk(job, style, first, part, copy=not wait)

        if size == 1 and self._light.takes(func, job.sent, terms):
            job.chunks = self._light.packs(job, style, 0, list(items), make)
        else:
            for first in range(0, len(items), size):
                job.chunks.append(make(first, items[first : first + size]))
        self._submit(job)

    def cancel(self, result: AsyncResult[Any], running: bool) -> None:
        """Have a call not run, or ended if it runs.

        Args:
            result: its result.
            running: also if it runs already.
        """
        self._manager.submit(Cancellation(result, running))

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
        """Have a function called with each of many items, read little by little.

        Args:
            func: what to call.
            items: with what.
            ordered: the results are wanted in this order.
            size: how many items make a chunk.
            buffersize: items that may be read and not consumed; None for the default.
            keep: the pool, for the iterator.
            terms: on which they are run.
        """
        self.check_running()
        source = iter(items)
        stream = Stream(func, ordered, size, self.size, buffersize, terms)
        stream.sent = stored(func)
        pickle_chunk(0, MAP, stream.sent, (), {}, lambda: [("func", func)], copy=False)

        def make(first: int, part: Sequence[Any]) -> Chunk:
            style = MAP if len(part) == 1 else MAP | NOTED
            return self._chunk(stream, style, first, part, copy=True)

        def make_packs(first: int, items: list[Any]) -> list[Chunk]:
            return self._light.packs(stream, MAP, first, items, make)

        light = size == 1 and self._light.takes(func, stream.sent, terms)
        iterator: IMapIterator[Any] = IMapIterator._of(stream, keep)
        feed(stream, source, make, self._feed, make_packs if light else None)
        return iterator

    def _post_light(
        self,
        result: AsyncResult[Any],
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwds: dict[str, Any],
        callback: Callback[Any] = None,
        error_callback: ErrorCallback = None,
    ) -> bool:
        """Have a call carried out that can travel with others; whether it can."""
        call = self._light.call(func, args, kwds)
        if call is None:
            return False
        desk = self._desk
        if desk.state is not OPEN:
            self.check_running()
        if not callback is error_callback is None:
            self._manager.callbacks.start()
        pickled, piece = call
        try:
            desk.post_work((result, func, pickled, piece, callback, error_callback))
            if desk.finished:
                self._manager.check_requests()
        except BaseException:
            desk.waker.set()  # see `_submit`
            raise
        return True

    def _chunk(
        self, job: Job, style: int, first: int, part: Sequence[Any], copy: bool
    ) -> Chunk:
        """A chunk of several tasks.

        Raises:
            UnpicklableError: it cannot be pickled.
        """
        serial = next(self._desk.serials)
        func = job.function
        if job.terms.timeout is not None:
            style |= TIMED

        def name_parts() -> Iterable[tuple[str, object]]:
            yield "func", func
            for number, item in enumerate(part, first):
                yield f"iterable[{number}]", item

        content = pickle_chunk(serial, style, job.sent, part, {}, name_parts, copy)
        return Chunk(job, serial, first, content, part, style)

    def _feed(self, stream: Stream, chunks: list[Chunk], last: bool) -> None:
        request = Feed(stream, chunks, last)
        if last or not chunks:
            self._manager.submit(request)
        else:
            self._manager.submit_work(request)

    def _small_call(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwds: dict[str, Any],
        result: AsyncResult[Any] | None,
    ) -> Call | None:
        """A call to be tried with an idle worker; None if it cannot."""
        desk = self._desk
        if desk.state is not OPEN or desk.recall or not desk.idle:
            return None
        if desk.requests:
            return None  # not before those that were made earlier, by this thread too
        serial = next(desk.serials)
        buffers: list[PickleBuffer] = []
        try:
            task = (serial, CALL, func, args, kwds)
            data = dumps(task, PROTOCOL, buffer_callback=buffers.append)
        except Exception:
            return None  # an error, or a descriptor: see `pickle_chunk`
        if buffers or len(data) > SMALL:
            return None
        return Call(serial, func, data, result)

    def _submit_call(
        self,
        result: AsyncResult[Any],
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwds: dict[str, Any],
        callback: Callback[Any],
        error_callback: ErrorCallback,
        terms: Terms,
        copy: bool,
    ) -> None:
        self.check_running()
        serial = next(self._desk.serials)
        parts = [("func", func), ("args", args), ("kwds", kwds)]
        style = CALL if terms.timeout is None else CALL | TIMED
        content = pickle_chunk(serial, style, func, args, kwds, lambda: parts, copy)
        job = Collected(func, result, True, callback, error_callback, terms)
        job.chunks.append(Chunk(job, serial, 0, content))
        self._submit(job)

    def _submit(self, job: Collected) -> None:
        # Pickling may have taken long.
        self.check_running()
        if job.wants_callback:
            self._manager.callbacks.start()
        try:
            self._manager.submit(job)
        except BaseException:
            # Interrupted: the job may be posted and nobody woken.
            self._desk.waker.set()
            raise
