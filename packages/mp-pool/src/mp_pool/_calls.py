"""`apply` and `apply_async`, with their types."""

from __future__ import annotations

from operator import index

from mp_pool._result import AsyncResult
from mp_pool._terms import USUAL, Terms
from mp_process import cpu_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar, TypeVarTuple, overload

    from mp_pool._backend import Backend
    from mp_pool._callbacks import Callback, ErrorCallback

    R = TypeVar("R")
    Ts = TypeVarTuple("Ts")


class Calls:
    """What has functions called by workers, of whichever kind these are."""

    _backend: Backend

    if TYPE_CHECKING:

        @overload
        def apply(
            self,
            func: Callable[[], R],
            *,
            timeout: float | None = None,
            retries: int = 0,
        ) -> R: ...

        @overload
        def apply(
            self,
            func: Callable[[*Ts], R],
            args: tuple[*Ts],
            *,
            timeout: float | None = None,
            retries: int = 0,
        ) -> R: ...

        # With keywords, mypy cannot match arguments and parameters.
        @overload
        def apply(
            self,
            func: Callable[..., R],
            args: Iterable[object],
            kwds: Mapping[str, object],
            *,
            timeout: float | None = None,
            retries: int = 0,
        ) -> R: ...

        @overload
        def apply(
            self,
            func: Callable[..., R],
            *,
            kwds: Mapping[str, object],
            timeout: float | None = None,
            retries: int = 0,
        ) -> R: ...

    def apply(
        self,
        func: Callable[..., Any],
        args: Iterable[object] = (),
        kwds: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
    ) -> Any:
        """Call a function in a worker, and wait for its result.

        Args:
            func: the function; it has to be picklable, as have its arguments.
            args: positional arguments.
            kwds: keyword arguments.
            timeout: seconds that the task may take once it runs; then its worker is
                ended and replaced.  None for any time.
            retries: how often the task is run again if its worker dies.

        Returns:
            What the function returned.

        Raises:
            ValueError: the pool is closed or terminated.
            UnpicklableError: the call cannot be pickled; nothing was submitted.
            Exception: as of `AsyncResult.get`.
        """
        terms = USUAL
        if timeout is not None or retries:
            terms = Terms(timeout, retries)
        kwds = dict(kwds) if kwds else {}
        return self._backend.apply(func, tuple(args), kwds, self, terms)

    if TYPE_CHECKING:

        @overload
        def apply_async(
            self,
            func: Callable[[], R],
            *,
            callback: Callback[R] = None,
            error_callback: ErrorCallback = None,
            timeout: float | None = None,
            retries: int = 0,
        ) -> AsyncResult[R]: ...

        @overload
        def apply_async(
            self,
            func: Callable[[*Ts], R],
            args: tuple[*Ts],
            *,
            callback: Callback[R] = None,
            error_callback: ErrorCallback = None,
            timeout: float | None = None,
            retries: int = 0,
        ) -> AsyncResult[R]: ...

        # With keywords, mypy cannot match arguments and parameters.
        @overload
        def apply_async(
            self,
            func: Callable[..., R],
            args: Iterable[object],
            kwds: Mapping[str, object],
            callback: Callback[R] = None,
            error_callback: ErrorCallback = None,
            *,
            timeout: float | None = None,
            retries: int = 0,
        ) -> AsyncResult[R]: ...

        @overload
        def apply_async(
            self,
            func: Callable[..., R],
            *,
            kwds: Mapping[str, object],
            callback: Callback[R] = None,
            error_callback: ErrorCallback = None,
            timeout: float | None = None,
            retries: int = 0,
        ) -> AsyncResult[R]: ...

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[object] = (),
        kwds: Mapping[str, object] | None = None,
        callback: Callback[Any] = None,
        error_callback: ErrorCallback = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
    ) -> AsyncResult[Any]:
        """Have a function called in a worker.

        Args:
            func: the function; it has to be picklable, as have its arguments.
            args: positional arguments.
            kwds: keyword arguments.
            callback: called with the result, in a thread of the pool that runs all
                callbacks one after the other, before the result is ready.
            error_callback: called with the exception instead, if there is one.
            timeout: as of `apply`.
            retries: as of `apply`.

        Raises:
            ValueError: the pool is closed or terminated.
            UnpicklableError: the call cannot be pickled; nothing was submitted.
            BrokenPoolError: the pool cannot have working workers.
        """
        result: AsyncResult[Any] = AsyncResult(self)
        terms = USUAL
        if timeout is not None or retries:
            terms = Terms(timeout, retries)
        kwds = dict(kwds) if kwds else {}
        self._backend.call(
            result, func, tuple(args), kwds, callback, error_callback, terms
        )
        return result


def default_size() -> int:
    """How many workers a pool has when nobody says.

    Raises:
        ValueError: PYTHON_CPU_COUNT is no positive number.
    """
    try:
        return cpu_count()
    except NotImplementedError:
        return 1


def positive(number: int, name: str) -> int:
    """The number, if it is a positive integer.

    Args:
        number: the number.
        name: what an error calls it.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less than 1.
    """
    number = index(number)
    if number < 1:
        raise ValueError(f"{name} has to be at least 1, not {number}")
    return number
