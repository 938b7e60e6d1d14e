"""Contexts and start methods (manual, "Contexts and start methods")."""

from __future__ import annotations

from mp_process._context import (
    BaseContext as BaseContext,
    DefaultContext as DefaultContext,
    ForkContext as ForkContext,
    ForkProcess as ForkProcess,
    ForkServerContext as ForkServerContext,
    ForkServerProcess as ForkServerProcess,
    Method as Method,
    OnError as OnError,
    Process as Process,
    SpawnContext as SpawnContext,
    SpawnProcess as SpawnProcess,
    cpu_count as cpu_count,
    get_all_start_methods as get_all_start_methods,
    get_context as get_context,
    get_start_method as get_start_method,
    set_executable as set_executable,
    set_forkserver_preload as set_forkserver_preload,
    set_start_method as set_start_method,
)
from mp_process._freezing import freeze_support as freeze_support

__all__ = (
    "BaseContext",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Method",
    "OnError",
    "Process",
    "SpawnContext",
    "SpawnProcess",
    "cpu_count",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_start_method",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
)
