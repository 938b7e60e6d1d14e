"""What third parties use of the standard package's module of this name."""

from __future__ import annotations

from mp_process import (
    freeze_support as freeze_support,
    set_executable as set_executable,
)

__all__ = ("freeze_support", "set_executable")
