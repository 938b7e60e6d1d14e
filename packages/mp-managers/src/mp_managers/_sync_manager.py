"""`SyncManager`: a manager of the types that processes share most."""

from __future__ import annotations

import builtins
import threading

from mp_managers import _standard
from mp_managers._container_proxies import DictProxy, ListProxy, SetProxy
from mp_managers._manager import BaseManager
from mp_managers._pool import AsyncResultProxy, PoolProxy, make_pool
from mp_managers._proxy import builtin
from mp_managers._referents import (
    Namespace,
    RLock,
    Value,
    make_array,
    make_condition,
    make_queue,
)
from mp_managers._sync_proxies import (
    AcquirerProxy,
    ArrayProxy,
    BarrierProxy,
    ConditionProxy,
    EventProxy,
    IteratorProxy,
    NamespaceProxy,
    QueueProxy,
    ValueProxy,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar, overload

    from _typeshed import SupportsKeysAndGetItem

    T = TypeVar("T")
    K = TypeVar("K")
    V = TypeVar("V")


class SyncManager(BaseManager):
    """Shares lists, dicts, locks, queues and so on (manual, "SyncManager")."""

    def Barrier(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> BarrierProxy:
        """A new `threading.Barrier`; the action is called in the manager."""
        return self._make("Barrier", parties, action, timeout)  # type: ignore[no-any-return]

    def BoundedSemaphore(self, value: int = 1) -> AcquirerProxy:
        """A new `threading.BoundedSemaphore`."""
        return self._make("BoundedSemaphore", value)  # type: ignore[no-any-return]

    def Condition(self, lock: AcquirerProxy | None = None) -> ConditionProxy:
        """A new `threading.Condition`, with a lock of the same manager or its own."""
        args = () if lock is None else (lock,)
        return self._make("Condition", *args)  # type: ignore[no-any-return]

    def Event(self) -> EventProxy:
        """A new `threading.Event`."""
        return self._make("Event")  # type: ignore[no-any-return]

    def Lock(self) -> AcquirerProxy:
        """A new `threading.Lock`."""
        return self._make("Lock")  # type: ignore[no-any-return]

    def Namespace(self, /, **attributes: object) -> NamespaceProxy:
        """A new `Namespace`."""
        return self._make("Namespace", **attributes)  # type: ignore[no-any-return]

    def Queue(self, maxsize: int = 0) -> QueueProxy[Any]:
        """A new `queue.Queue`."""
        return self._make("Queue", maxsize)  # type: ignore[no-any-return]

    def JoinableQueue(self, maxsize: int = 0) -> QueueProxy[Any]:
        """A new `queue.Queue`, which can be joined as well."""
        return self._make("JoinableQueue", maxsize)  # type: ignore[no-any-return]

    def RLock(self) -> AcquirerProxy:
        """A new `threading.RLock`, held by one thread of one process."""
        return self._make("RLock")  # type: ignore[no-any-return]

    def Semaphore(self, value: int = 1) -> AcquirerProxy:
        """A new `threading.Semaphore`."""
        return self._make("Semaphore", value)  # type: ignore[no-any-return]

    def Array(self, typecode: str, sequence: Iterable[T]) -> ArrayProxy[T]:
        """A new `array.array`."""
        return self._make("Array", typecode, builtins.list(sequence))  # type: ignore[no-any-return]

    def Value(self, typecode: str, value: T) -> ValueProxy[T]:
        """A new object with a writable attribute ``value``."""
        return self._make("Value", typecode, value)  # type: ignore[no-any-return]

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[object] = (),
        maxtasksperchild: int | None = None,
    ) -> PoolProxy:
        """A new pool in the manager; needs ``mp-managers[pool]``."""
        args = processes, initializer, tuple(initargs), maxtasksperchild
        return self._make("Pool", *args)  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def dict(self, /) -> DictProxy[Any, Any]: ...

        @overload
        def dict(self, /, **items: V) -> DictProxy[str, V]: ...

        @overload
        def dict(self, mapping: SupportsKeysAndGetItem[K, V], /) -> DictProxy[K, V]: ...

        @overload
        def dict(
            self, mapping: SupportsKeysAndGetItem[str, V], /, **items: V
        ) -> DictProxy[str, V]: ...

        @overload
        def dict(self, sequence: Iterable[tuple[K, V]], /) -> DictProxy[K, V]: ...

        @overload
        def dict(
            self, sequence: Iterable[tuple[str, V]], /, **items: V
        ) -> DictProxy[str, V]: ...

    def dict(self, /, *args: Any, **items: Any) -> DictProxy[Any, Any]:
        """A new dict."""
        return self._make("dict", *args, **items)  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def list(self, /) -> ListProxy[Any]: ...

        @overload
        def list(self, sequence: Iterable[T], /) -> ListProxy[T]: ...

    def list(self, /, *args: Any) -> ListProxy[Any]:
        """A new list."""
        return self._make("list", *args)  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def set(self, /) -> SetProxy[Any]: ...

        @overload
        def set(self, sequence: Iterable[T], /) -> SetProxy[T]: ...

    def set(self, /, *args: Any) -> SetProxy[Any]:
        """A new set."""
        return self._make("set", *args)  # type: ignore[no-any-return]


def _register(
    typeid: str, make: Callable[..., Any] | None, proxytype: type[Any] | None
) -> None:
    # The methods are written out above, with their types.
    SyncManager.register(typeid, make, proxytype, create_method=False)
    if proxytype is not None:
        builtin[typeid] = proxytype
        if proxytype._standard_name is None:
            _standard.register("managers", proxytype.__name__, proxytype)


_register("Barrier", threading.Barrier, BarrierProxy)
_register("BoundedSemaphore", threading.BoundedSemaphore, AcquirerProxy)
_register("Condition", make_condition, ConditionProxy)
_register("Event", threading.Event, EventProxy)
_register("Lock", threading.Lock, AcquirerProxy)
_register("Namespace", Namespace, NamespaceProxy)
_register("Queue", make_queue, QueueProxy)
_register("JoinableQueue", make_queue, QueueProxy)
_register("RLock", RLock, AcquirerProxy)
_register("Semaphore", threading.Semaphore, AcquirerProxy)
_register("Array", make_array, ArrayProxy)
_register("Value", Value, ValueProxy)
_register("dict", builtins.dict, DictProxy)
_register("list", builtins.list, ListProxy)
_register("set", builtins.set, SetProxy)
_register("Pool", make_pool, PoolProxy)
# Of results of methods only.
_register("Iterator", None, IteratorProxy)
_register("AsyncResult", None, AsyncResultProxy)
_standard.register("managers", "Namespace", Namespace)
_standard.register("managers", "Value", Value)

SyncManager.__module__ = "mp_managers"
