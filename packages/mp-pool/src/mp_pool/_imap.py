"""`IMapIterator`: what `imap` and `imap_unordered` return."""

from __future__ import annotations

import threading
from _thread import TIMEOUT_MAX, allocate_lock
from time import monotonic

from mp_pool._waiting import sleep_until, wake_up_in_loop
from mp_pool.errors import TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Generic, Self, TypeVar

    from mp_pool._stream import Entry, MakeChunk, MakePacks, Stream, Submit

    T_co = TypeVar("T_co", covariant=True)
else:
    from mp_connection.lean import Generic

    T_co = None


class IMapIterator(Generic[T_co]):
    """The results of `Pool.imap` or `Pool.imap_unordered`, one after the other.

    It is an iterator, and an asynchronous one as well: ``for`` and ``async for`` do.
    Any thread may use it; each result is given once.  A task that failed raises its
    error in its turn, and the next call goes on with the next result.
    """

    __slots__ = ("__weakref__", "_keep", "_lock", "_position", "_stream")

    if TYPE_CHECKING:
        _stream: Stream
        #: The pool: it has to live until all results are there.
        _keep: object
        _lock: Any
        #: The outcomes that are being given, and tasks up to the last of them.  One
        #: object, so that Ctrl-C finds it changed or not, and nothing in between.
        _position: tuple[Entry | None, int]

    @classmethod
    def _of(cls, stream: Stream, keep: object) -> Self:
        """The iterator of a stream; pools make them."""
        iterator = cls()
        iterator._stream = stream
        iterator._keep = keep
        iterator._lock = allocate_lock()
        iterator._position = (None, 0)
        return iterator

    def next(self, timeout: float | None = None) -> T_co:
        """The next result.

        Args:
            timeout: seconds to wait for it; None waits for ever.

        Raises:
            StopIteration: there are no more.
            TimeoutError: it is not there in time; a later call may get it.
            UnpicklableError: the element of the input cannot be pickled.
            PoolTerminatedError: the pool was terminated.
            Exception: as of `AsyncResult.get`, and whatever the input raises.
        """
        deadline = None if timeout is None else monotonic() + timeout
        if timeout is None:
            self._lock.acquire()
        elif not self._lock.acquire(True, min(max(0.0, timeout), TIMEOUT_MAX)):
            raise TimeoutError
        try:
            entry = self._position[0]
            while entry is None or entry.empty:
                entry = self._advance()
                if entry is None:
                    left = None if deadline is None else deadline - monotonic()
                    if left is not None and left <= 0:
                        raise TimeoutError
                    sleep_until(self._has_news, self._stream.sleepers, left)
            return entry.take()  # type: ignore[no-any-return]
        finally:
            self._lock.release()

    __next__ = next

    def __iter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        while True:
            try:
                return self.next(0)
            except TimeoutError:
                await wake_up_in_loop(self._has_news, self._stream.sleepers)
            except StopIteration:
                raise StopAsyncIteration from None

    def __aiter__(self) -> Self:
        return self

    def _advance(self) -> Entry | None:
        """Go to the next outcomes; None if they are not there.

        Raises:
            StopIteration: there are no more.
            Exception: no more will come.
        """
        stream = self._stream
        before, delivered = self._position
        stream.let_go(before)
        stream.consumed(delivered)  # again, should Ctrl-C have prevented it before
        # First the reasons to give up, then the look: what came before them counts.
        total, stopped = stream.total, stream.stopped
        entry = stream.next_entry(before, delivered)
        if entry is not None:
            delivered += entry.count
            self._position = entry, delivered
            stream.consumed(delivered)
        elif total is not None and delivered >= total:
            self._keep = None
            raise StopIteration
        elif stopped is not None:
            raise stopped.exception()
        return entry

    def _has_news(self) -> bool:
        stream, (before, delivered) = self._stream, self._position
        if stream.stopped is not None:
            return True
        if stream.next_entry(before, delivered) is not None:
            return True
        return stream.total is not None and delivered >= stream.total

    def __del__(self) -> None:
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.drop(begun=self._position[1] > 0)


IMapIterator.__module__ = "mp_pool"


def feed(
    stream: Stream,
    source: Iterator[Any],
    make_chunk: MakeChunk,
    submit: Submit,
    make_packs: MakePacks | None = None,
) -> None:
    """Have a thread of its own read the input of a stream.

    Args:
        stream: the stream.
        source: its input.
        make_chunk: makes chunks.
        submit: has them run.
        make_packs: makes packs, for chunks of one task.

    Raises:
        RuntimeError: the system has no more threads.
    """
    submit(stream, [], False)  # from now on the pool waits for it
    thread = threading.Thread(
        target=stream.feed,
        args=(source, make_chunk, submit, make_packs),
        name="mp_pool-feeder",
        daemon=True,
    )
    try:
        thread.start()
    except BaseException:
        if not thread.is_alive():
            submit(stream, [], True)
        raise
