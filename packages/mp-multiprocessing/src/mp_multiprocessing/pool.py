"""Pools, under the standard package's module name and its further names."""

from __future__ import annotations

from mp_multiprocessing._layers import later

__all__ = (
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "Pool",
    "RemoteTraceback",
    "ResultError",
    "ThreadPool",
    "TimeoutError",
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_pool import (
        AsyncResult as AsyncResult,
        IMapIterator as IMapIterator,
        Pool as Pool,
        RemoteTraceback as RemoteTraceback,
        ResultError as ResultError,
        ThreadPool as ThreadPool,
        TimeoutError as TimeoutError,
    )

    ApplyResult = AsyncResult
    MapResult = AsyncResult
    IMapUnorderedIterator = IMapIterator
    MaybeEncodingError = ResultError
else:
    __getattr__, __dir__ = later(
        __name__,
        __all__,
        "mp-pool",
        "mp_pool",
        ApplyResult="AsyncResult",
        MapResult="AsyncResult",
        IMapUnorderedIterator="IMapIterator",
        MaybeEncodingError="ResultError",
    )
