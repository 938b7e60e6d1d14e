"""Processes, under the standard package's module name."""

from __future__ import annotations

from mp_process.process import (
    BaseProcess as BaseProcess,
    ParentProcess as ParentProcess,
    active_children as active_children,
    current_process as current_process,
    parent_process as parent_process,
)

__all__ = (
    "BaseProcess",
    "ParentProcess",
    "active_children",
    "current_process",
    "parent_process",
)
