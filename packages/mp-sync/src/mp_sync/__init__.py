"""Locks, semaphores, conditions, events, barriers and queues that processes share.

Each can be inherited by children under every start method, and sent: as an argument of
a process, through a connection or a pool.
"""

from __future__ import annotations

from mp_sync._backend import (
    BoundedSemaphore as BoundedSemaphore,
    Event as Event,
    Lock as Lock,
    RLock as RLock,
    Semaphore as Semaphore,
)
from mp_sync._barrier import Barrier as Barrier
from mp_sync._condition import Condition as Condition
from mp_sync._joinable_queue import JoinableQueue as JoinableQueue
from mp_sync._queue import Queue as Queue
from mp_sync._simple_queue import SimpleQueue as SimpleQueue
from mp_sync._version import __version__ as __version__
from mp_sync.errors import OwnerDiedError as OwnerDiedError

__all__ = (
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "OwnerDiedError",
    "Queue",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "__version__",
)
