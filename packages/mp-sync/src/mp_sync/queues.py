"""Queues, under the standard package's module name."""

from __future__ import annotations

from mp_sync._joinable_queue import JoinableQueue as JoinableQueue
from mp_sync._queue import Queue as Queue
from mp_sync._simple_queue import SimpleQueue as SimpleQueue

__all__ = ("JoinableQueue", "Queue", "SimpleQueue")
