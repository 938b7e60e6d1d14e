"""Pools, under the standard package's module name and its further names."""

from __future__ import annotations

from mp_multiprocessing._layers import Needed

with Needed("mp-pool", __name__):
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
