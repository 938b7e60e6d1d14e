"""Processes that are started three ways, watched, and never outlive their purpose."""

from __future__ import annotations

from mp_process._context import (
    BaseContext as BaseContext,
    DefaultContext as DefaultContext,
    ForkContext as ForkContext,
    ForkProcess as ForkProcess,
    ForkServerContext as ForkServerContext,
    ForkServerProcess as ForkServerProcess,
    Process as Process,
    SpawnContext as SpawnContext,
    SpawnProcess as SpawnProcess,
    cpu_count as cpu_count,
    ensure_forkserver as ensure_forkserver,
    get_all_start_methods as get_all_start_methods,
    get_context as get_context,
    get_start_method as get_start_method,
    set_executable as set_executable,
    set_forkserver_preload as set_forkserver_preload,
    set_start_method as set_start_method,
)
from mp_process._freezing import freeze_support as freeze_support
from mp_process._here import (
    ParentProcess as ParentProcess,
    active_children as active_children,
    current_process as current_process,
    get_executable as get_executable,
    parent_process as parent_process,
)
from mp_process._process import BaseProcess as BaseProcess
from mp_process._version import __version__ as __version__
from mp_process.errors import (
    ForkServerError as ForkServerError,
    ProcessError as ProcessError,
    TimeoutError as TimeoutError,
    UnpicklableError as UnpicklableError,
)

TYPE_CHECKING = False

__all__ = (
    "BaseContext",
    "BaseProcess",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerError",
    "ForkServerProcess",
    "LogForwarding",
    "ParentProcess",
    "Process",
    "ProcessError",
    "SpawnContext",
    "SpawnProcess",
    "TimeoutError",
    "UnpicklableError",
    "__version__",
    "active_children",
    "cpu_count",
    "current_process",
    "ensure_forkserver",
    "forward_logs",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_executable",
    "get_start_method",
    "parent_process",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
)

if TYPE_CHECKING:
    from mp_process._log_forwarding import (
        LogForwarding as LogForwarding,
        forward_logs as forward_logs,
    )
else:

    def __getattr__(name):
        """Load what imports `logging`, when somebody asks for it."""
        if name in ("LogForwarding", "forward_logs"):
            from mp_process import _log_forwarding

            value = globals()[name] = getattr(_log_forwarding, name)
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
