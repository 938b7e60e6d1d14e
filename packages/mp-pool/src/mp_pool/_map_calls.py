"""`map`, `starmap` and `imap`, with their types."""

from __future__ import annotations

from mp_pool._calls import Calls, positive
from mp_pool._result import AsyncResult
from mp_pool._terms import Terms
from mp_pool._wire import MAP, STARMAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeAlias, TypeVar, TypeVarTuple

    from mp_pool._callbacks import Callback, ErrorCallback
    from mp_pool._imap import IMapIterator

    R = TypeVar("R")
    T = TypeVar("T")
    Ts = TypeVarTuple("Ts")

    #: Takes how many tasks are done, and how many there are.
    Progress: TypeAlias = Callable[[int, int], object]

#: Chunks that a map makes for each worker, unless it is told their size.
_CHUNKS_PER_WORKER = 4


class MapCalls(Calls):
    """What has functions called with many elements."""

    def map(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        progress: Progress | None = None,
    ) -> list[R]:
        """Call a function with each element, in the workers, and wait for the results.

        Args:
            func: the function; it has to be picklable, as have the elements.
            iterable: the elements; all are taken at once.  A range is the quickest.
            chunksize: elements that are sent together; None for so many that each
                worker gets about four chunks.
            timeout: seconds that each task may take, as of `apply`.
            retries: how often a task is run again if its worker dies.
            progress: called with how many tasks are done and how many there are, now
                and then, in the thread that runs callbacks.

        Returns:
            The results, in the order of the elements.

        Raises:
            ValueError: the pool is closed or terminated; *chunksize* is less than 1.
            UnpicklableError: as of `apply`.
            Exception: as of `AsyncResult.get`, for the first element that failed.  All
                others are tried, too.
        """
        result: AsyncResult[list[R]] = AsyncResult(self)
        terms = Terms(timeout, retries, progress)
        items, size = self._split(iterable, chunksize)
        self._backend.map(result, MAP, func, items, size, terms, wait=True)
        return result.get()

    def map_async(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        callback: Callback[list[R]] = None,
        error_callback: ErrorCallback = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        progress: Progress | None = None,
    ) -> AsyncResult[list[R]]:
        """As `map`, without waiting; callbacks as of `apply_async`."""
        result: AsyncResult[list[R]] = AsyncResult(self)
        terms = Terms(timeout, retries, progress)
        items, size = self._split(iterable, chunksize)
        self._backend.map(
            result, MAP, func, items, size, terms, callback, error_callback
        )
        return result

    def starmap(
        self,
        func: Callable[[*Ts], R],
        iterable: Iterable[tuple[*Ts]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        progress: Progress | None = None,
    ) -> list[R]:
        """As `map`, for functions of several arguments.

        Args:
            func: the function.
            iterable: tuples of its arguments, or other iterables of them.
            chunksize: as of `map`.
            timeout: as of `map`.
            retries: as of `map`.
            progress: as of `map`.
        """
        result: AsyncResult[list[R]] = AsyncResult(self)
        terms = Terms(timeout, retries, progress)
        items, size = self._split(iterable, chunksize)
        self._backend.map(result, STARMAP, func, items, size, terms, wait=True)
        return result.get()

    def starmap_async(
        self,
        func: Callable[[*Ts], R],
        iterable: Iterable[tuple[*Ts]],
        chunksize: int | None = None,
        callback: Callback[list[R]] = None,
        error_callback: ErrorCallback = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        progress: Progress | None = None,
    ) -> AsyncResult[list[R]]:
        """As `starmap`, without waiting; callbacks as of `apply_async`."""
        result: AsyncResult[list[R]] = AsyncResult(self)
        terms = Terms(timeout, retries, progress)
        items, size = self._split(iterable, chunksize)
        self._backend.map(
            result, STARMAP, func, items, size, terms, callback, error_callback
        )
        return result

    def imap(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
    ) -> IMapIterator[R]:
        """Call a function with each element, and give the results one by one.

        The input is read by a thread of its own, little by little as results are
        taken: an endless one is fine.

        Args:
            func: the function; it has to be picklable, as have the elements.
            iterable: the elements.
            chunksize: elements that are sent together.
            buffersize: elements that may have been read and whose result has not been
                taken; at least one chunk is read in any case.  None for four chunks for
                each worker, and up to 512 chunks if all that is under way takes less
                than 16 MiB.
            timeout: as of `map`.
            retries: as of `map`.

        Returns:
            The results in the order of the elements; see `IMapIterator`.

        Raises:
            ValueError: the pool is closed or terminated; *chunksize* or *buffersize* is
                less than 1.
            UnpicklableError: the function cannot be pickled.
            BrokenPoolError: the pool cannot have working workers.
        """
        terms = Terms(timeout, retries)
        return self._imap(func, iterable, True, chunksize, buffersize, terms)

    def imap_unordered(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
    ) -> IMapIterator[R]:
        """As `imap`, with the results in the order in which they come.

        With one worker that is the order of the elements.
        """
        terms = Terms(timeout, retries)
        return self._imap(func, iterable, False, chunksize, buffersize, terms)

    def _imap(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        ordered: bool,
        chunksize: int,
        buffersize: int | None,
        terms: Terms,
    ) -> IMapIterator[R]:
        size = positive(chunksize, "chunksize")
        if buffersize is not None:
            buffersize = positive(buffersize, "buffersize")
        return self._backend.imap(
            func, iterable, ordered, size, buffersize, self, terms
        )

    def _split(
        self, iterable: Iterable[T], chunksize: int | None
    ) -> tuple[Sequence[T], int]:
        """The elements, and how many of them make a chunk."""
        self._backend.check_running()
        # Parts of a range are ranges, which take no time to pickle.
        items: Any = iterable if isinstance(iterable, range) else list(iterable)
        if chunksize is None:
            chunksize = -(-len(items) // (_CHUNKS_PER_WORKER * self._backend.size)) or 1
        return items, positive(chunksize, "chunksize")
