"""The parent of a busy pool is killed: nothing of it may be left a second later."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

assert sys.platform == "linux"

PROGRAM = """\
import ctypes, os, sys, time
import mp_multiprocessing as mp


def announce():
    os.write(1, b"%d\\n" % os.getpid())


def sleep_in_c():
    announce()
    ctypes.PyDLL(None).sleep(100)  # a PyDLL call keeps the GIL


def sleep():
    announce()
    time.sleep(100)


if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    if "setuid" in sys.argv:
        # Root's files may be closed to nobody: import all that fork needs before.
        with context.Pool(1) as warm:
            warm.apply(os.getpid)
        os.setgid(65534)
        os.setuid(65534)
    pool = context.Pool(2)
    pool.apply_async(sleep_in_c)
    pool.apply_async(sleep)
    context.Process(target=sleep_in_c, daemon=True).start()
    time.sleep(100)
"""

#: Two workers and a child.
BUSY = 3


def environment() -> dict[str, str]:
    path = [entry for entry in sys.path if entry]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def can_run_as_nobody() -> bool:
    probe = [sys.executable, "-c", "import mp_multiprocessing"]
    try:
        done = subprocess.run(
            probe, user=65534, env=environment(), check=False, timeout=30
        )
    except PermissionError:
        return False
    return done.returncode == 0


@pytest.fixture
def readable() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def is_gone(pidfd: int, deadline: float) -> bool:
    left = max(0.0, deadline - time.monotonic())
    return bool(select.select([pidfd], [], [], left)[0])


def started_pids(output: int, count: int) -> list[int]:
    deadline = time.monotonic() + 40
    text = b""
    while text.count(b"\n") < count:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([output], [], [], max(0.0, left))
        assert ready, text
        text += os.read(output, 1000)
    return [int(line) for line in text.split()]


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_workers_and_children_die_with_a_killed_parent(
    start_method: str, user: str, readable: Path
) -> None:
    # tmp_path is closed to other users.
    script = readable / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    arguments = [start_method]
    if user == "nobody":
        if os.getuid() != 0:
            pytest.skip("only root can become another user")
        if start_method != "fork" and not can_run_as_nobody():
            pytest.skip("nobody may not run this interpreter")
        arguments.append("setuid")
    with subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as parent:
        assert parent.stdout is not None
        pids = started_pids(parent.stdout.fileno(), BUSY)
        watched = [os.pidfd_open(pid) for pid in pids]
        try:
            parent.send_signal(signal.SIGKILL)
            deadline = time.monotonic() + 1.0
            alive = [
                pid
                for pid, fd in zip(pids, watched, strict=True)
                if not is_gone(fd, deadline)
            ]
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
            assert alive == []
        finally:
            for fd in watched:
                os.close(fd)
