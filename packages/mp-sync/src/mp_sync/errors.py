"""The error classes of this layer."""

from __future__ import annotations

from mp_connection.errors import ProcessError

__all__ = ("OwnerDiedError",)


class OwnerDiedError(ProcessError):
    """The process, or the thread, that held a lock ended in possession of it.

    What the lock protects may be half changed.  `RLock.recover` takes the lock to see
    to it; until somebody does, every ``acquire`` raises this.

    Attributes:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid

    def __str__(self) -> str:
        return (
            f"process {self.pid}, or a thread of it, ended while it held the lock; see"
            " what became of the data, then call recover() instead of acquire()"
        )


OwnerDiedError.__module__ = "mp_sync"
