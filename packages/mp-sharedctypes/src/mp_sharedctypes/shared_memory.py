"""Shared memory that may have a name, and lists in it."""

from __future__ import annotations

from mp_sharedctypes._shareable_list import ShareableList as ShareableList
from mp_sharedctypes._shared_memory import SharedMemory as SharedMemory

__all__ = ("ShareableList", "SharedMemory")
