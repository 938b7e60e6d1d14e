"""The interface of `mp_multiprocessing` on threads (manual, "multiprocessing.dummy").

Everything happens in one process: nothing is pickled, and nothing runs on two CPUs at
once unless it releases the interpreter's lock.
"""

from __future__ import annotations

from threading import (
    Barrier as Barrier,
    BoundedSemaphore as BoundedSemaphore,
    Condition as Condition,
    Event as Event,
    Lock as Lock,
    RLock as RLock,
    Semaphore as Semaphore,
)

from mp_multiprocessing.dummy._manager import Manager as Manager, shutdown as shutdown
from mp_multiprocessing.dummy._objects import (
    Array as Array,
    JoinableQueue as JoinableQueue,
    Namespace as Namespace,
    Queue as Queue,
    SimpleQueue as SimpleQueue,
    Value as Value,
)
from mp_multiprocessing.dummy._process import (
    Process as Process,
    active_children as active_children,
    current_process as current_process,
)
from mp_multiprocessing.dummy.connection import Pipe as Pipe
from mp_process import freeze_support as freeze_support

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mp_pool import ThreadPool


def Pool(
    processes: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[object] = (),
) -> ThreadPool:
    """A pool of threads; see `mp_pool.ThreadPool`.

    Raises:
        ModuleNotFoundError: mp-pool is not installed.
    """
    from mp_multiprocessing._layers import Needed

    with Needed("mp-pool", "dummy.Pool"):
        from mp_pool import ThreadPool
    return ThreadPool(processes, initializer, tuple(initargs))


__all__ = (
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Namespace",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "Value",
    "active_children",
    "current_process",
    "freeze_support",
    "shutdown",
)
