"""A pool of worker processes in which a worker that dies is an error and not a hang."""

from __future__ import annotations

from mp_pool._version import __version__ as __version__
from mp_pool.errors import (
    BrokenPoolError as BrokenPoolError,
    MemoryLimitError as MemoryLimitError,
    PoolTerminatedError as PoolTerminatedError,
    ProcessError as ProcessError,
    RemoteTraceback as RemoteTraceback,
    ResultError as ResultError,
    TaskCancelledError as TaskCancelledError,
    TaskExitError as TaskExitError,
    TaskFailedError as TaskFailedError,
    TaskLoadError as TaskLoadError,
    TaskTimeoutError as TaskTimeoutError,
    TimeoutError as TimeoutError,
    UnpicklableError as UnpicklableError,
    WorkerDiedError as WorkerDiedError,
)
from mp_pool.pool import (
    AsyncResult as AsyncResult,
    IMapIterator as IMapIterator,
    Pool as Pool,
    ThreadPool as ThreadPool,
    WorkerState as WorkerState,
    worker_state as worker_state,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_pool.executor import Executor as Executor
    from mp_pool.stats import PoolStats as PoolStats, WorkerStats as WorkerStats
else:

    def __getattr__(name: str) -> object:
        # What these import takes as long as all the rest.
        if name == "Executor":
            from mp_pool.executor import Executor

            return Executor
        if name in ("PoolStats", "WorkerStats"):
            from mp_pool import stats

            return getattr(stats, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = (
    "AsyncResult",
    "BrokenPoolError",
    "Executor",
    "IMapIterator",
    "MemoryLimitError",
    "Pool",
    "PoolStats",
    "PoolTerminatedError",
    "ProcessError",
    "RemoteTraceback",
    "ResultError",
    "TaskCancelledError",
    "TaskExitError",
    "TaskFailedError",
    "TaskLoadError",
    "TaskTimeoutError",
    "ThreadPool",
    "TimeoutError",
    "UnpicklableError",
    "WorkerDiedError",
    "WorkerState",
    "WorkerStats",
    "__version__",
    "worker_state",
)
