"""Proxies of locks and their like, queues, values, arrays and namespaces."""

from __future__ import annotations

import time

from mp_managers._proxy import BaseProxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Any, ClassVar, Generic, Self, SupportsIndex, TypeVar, overload

    T = TypeVar("T")
    V_co = TypeVar("V_co", covariant=True)
else:
    from mp_managers._generic import Generic

    T = V_co = None


class AcquirerProxy(BaseProxy):
    """A lock or semaphore in a manager."""

    _exposed_: ClassVar[Sequence[str] | None] = ("acquire", "release", "locked")

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire it, as `threading.Lock.acquire`; a timeout of None is none."""
        args = (blocking,) if timeout is None else (blocking, timeout)
        return self._callmethod("acquire", args)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Release it, as `threading.Lock.release`."""
        return self._callmethod("release")  # type: ignore[no-any-return]

    def locked(self) -> bool:
        """Whether it is acquired by anybody; where the server's type can tell."""
        return self._callmethod("locked")  # type: ignore[no-any-return]

    def __enter__(self) -> bool:
        return self._callmethod("acquire")  # type: ignore[no-any-return]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return self._callmethod("release")  # type: ignore[no-any-return]


class ConditionProxy(AcquirerProxy):
    """A condition in a manager."""

    _exposed_ = ("acquire", "release", "locked", "wait", "notify", "notify_all")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be notified, as `threading.Condition.wait`."""
        return self._callmethod("wait", (timeout,))  # type: ignore[no-any-return]

    def notify(self, n: int = 1) -> None:
        """Wake *n* of those who wait."""
        return self._callmethod("notify", (n,))  # type: ignore[no-any-return]

    def notify_all(self) -> None:
        """Wake all who wait."""
        return self._callmethod("notify_all")  # type: ignore[no-any-return]

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until *predicate*, which is called here, returns something true.

        Args:
            predicate: takes nothing.
            timeout: seconds; None waits for ever.

        Returns:
            What the predicate returned last.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result


class EventProxy(BaseProxy):
    """An event in a manager."""

    _exposed_ = ("is_set", "set", "clear", "wait")

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._callmethod("is_set")  # type: ignore[no-any-return]

    def set(self) -> None:
        """Set it, and wake all who wait."""
        return self._callmethod("set")  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Unset it."""
        return self._callmethod("clear")  # type: ignore[no-any-return]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; whether it is."""
        return self._callmethod("wait", (timeout,))  # type: ignore[no-any-return]


