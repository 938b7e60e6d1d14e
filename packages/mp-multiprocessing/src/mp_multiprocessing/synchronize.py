"""Locks, conditions, events and barriers, under the standard package's module name."""

from __future__ import annotations

from mp_multiprocessing._layers import later

__all__ = (
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "OwnerDiedError",
    "RLock",
    "Semaphore",
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_sync import (
        Barrier as Barrier,
        BoundedSemaphore as BoundedSemaphore,
        Condition as Condition,
        Event as Event,
        Lock as Lock,
        OwnerDiedError as OwnerDiedError,
        RLock as RLock,
        Semaphore as Semaphore,
    )
else:
    __getattr__, __dir__ = later(__name__, __all__, "mp-sync", "mp_sync")


class SemLock:
    """For third parties that set attributes of the standard package's base of locks.

    Here no lock derives from it, as none has a name.
    """
