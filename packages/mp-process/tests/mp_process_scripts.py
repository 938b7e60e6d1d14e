"""Running whole programs: what a script, its children and its output do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

#: Where a program finds what this one has.
PATH = os.pathsep.join(entry for entry in sys.path if os.path.isdir(entry))

SECONDS = 40


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PATH, **more}


def run(
    *arguments: str | Path,
    cwd: Path | None = None,
    code: int = 0,
    stdin: str = "",
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run an interpreter to its end, which is to be as stated."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(**more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, done
    return done


def state(pid: int) -> str:
    """One letter; "" when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]


def runs(pid: int) -> bool:
    """Whether a process is there; a zombie is not, once its last thread has ended.

    Until then its descriptors are open.
    """
    match state(pid):
        case "Z":
            try:
                return len(os.listdir(f"/proc/{pid}/task")) > 1
            except OSError:
                return False
        case letter:
            return letter not in ("", "X")


def wait_for_end(pids: list[int], seconds: float) -> list[int]:
    """Which of these processes are still there after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.005)
    return left
