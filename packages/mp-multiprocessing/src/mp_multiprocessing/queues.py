"""Queues, under the standard package's module name."""

from __future__ import annotations

from queue import Empty as Empty, Full as Full

from mp_sync import (
    JoinableQueue as JoinableQueue,
    Queue as Queue,
    SimpleQueue as SimpleQueue,
)

__all__ = ("Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue")

#: What third parties put into queues of their own to end a thread.
_sentinel = object()
