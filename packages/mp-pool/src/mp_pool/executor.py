"""`Executor`: the interface of `concurrent.futures` on a pool."""

from __future__ import annotations

import concurrent.futures
import weakref
from time import monotonic

from mp_pool._pool import Pool
from mp_pool.errors import TaskCancelledError, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, ParamSpec, TypeVar

    from mp_pool._imap import IMapIterator
    from mp_pool._result import AsyncResult
    from mp_process.context import BaseContext

    P = ParamSpec("P")
    T = TypeVar("T")

__all__ = ("Executor",)


class _Future(concurrent.futures.Future["T"]):
    """A future that takes its call along when it is cancelled, also while it runs."""

    _call: AsyncResult[Any] | None = None

    def cancel(self) -> bool:
        if not super().cancel():
            return False
        mark = object()
        if self.__dict__.setdefault("_cancelled_by", mark) is not mark:
            return True  # it was before; to say so twice is an error, and is logged
        self.set_running_or_notify_cancel()
        if self._call is not None:
            self._call.cancel()
        return True

    def _resolve(self, value: T) -> None:
        try:
            self.set_result(value)
        except concurrent.futures.InvalidStateError:
            pass  # it was cancelled just before

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, TaskCancelledError):
            self.cancel()
            return
        try:
            self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass


class _Star:
    """Calls a function with the elements of a tuple."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        return self.function(*arguments)


class Executor(concurrent.futures.Executor):
    """A `concurrent.futures.Executor` that is a pool of processes.

    A worker that dies fails its own future, with `WorkerDiedError`, and no other.
    ``cancel`` of a future also ends a call that runs.

    Args:
        max_workers: how many workers; None for as many as there are CPUs to be had.
        mp_context: starts the workers; None for the default context.
        initializer: called in each worker first, with *initargs*.
        initargs: its arguments.
        max_tasks_per_child: tasks after which a worker is replaced; None for never.

    Raises:
        ValueError: a number is less than 1.
        Exception: as of `Pool`.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        self._pool = Pool(
            "available" if max_workers is None else max_workers,
            initializer,
            initargs,
            max_tasks_per_child,
            mp_context,
        )
        self._calls: weakref.WeakSet[AsyncResult[Any]] = weakref.WeakSet()
        self._open = True

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Have a function called.

        Raises:
            RuntimeError: the executor is shut down.
            UnpicklableError: the call cannot be pickled.
            BrokenPoolError: the pool cannot have working workers.
        """
        self._check()
        future: _Future[T] = _Future()
        try:
            call = self._pool.apply_async(
                fn, args, kwargs, callback=future._resolve, error_callback=future._fail
            )
        except ValueError:
            self._check()  # another thread may have shut it down just now
            raise
        future._call = call
        self._calls.add(call)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """As `map`, with the calls in workers.

        Args:
            fn: the function.
            iterables: its arguments; they are read as results are taken.
            timeout: seconds from now in which all results have to be there.
            chunksize: calls that are sent together.
            buffersize: as of `Pool.imap`.

        Raises:
            TimeoutError: by the iterator; it is the built-in one as well.
            RuntimeError: the executor is shut down.
        """
        self._check()
        source = zip(*iterables, strict=False)
        try:
            results = self._pool.imap(
                _Star(fn), source, chunksize, buffersize=buffersize
            )
        except ValueError:
            self._check()
            raise
        deadline = None if timeout is None else monotonic() + timeout
        return _take(results, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls.

        Args:
            wait: until all is done and the workers have ended.
            cancel_futures: cancel what has not begun.
        """
        self._open = False
        self._pool.close()
        if cancel_futures:
            for call in list(self._calls):
                self._pool._cancel(call, running=False)
        if wait:
            self._pool.join()

    def _check(self) -> None:
        if not self._open:
            raise RuntimeError("cannot schedule new futures after shutdown")


Executor.__module__ = "mp_pool"


class _MapTimeoutError(TimeoutError, concurrent.futures.TimeoutError):
    """Both of this project and of `concurrent.futures`."""


_MapTimeoutError.__name__ = _MapTimeoutError.__qualname__ = "TimeoutError"


def _take(results: IMapIterator[T], deadline: float | None) -> Iterator[T]:
    while True:
        left = None if deadline is None else deadline - monotonic()
        try:
            value = results.next(left)
        except StopIteration:
            return
        except TimeoutError as error:
            raise _MapTimeoutError(*error.args) from None
        yield value
