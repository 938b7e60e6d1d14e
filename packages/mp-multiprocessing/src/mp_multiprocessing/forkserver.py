"""What third parties use of the standard package's module of this name."""

from __future__ import annotations

from mp_process import (
    ensure_forkserver as ensure_running,
    set_forkserver_preload as set_forkserver_preload,
)

__all__ = ("ensure_running", "set_forkserver_preload")
