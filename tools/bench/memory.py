"""What processes hold, as the kernel tells it."""

from __future__ import annotations

import sys
from pathlib import Path

assert sys.platform == "linux"

KIB = 1024


def parse(text: str) -> dict[str, int]:
    """Return the sizes of a file like ``/proc/…/smaps_rollup``, in bytes."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        parts = rest.split()
        if len(parts) == 2 and parts[1] == "kB":
            found[name] = int(parts[0]) * KIB
    return found


def memory_of(pid: int) -> dict[str, int]:
    """Return what a process holds, in bytes: Rss, Pss (its share), VmHWM (the peak)."""
    place = Path(f"/proc/{pid}")
    status = parse((place / "status").read_text())
    return parse((place / "smaps_rollup").read_text()) | status


def descendants(pid: int) -> list[int]:
    """Return the children of a process, theirs, and so on."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = children.read_text().split()
        except FileNotFoundError:  # that thread ended
            continue
        for child in map(int, pids):
            found += [child, *descendants(child)]
    return found
