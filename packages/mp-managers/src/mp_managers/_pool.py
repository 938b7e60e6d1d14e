"""`SyncManager.Pool`: a pool in a manager, where mp-pool is installed."""

from __future__ import annotations

from mp_managers._proxy import BaseProxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, ClassVar, Generic, Self, TypeVar

    from mp_managers._sync_proxies import IteratorProxy

    T = TypeVar("T")
    R = TypeVar("R")
    R_co = TypeVar("R_co", covariant=True)
else:
    from mp_managers._generic import Generic

    R_co = None

_ASYNC = "AsyncResult"


def make_pool(*args: Any, **kwds: Any) -> Any:
    """The referent: a `mp_pool.Pool`.

    Raises:
        ModuleNotFoundError: mp-pool is not installed; ``mp-managers[pool]`` needs it.
    """
    from mp_pool import Pool  # an extra

    return Pool(*args, **kwds)


class AsyncResultProxy(BaseProxy, Generic[R_co]):
    """A result of a pool in a manager."""

    _exposed_ = ("ready", "successful", "wait", "get", "cancel")
    _standard_name = "AutoProxy"

    def ready(self) -> bool:
        """Whether the call is complete."""
        return self._callmethod("ready")  # type: ignore[no-any-return]

    def successful(self) -> bool:
        """Whether it is complete and raised nothing; ValueError if it is not."""
        return self._callmethod("successful")  # type: ignore[no-any-return]

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is there, for so many seconds at most."""
        return self._callmethod("wait", (timeout,))  # type: ignore[no-any-return]

    def get(self, timeout: float | None = None) -> R_co:
        """The result, as soon as it is there; see `mp_pool.AsyncResult.get`."""
        return self._callmethod("get", (timeout,))  # type: ignore[no-any-return]

    def cancel(self) -> bool:
        """Have the call not run, or ended; see `mp_pool.AsyncResult.cancel`."""
        return self._callmethod("cancel")  # type: ignore[no-any-return]


class PoolProxy(BaseProxy):
    """A pool in a manager.

    Functions and callbacks have to be importable there.  Asynchronous calls and
    iterators return proxies.
    """

    _exposed_ = (
        "apply", "apply_async", "close", "imap", "imap_unordered", "join", "map",
        "map_async", "starmap", "starmap_async", "terminate",
    )  # fmt: skip
    _method_to_typeid_: ClassVar[Mapping[str, str] | None] = {
        "apply_async": _ASYNC,
        "map_async": _ASYNC,
        "starmap_async": _ASYNC,
        "imap": "Iterator",
        "imap_unordered": "Iterator",
    }

    def apply(
        self,
        func: Callable[..., R],
        args: Iterable[object] = (),
        kwds: Mapping[str, object] | None = None,
    ) -> R:
        """Call a function in a worker; see `mp_pool.Pool.apply`."""
        return self._callmethod("apply", (func, tuple(args), dict(kwds or {})))  # type: ignore[no-any-return]

    def apply_async(
        self,
        func: Callable[..., R],
        args: Iterable[object] = (),
        kwds: Mapping[str, object] | None = None,
        **callbacks: object,
    ) -> AsyncResultProxy[R]:
        """As `apply`, without waiting: a proxy of the result."""
        call = func, tuple(args), dict(kwds or {})
        return self._callmethod("apply_async", call, callbacks)  # type: ignore[no-any-return]

    def map(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
    ) -> list[R]:
        """Call a function for each item; see `mp_pool.Pool.map`."""
        return self._callmethod("map", (func, list(iterable), chunksize))  # type: ignore[no-any-return]

    def map_async(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        **callbacks: object,
    ) -> AsyncResultProxy[list[R]]:
        """As `map`, without waiting: a proxy of the result."""
        call = func, list(iterable), chunksize
        return self._callmethod("map_async", call, callbacks)  # type: ignore[no-any-return]

    def starmap(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[object]],
        chunksize: int | None = None,
    ) -> list[R]:
        """As `map`, for items that are arguments; see `mp_pool.Pool.starmap`."""
        return self._callmethod("starmap", (func, list(iterable), chunksize))  # type: ignore[no-any-return]

    def starmap_async(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[object]],
        chunksize: int | None = None,
        **callbacks: object,
    ) -> AsyncResultProxy[list[R]]:
        """As `starmap`, without waiting: a proxy of the result."""
        call = func, list(iterable), chunksize
        return self._callmethod("starmap_async", call, callbacks)  # type: ignore[no-any-return]

    def imap(
        self, func: Callable[[T], R], iterable: Iterable[T], chunksize: int = 1
    ) -> IteratorProxy[R]:
        """A proxy of an iterator over the results, in order."""
        return self._callmethod("imap", (func, list(iterable), chunksize))  # type: ignore[no-any-return]

    def imap_unordered(
        self, func: Callable[[T], R], iterable: Iterable[T], chunksize: int = 1
    ) -> IteratorProxy[R]:
        """A proxy of an iterator over the results, as they come."""
        return self._callmethod("imap_unordered", (func, list(iterable), chunksize))  # type: ignore[no-any-return]

    def close(self) -> None:
        """Take no more tasks."""
        return self._callmethod("close")  # type: ignore[no-any-return]

    def terminate(self) -> None:
        """End the workers at once."""
        return self._callmethod("terminate")  # type: ignore[no-any-return]

    def join(self) -> None:
        """Wait for the end of the workers."""
        return self._callmethod("join")  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.terminate()


for _class in (AsyncResultProxy, PoolProxy):
    _class.__module__ = "mp_managers"
