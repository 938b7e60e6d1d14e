"""Chooses where shared memory comes from."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from mp_sync._memory_unsupported import create as create
else:
    from mp_sync._memory_posix import create as create
