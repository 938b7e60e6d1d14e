"""Objects that threads share: what is shared memory or a manager's elsewhere."""

from __future__ import annotations

import ctypes
import queue
import threading
from array import array
from collections.abc import Iterable, Iterator
from operator import index
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

T = TypeVar("T")


class Queue(queue.Queue[T]):
    """A `queue.Queue` with the methods of one between processes.

    To close it does nothing: a process closes its own end, and threads share theirs.
    """

    def close(self) -> None:
        """Do nothing: other threads may go on."""

    def join_thread(self) -> None:
        """Do nothing: no thread is needed to put."""

    def cancel_join_thread(self) -> None:
        """Do nothing: no thread is needed to put."""


class JoinableQueue(Queue[T]):
    """The same: every queue between threads has `task_done` and `join`."""


class SimpleQueue(Generic[T]):
    """A queue without a size (manual, "SimpleQueue")."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()

    def put(self, item: T) -> None:
        """Put an item, which does not wait."""
        self._items.put(item)

    def get(self) -> T:
        """Get an item, when there is one."""
        return self._items.get()

    def empty(self) -> bool:
        """Whether there is nothing to get."""
        return self._items.empty()

    def close(self) -> None:
        """Do nothing: other threads may go on."""


class Namespace:
    """An object to put attributes on.

    Args:
        attributes: what it begins with.
    """

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None: ...

    def __init__(self, /, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this namespace has no {name!r}")

    def __repr__(self) -> str:
        shown = sorted(k for k in self.__dict__ if not k.startswith("_"))
        parts = [f"{name}={self.__dict__[name]!r}" for name in shown]
        return f"{type(self).__name__}({', '.join(parts)})"


class _Locked:
    """What a shared object has for its lock."""

    _lock: threading.RLock | None

    def get_lock(self) -> threading.RLock:
        """The lock of the object; one that any thread may use with it."""
        if self._lock is None:
            raise AttributeError("this object was made with lock=False")
        return self._lock

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock; see `threading.RLock`."""
        return self.get_lock().acquire(blocking, timeout)

    def release(self) -> None:
        """Release the lock."""
        self.get_lock().release()

    def __enter__(self) -> Self:
        self.get_lock().acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.get_lock().release()


class Value(_Locked, Generic[T]):
    """A value that threads share.

    Args:
        typecode: of no meaning here; it is kept for the repr.
        value: what it begins with.
        lock: whether there is a lock with it.
    """

    def __init__(self, typecode: object, value: T, lock: bool = True) -> None:
        self._typecode = typecode
        self._lock = threading.RLock() if lock else None
        #: The value itself.
        self.value: T = value

    def get(self) -> T:
        """The value."""
        return self.value

    def set(self, value: T) -> None:
        """Replace the value."""
        self.value = value

    def get_obj(self) -> Self:
        """The object itself, there being nothing behind it."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._typecode!r}, {self.value!r})>"


class Array(_Locked):
    """An array that threads share.

    Args:
        typecode: as of `array.array`, or a type of `ctypes`.
        initial: the elements, or how many, which are then zero.
        lock: whether there is a lock with it.
    """

    def __init__(
        self, typecode: str | type[Any], initial: int | Iterable[Any], lock: bool = True
    ) -> None:
        self._lock = threading.RLock() if lock else None
        elements = list(initial) if isinstance(initial, Iterable) else None
        size = index(initial) if elements is None else len(elements)  # type: ignore[arg-type]
        self._elements: Any
        if isinstance(typecode, str):
            given = [0] * size if elements is None else elements
            self._elements = array(typecode, given)
        else:
            self._elements = (typecode * size)(*elements or ())

    def get_obj(self) -> array[Any] | ctypes.Array[Any]:
        """The array behind it."""
        found: array[Any] | ctypes.Array[Any] = self._elements
        return found

    def __len__(self) -> int:
        return len(self._elements)

    def __getitem__(self, place: int | slice) -> Any:
        found = self._elements[place]
        return list(found) if isinstance(found, array) else found

    def __setitem__(self, place: int | slice, value: object) -> None:
        elements = self._elements
        if isinstance(place, slice) and isinstance(elements, array):
            assert isinstance(value, Iterable)
            value = array(elements.typecode, value)
            if len(value) != len(range(*place.indices(len(self)))):
                raise ValueError("the size of a shared array cannot change")
        elements[place] = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._elements)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self[:]!r}>"


for _class in (Queue, JoinableQueue, SimpleQueue, Namespace, Value, Array):
    _class.__module__ = "mp_multiprocessing.dummy"
