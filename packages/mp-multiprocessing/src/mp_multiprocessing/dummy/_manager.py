"""A manager whose objects are the objects themselves."""

from __future__ import annotations

import builtins
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mp_multiprocessing.dummy import _objects

if TYPE_CHECKING:
    from mp_pool import ThreadPool


class DummyManager:
    """Makes objects that threads share, with no server and no proxies."""

    dict = builtins.dict
    list = builtins.list
    set = builtins.set
    Namespace = _objects.Namespace
    Semaphore = threading.Semaphore
    BoundedSemaphore = threading.BoundedSemaphore
    Condition = threading.Condition
    Event = threading.Event
    Barrier = threading.Barrier
    Queue = _objects.Queue
    JoinableQueue = _objects.JoinableQueue

    def Lock(self) -> threading.Lock:
        """A lock."""
        return threading.Lock()

    def RLock(self) -> threading.RLock:
        """A lock that its holder may acquire again."""
        return threading.RLock()

    # As those of a real manager, which have no lock of their own.

    def Value(self, typecode: object, value: Any) -> _objects.Value[Any]:
        """A shared value without a lock."""
        return _objects.Value(typecode, value, lock=False)

    def Array(self, typecode: str, sequence: Any) -> _objects.Array:
        """A shared array without a lock."""
        return _objects.Array(typecode, sequence, lock=False)

    def Pool(self, processes: int | None = None) -> ThreadPool:
        """A pool of threads."""
        from mp_multiprocessing.dummy import Pool  # which imports this module

        return Pool(processes)

    def start(self) -> None:
        """Do nothing: there is no server to start."""

    def shutdown(self) -> None:
        """Do nothing: there is no server to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()


def Manager() -> DummyManager:
    """A manager, as `mp_multiprocessing.Manager` has it."""
    return DummyManager()


def shutdown() -> None:
    """Do nothing: there is no server to end."""


DummyManager.__module__ = "mp_multiprocessing.dummy"