class BarrierProxy(BaseProxy):
    """A barrier in a manager."""

    _exposed_ = ("__getattribute__", "wait", "abort", "reset")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the other parties; a number that each of them gets once."""
        return self._callmethod("wait", (timeout,))  # type: ignore[no-any-return]

    def abort(self) -> None:
        """Break the barrier."""
        return self._callmethod("abort")  # type: ignore[no-any-return]

    def reset(self) -> None:
        """Make it as new; who waits gets `threading.BrokenBarrierError`."""
        return self._callmethod("reset")  # type: ignore[no-any-return]

    @property
    def parties(self) -> int:
        """How many it takes."""
        return self._callmethod("__getattribute__", ("parties",))  # type: ignore[no-any-return]

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return self._callmethod("__getattribute__", ("n_waiting",))  # type: ignore[no-any-return]

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._callmethod("__getattribute__", ("broken",))  # type: ignore[no-any-return]


class QueueProxy(BaseProxy, Generic[T]):
    """A `queue.Queue` in a manager; its errors are those of the module `queue`."""

    _exposed_ = (
        "empty", "full", "get", "get_nowait", "join", "put", "put_nowait", "qsize",
        "shutdown", "task_done",
    )  # fmt: skip
    _standard_name = "AutoProxy"

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item into the queue, as `queue.Queue.put`."""
        if block and timeout is None:
            return self._callmethod("put", (item,))  # type: ignore[no-any-return]
        return self._callmethod("put", (item, block, timeout))  # type: ignore[no-any-return]

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Remove and return an item, as `queue.Queue.get`."""
        if block and timeout is None:
            return self._callmethod("get")  # type: ignore[no-any-return]
        return self._callmethod("get", (block, timeout))  # type: ignore[no-any-return]

    def put_nowait(self, item: T) -> None:
        """Put an item into the queue, or raise `queue.Full`."""
        return self._callmethod("put_nowait", (item,))  # type: ignore[no-any-return]

    def get_nowait(self) -> T:
        """Remove and return an item, or raise `queue.Empty`."""
        return self._callmethod("get_nowait")  # type: ignore[no-any-return]

    def qsize(self) -> int:
        """How many items there are."""
        return self._callmethod("qsize")  # type: ignore[no-any-return]

    def empty(self) -> bool:
        """Whether there are none."""
        return self._callmethod("empty")  # type: ignore[no-any-return]

    def full(self) -> bool:
        """Whether there is no room."""
        return self._callmethod("full")  # type: ignore[no-any-return]

    def task_done(self) -> None:
        """Say that an item that was got is dealt with."""
        return self._callmethod("task_done")  # type: ignore[no-any-return]

    def join(self) -> None:
        """Wait until all items are dealt with."""
        return self._callmethod("join")  # type: ignore[no-any-return]

    def shutdown(self, immediate: bool = False) -> None:
        """Let nobody put any more, where the server runs Python 3.13 or later."""
        return self._callmethod("shutdown", (immediate,))  # type: ignore[no-any-return]


class ValueProxy(BaseProxy, Generic[T]):
    """A value in a manager."""

    _exposed_ = ("get", "set")

    def get(self) -> T:
        """The value."""
        return self._callmethod("get")  # type: ignore[no-any-return]

    def set(self, value: T) -> None:
        """Replace the value."""
        return self._callmethod("set", (value,))  # type: ignore[no-any-return]

    @property
    def value(self) -> T:
        """The value."""
        return self.get()

    @value.setter
    def value(self, value: T) -> None:
        self.set(value)


class ArrayProxy(BaseProxy, Generic[T]):
    """An `array.array` in a manager."""

    _exposed_ = ("__len__", "__getitem__", "__setitem__")

    def __len__(self) -> int:
        return self._callmethod("__len__")  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: SupportsIndex, /) -> T: ...

        @overload
        def __getitem__(self, index: slice, /) -> array[Any]: ...

    def __getitem__(self, index: Any, /) -> Any:
        return self._callmethod("__getitem__", (index,))

    if TYPE_CHECKING:

        @overload
        def __setitem__(self, index: SupportsIndex, value: T, /) -> None: ...

        @overload
        def __setitem__(self, index: slice, value: array[Any], /) -> None: ...

    def __setitem__(self, index: Any, value: Any, /) -> None:
        return self._callmethod("__setitem__", (index, value))  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[T]:
        values: Iterable[T] = self._callmethod("__getitem__", (slice(None),))
        return iter(values)


class NamespaceProxy(BaseProxy):
    """A `Namespace` in a manager.

    Attributes that begin with ``_`` are the proxy's own.
    """

    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__")

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            return object.__getattribute__(self, name)
        return self._callmethod("__getattribute__", (name,))

    def __setattr__(self, name: str, value: object) -> None:
        if name[:1] == "_":
            return object.__setattr__(self, name, value)
        return self._callmethod("__setattr__", (name, value))  # type: ignore[no-any-return]

    def __delattr__(self, name: str) -> None:
        if name[:1] == "_":
            return object.__delattr__(self, name)
        return self._callmethod("__delattr__", (name,))  # type: ignore[no-any-return]


class IteratorProxy(BaseProxy, Generic[V_co]):
    """An iterator in a manager, or a generator."""

    _exposed_ = ("__next__", "send", "throw", "close")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> V_co:
        return self._callmethod("__next__")  # type: ignore[no-any-return]

    def send(self, value: object) -> V_co:
        """Resume a generator with a value."""
        return self._callmethod("send", (value,))  # type: ignore[no-any-return]

    def throw(self, error: BaseException) -> V_co:
        """Resume a generator with an exception."""
        return self._callmethod("throw", (error,))  # type: ignore[no-any-return]

    def close(self) -> None:
        """End a generator."""
        return self._callmethod("close")  # type: ignore[no-any-return]


for _class in (
    AcquirerProxy,
    ConditionProxy,
    EventProxy,
    BarrierProxy,
    QueueProxy,
    ValueProxy,
    ArrayProxy,
    NamespaceProxy,
    IteratorProxy,
):
    _class.__module__ = "mp_managers"
