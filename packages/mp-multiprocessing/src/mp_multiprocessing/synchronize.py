"""Locks, conditions, events and barriers, under the standard package's module name."""

from __future__ import annotations

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


class SemLock:
    """For third parties that set attributes of the standard package's base of locks.

    Here no lock derives from it, as none has a name.
    """
