"""See what this process holds, and what it still holds afterwards."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

GRACE = 1.0  # seconds that a straggler has to vanish

#: Where named shared memory is; the tests of this plugin have a directory of their own.
SHM = os.environ.get("MP_TESTING_SHM", "/dev/shm")

# What one kind of resource has: an identity that is never used again, and a text.
Holdings = Mapping[object, str]

_allowed_pids: set[int] = set()
_allowed_fds: set[int] = set()


def allow_pid(pid: int) -> None:
    """Let the child *pid* outlive the test that started it."""
    _allowed_pids.add(pid)


def allow_fd(fd: int) -> None:
    """Let the descriptor *fd* stay open after the test that opened it."""
    _allowed_fds.add(fd)


def _children() -> Holdings:
    found: dict[object, str] = {}
    for task in Path("/proc/self/task").iterdir():
        # A thread may end while we look; its children move to another thread.
        with contextlib.suppress(OSError):
            for pid in map(int, (task / "children").read_text().split()):
                if pid not in _allowed_pids:
                    found[pid] = f"child {pid}: {_describe(pid)}"
    return found


def _describe(pid: int) -> str:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return "gone"
    if state == "Z":
        return "ended, but nobody waited for it"
    return command.decode(errors="replace").strip()[:200]


def _fds() -> Holdings:
    found: dict[object, str] = {}
    for name in os.listdir("/proc/self/fd"):
        # The descriptor of this very listing is closed by now.
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            # A process keeps the register of named shared memory as long as it lives.
            register = target.startswith("/memfd:mp-names")
            if int(name) not in _allowed_fds and not register:
                # The number alone would miss one closed and opened again.
                key = (name, target.removesuffix(" (deleted)"))
                found[key] = f"descriptor {name}: {target}"
    return found


def _threads() -> Holdings:
    return {thread: f"thread {thread!r}" for thread in threading.enumerate()}


def _shm() -> Holdings:
    found: dict[object, str] = {}
    for entry in os.scandir(SHM):
        # Other users' names are none of our business.
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if sys.platform == "win32" or status.st_uid == os.getuid():
                found[entry.name, status.st_ino] = entry.path
    return found


KINDS: dict[str, Callable[[], Holdings]] = {"threads": _threads}
if os.path.isdir("/proc/self/fd"):
    KINDS |= {"children": _children, "fds": _fds}
# The workers of pytest-xdist would see one another's names.
if os.path.isdir(SHM) and (
    SHM != "/dev/shm" or "PYTEST_XDIST_WORKER" not in os.environ
):
    KINDS["shm"] = _shm


class Watch:
    """Holdings at one moment, to compare with later ones."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._before = {kind: look() for kind, look in KINDS.items()}

    def _leaks(self, kinds: Collection[str]) -> list[str]:
        return [
            text
            for kind in KINDS
            if kind in kinds
            for key, text in KINDS[kind]().items()
            if key not in self._before[kind]
        ]

    def leaks(self, kinds: Collection[str], grace: float = GRACE) -> list[str]:
        """Describe what is new and stays for *grace* seconds."""
        if os.getpid() != self._pid:
            return []  # a child that a test forked and that came back to pytest
        if not self._leaks(kinds):
            return []
        # Objects in cycles have their finalizers run: they warn of what they close.
        gc.collect()
        deadline = time.monotonic() + grace
        while (left := self._leaks(kinds)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left

    def kill_children(self) -> None:
        """Kill and reap the new children, lest they disturb the next test."""
        if os.getpid() != self._pid or "children" not in KINDS:
            return
        for pid in _children().keys() - self._before["children"].keys():
            assert isinstance(pid, int)
            if sys.platform != "win32":
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
