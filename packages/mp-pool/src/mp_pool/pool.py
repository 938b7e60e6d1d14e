"""Pools of processes and of threads: the manual's section "Process Pools"."""

from __future__ import annotations

from mp_pool._imap import IMapIterator as IMapIterator
from mp_pool._pool import Pool as Pool
from mp_pool._result import AsyncResult as AsyncResult
from mp_pool._state import WorkerState as WorkerState, worker_state as worker_state
from mp_pool._threads import ThreadPool as ThreadPool

__all__ = (
    "AsyncResult",
    "IMapIterator",
    "Pool",
    "ThreadPool",
    "WorkerState",
    "worker_state",
)
