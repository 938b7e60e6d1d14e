"""The interface of the standard `multiprocessing`, put together from the layers.

``import mp_multiprocessing as mp`` gives pipes, processes, pools, locks, semaphores,
conditions, events, barriers, queues, shared values and arrays, managers and contexts.
Each is imported when it is used first.
"""

from __future__ import annotations

import sys as _sys

if _sys.implementation.name != "cpython":
    # As mp-connection does, which is not imported yet: a program that takes what it can
    # import shall not find out later.
    raise ImportError(
        "mp-multiprocessing runs on CPython 3.11 or later so far, and not on"
        f" {_sys.implementation.name}"
    )

from mp_multiprocessing._layers import LAYERS as _LAYERS, from_layer as _from_layer
from mp_multiprocessing._version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection import (
        AuthenticationError as AuthenticationError,
        BufferTooShort as BufferTooShort,
        Connection as Connection,
        Pipe as Pipe,
        ProcessError as ProcessError,
        TimeoutError as TimeoutError,
        get_logger as get_logger,
        log_to_stderr as log_to_stderr,
    )
    from mp_managers import SyncManager
    from mp_multiprocessing import (
        connection as connection,
        context as context,
        dummy as dummy,
        forkserver as forkserver,
        heap as heap,
        managers as managers,
        pool as pool,
        process as process,
        queues as queues,
        reduction as reducer,
        reduction as reduction,
        resource_sharer as resource_sharer,
        resource_tracker as resource_tracker,
        shared_memory as shared_memory,
        sharedctypes as sharedctypes,
        spawn as spawn,
        synchronize as synchronize,
        util as util,
    )
    from mp_multiprocessing._dropin import install as install
    from mp_pool import Pool as Pool
    from mp_process import (
        Process as Process,
        active_children as active_children,
        cpu_count as cpu_count,
        current_process as current_process,
        freeze_support as freeze_support,
        get_all_start_methods as get_all_start_methods,
        get_start_method as get_start_method,
        parent_process as parent_process,
        set_executable as set_executable,
        set_forkserver_preload as set_forkserver_preload,
        set_start_method as set_start_method,
    )
    from mp_process.context import Method as Method
    from mp_sharedctypes import (
        Array as Array,
        RawArray as RawArray,
        RawValue as RawValue,
        Value as Value,
    )
    from mp_sync import (
        Barrier as Barrier,
        BoundedSemaphore as BoundedSemaphore,
        Condition as Condition,
        Event as Event,
        JoinableQueue as JoinableQueue,
        Lock as Lock,
        Queue as Queue,
        RLock as RLock,
        Semaphore as Semaphore,
        SimpleQueue as SimpleQueue,
    )

#: Modules that are imported when somebody asks for the attribute: programs do that
#: without importing them, as whatever else they import has done so.
_MODULES = {
    "connection",
    "context",
    "dummy",
    "forkserver",
    "heap",
    "managers",
    "pool",
    "process",
    "queues",
    "reduction",
    "resource_sharer",
    "resource_tracker",
    "shared_memory",
    "sharedctypes",
    "spawn",
    "synchronize",
    "util",
}

#: Names that no layer has at its top, and the modules that do.
_ELSEWHERE = {
    "Method": "mp_process.context",
    "install": "mp_multiprocessing._dropin",
}

if not TYPE_CHECKING:  # which would take every name for one of this module

    def __getattr__(name: str) -> object:
        """Import what has the name, when somebody asks for it.

        Many programs import this package because something else of theirs does, and
        use nothing of it, or little; and their children import it with them.
        """
        if name in _MODULES:
            value = __import__(f"{__name__}.{name}", fromlist=(name,))
        elif name in _LAYERS:
            value = _from_layer(name)
        elif name in _ELSEWHERE:
            value = getattr(__import__(_ELSEWHERE[name], fromlist=(name,)), name)
        elif name == "reducer":  # `reduction`, by the name that contexts have it under
            value = __import__(f"{__name__}.reduction", fromlist=(name,))
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """What is here already, and what will be when somebody asks for it."""
        return sorted({*globals(), *__all__, *_MODULES})


def Manager() -> SyncManager:
    """A manager, started by the default context; see `mp_managers.SyncManager`.

    Raises:
        ModuleNotFoundError: mp-managers is not installed.
        OSError: the system has no more processes or descriptors.
    """
    return _default_context().Manager()


def get_context(method: Method | None = None) -> context.BaseContext:
    """The context of a start method; for None, the default one.

    Raises:
        ValueError: there is no such method on this platform.
    """
    return _default_context().get_context(method)


def allow_connection_pickling() -> None:
    """Do nothing: connections and sockets can always be sent."""


def _default_context() -> context.DefaultContext:
    from mp_multiprocessing.context import _default_context as default

    return default


# Of no use to anybody else.
del TYPE_CHECKING

__all__ = (
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Connection",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Method",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "__version__",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "install",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
)
