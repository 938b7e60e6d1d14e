"""One run in a fresh interpreter, which cannot outlive its limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

assert sys.platform == "linux"

HERE = Path(__file__).resolve().parent


class RunError(Exception):
    """A run failed, or took too long; says how it ended."""


def _members(group: int) -> list[int]:
    """Return the processes of a group that are not zombies."""
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            stat = (place / "stat").read_text()
        except OSError:
            continue
        state, _, its_group = stat.rpartition(")")[2].split()[:3]
        if int(its_group) == group and state != "Z":
            found.append(int(place.name))
    return found


def _end(group: int, grace: float) -> None:
    """End what is left of a process group that we began."""
    deadline = time.monotonic() + grace
    while members := _members(group):
        if time.monotonic() > deadline:
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            deadline += 1
        time.sleep(0.005)


def run(
    arguments: Sequence[str],
    limit: float = 60.0,
    meanwhile: Callable[[subprocess.Popen[str]], None] | None = None,
    pass_fds: Sequence[int] = (),
) -> str:
    """Run the worker with *arguments* and return its output.

    Args:
        limit: seconds until it and its children are killed.
        meanwhile: called once it runs, before its end is waited for.
        pass_fds: what it inherits.

    Raises:
        RunError: it failed, or took too long.
    """
    environ = os.environ | {
        "PYTHONPATH": str(HERE.parent),
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
    }
    # Files and not pipes, which a forgotten child would keep open.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            text=True,
            start_new_session=True,
            env=environ,
            pass_fds=pass_fds,
        )
        late = False
        try:
            if meanwhile:
                meanwhile(process)
            process.wait(limit)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            # A fork server and a resource tracker need a moment to see the end.
            _end(process.pid, 0.0 if late or process.poll() is None else 2.0)
            process.wait()
        out.seek(0)
        errors.seek(0)
        if late:
            raise RunError(f"took longer than {limit:g} s")
        if process.returncode:
            lines = errors.read().strip().splitlines() or [str(process.returncode)]
            raise RunError(lines[-1][:200])
        return out.read()
