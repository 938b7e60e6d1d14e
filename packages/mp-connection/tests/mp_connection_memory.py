"""How much memory the tests' process has."""

from __future__ import annotations

import mmap


def resident() -> int:
    """Bytes of memory that this process has, and not only addresses (proc(5))."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE
