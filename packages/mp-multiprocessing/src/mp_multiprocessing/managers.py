"""Managers and proxies, under the standard package's module name."""

from __future__ import annotations

from mp_multiprocessing._layers import later

__all__ = (
    "AcquirerProxy",
    "ArrayProxy",
    "AsyncResultProxy",
    "AutoProxy",
    "BarrierProxy",
    "BaseManager",
    "BaseProxy",
    "Batch",
    "ConditionProxy",
    "DictProxy",
    "EventProxy",
    "IteratorProxy",
    "Later",
    "ListProxy",
    "MakeProxyType",
    "ManagerDiedError",
    "Namespace",
    "NamespaceProxy",
    "PoolProxy",
    "QueueProxy",
    "RebuildProxy",
    "RemoteError",
    "Server",
    "SetProxy",
    "SharedMemoryManager",
    "SyncManager",
    "TLSConfig",
    "Token",
    "Value",
    "ValueProxy",
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_managers import (
        AcquirerProxy as AcquirerProxy,
        ArrayProxy as ArrayProxy,
        AsyncResultProxy as AsyncResultProxy,
        AutoProxy as AutoProxy,
        BarrierProxy as BarrierProxy,
        BaseManager as BaseManager,
        BaseProxy as BaseProxy,
        Batch as Batch,
        ConditionProxy as ConditionProxy,
        DictProxy as DictProxy,
        EventProxy as EventProxy,
        IteratorProxy as IteratorProxy,
        Later as Later,
        ListProxy as ListProxy,
        MakeProxyType as MakeProxyType,
        ManagerDiedError as ManagerDiedError,
        Namespace as Namespace,
        NamespaceProxy as NamespaceProxy,
        PoolProxy as PoolProxy,
        QueueProxy as QueueProxy,
        RebuildProxy as RebuildProxy,
        RemoteError as RemoteError,
        Server as Server,
        SetProxy as SetProxy,
        SharedMemoryManager as SharedMemoryManager,
        SyncManager as SyncManager,
        TLSConfig as TLSConfig,
        Token as Token,
        Value as Value,
        ValueProxy as ValueProxy,
    )
else:
    __getattr__, __dir__ = later(__name__, __all__, "mp-managers", "mp_managers")
