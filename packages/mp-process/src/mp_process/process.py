"""Processes: the manual's "Process and exceptions"."""

from __future__ import annotations

from mp_process._here import (
    ParentProcess as ParentProcess,
    active_children as active_children,
    current_process as current_process,
    parent_process as parent_process,
)
from mp_process._process import BaseProcess as BaseProcess

__all__ = (
    "BaseProcess",
    "ParentProcess",
    "active_children",
    "current_process",
    "parent_process",
)
