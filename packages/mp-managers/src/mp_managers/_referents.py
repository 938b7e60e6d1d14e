"""Objects that a `SyncManager` shares and Python has no type for."""

from __future__ import annotations

import _thread
import array
import threading

from mp_managers import _standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    import queue
    from collections.abc import Iterable
    from typing import Any, Generic, TypeVar

    T = TypeVar("T")
else:
    from mp_managers._generic import Generic

    T = None


class Namespace:
    """An object with attributes (manual, "Namespace").

    It has no public methods, and its representation shows the attributes.
    """

    def __init__(self, /, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in sorted(self.__dict__.items())
            if not name.startswith("_")
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[object, ...]:
        kind: object = type(self)
        if kind is Namespace and _standard.speaking():
            kind = _standard.Name("multiprocessing.managers", "Namespace")
        return kind, (), dict(self.__dict__)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: object) -> None: ...


class Value(Generic[T]):
    """A value that can be set (manual, "SyncManager.Value").

    Args:
        typecode: shown by the representation, and of no meaning otherwise.
        value: the value to begin with.
        lock: of no meaning; for the sake of the standard library's signature.
    """

    def __init__(self, typecode: str, value: T, lock: bool = True) -> None:
        self._typecode = typecode
        self._value = value

    def get(self) -> T:
        """The value."""
        return self._value

    def set(self, value: T) -> None:
        """Replace the value."""
        self._value = value

    @property
    def value(self) -> T:
        """The value."""
        return self._value

    @value.setter
    def value(self, value: T) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._typecode!r}, {self._value!r})"

    def __reduce__(self) -> tuple[object, ...]:
        kind: object = type(self)
        if kind is Value and _standard.speaking():
            kind = _standard.Name("multiprocessing.managers", "Value")
        return kind, (self._typecode, self._value)


_AnyRLock: Any = _thread.RLock  # final for type checkers only


class RLock(_AnyRLock):  # type: ignore[misc]
    """The referent of `SyncManager.RLock`: released when its owner is gone.

    Its owner is a thread of the server, which serves one thread of a client.
    """

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.RLock.acquire`."""
        acquired: bool = super().acquire(blocking, timeout)
        if acquired:
            _mine.held.append(self)
        return acquired

    def release(self) -> None:
        """As `threading.RLock.release`."""
        super().release()
        if self in _mine.held:
            _mine.held.remove(self)

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()


class _Mine(_thread._local):
    def __init__(self) -> None:
        #: What this thread has acquired, as often as it has.
        self.held: list[RLock] = []


_mine = _Mine()


def release_all() -> None:
    """Release what this thread holds: its client is gone."""
    while _mine.held:
        lock = _mine.held[-1]
        try:
            lock.release()
        except RuntimeError:  # by a condition, for example
            _mine.held.pop()


def make_array(
    typecode: str, sequence: Iterable[Any], lock: bool = True
) -> array.array[Any]:
    """The referent of `SyncManager.Array`."""
    return array.array(typecode, sequence)


def make_condition(lock: Any = None) -> threading.Condition:
    """The referent of `SyncManager.Condition`, whose lock may be one of the server."""
    from mp_managers._proxy import referent_of

    return threading.Condition(None if lock is None else referent_of(lock))


def make_queue(maxsize: int = 0) -> queue.Queue[Any]:
    """The referent of `SyncManager.Queue`."""
    import queue  # not for servers that have none

    return queue.Queue(maxsize)


Namespace.__module__ = Value.__module__ = "mp_managers"
