"""Servers of shared objects, and the proxies by which processes use them."""

from __future__ import annotations

from mp_managers._batch import Batch as Batch, Later as Later
from mp_managers._container_proxies import (
    DictProxy as DictProxy,
    ListProxy as ListProxy,
    SetProxy as SetProxy,
)
from mp_managers._manager import BaseManager as BaseManager
from mp_managers._options import TLSConfig as TLSConfig
from mp_managers._pool import (
    AsyncResultProxy as AsyncResultProxy,
    PoolProxy as PoolProxy,
)
from mp_managers._proxy import (
    AutoProxy as AutoProxy,
    BaseProxy as BaseProxy,
    MakeProxyType as MakeProxyType,
    Token as Token,
)
from mp_managers._referents import Namespace as Namespace, Value as Value
from mp_managers._server import Server as Server
from mp_managers._shared_memory import SharedMemoryManager as SharedMemoryManager
from mp_managers._sync_manager import SyncManager as SyncManager
from mp_managers._sync_proxies import (
    AcquirerProxy as AcquirerProxy,
    ArrayProxy as ArrayProxy,
    BarrierProxy as BarrierProxy,
    ConditionProxy as ConditionProxy,
    EventProxy as EventProxy,
    IteratorProxy as IteratorProxy,
    NamespaceProxy as NamespaceProxy,
    QueueProxy as QueueProxy,
    ValueProxy as ValueProxy,
)
from mp_managers._travelling import RebuildProxy as RebuildProxy
from mp_managers._version import __version__ as __version__
from mp_managers.errors import (
    ManagerDiedError as ManagerDiedError,
    ProcessError as ProcessError,
    RemoteError as RemoteError,
)

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
    "ProcessError",
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
    "__version__",
)
