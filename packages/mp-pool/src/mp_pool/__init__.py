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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_pool import pool as pool
    from mp_pool.executor import Executor as Executor
    from mp_pool.pool import (
        AsyncResult as AsyncResult,
        IMapIterator as IMapIterator,
        Pool as Pool,
        ThreadPool as ThreadPool,
        WorkerState as WorkerState,
        worker_state as worker_state,
    )
    from mp_pool.stats import PoolStats as PoolStats, WorkerStats as WorkerStats
else:
    #: What is imported when somebody asks for it, and the modules that have it.  Each
    #: worker that is not forked imports this package, and needs none of it: the pool
    #: is four times as much as a worker.
    _LATER = {
        "AsyncResult": "_result",
        "Executor": "executor",
        "IMapIterator": "_imap",
        "Pool": "_pool",
        "PoolStats": "stats",
        "ThreadPool": "_threads",
        "WorkerState": "_state",
        "WorkerStats": "stats",
        "worker_state": "_state",
    }

    def __getattr__(name: str) -> object:
        if name == "pool":
            import mp_pool.pool

            return mp_pool.pool
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = __import__(f"{__name__}.{_LATER[name]}", fromlist=(name,))
        value = globals()[name] = getattr(module, name)
        return value


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
