"""Programs that end while they have a pool, and pools in children of their maker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mp_pool_targets as targets
import pytest

from mp_pool import Pool
from mp_testing import StartMethod

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

PROGRAM = """\
import os, sys, threading, time
sys.path[:0] = {path!r}
import mp_pool_targets as targets
from mp_pool import Pool
from mp_process import get_context

if __name__ == "__main__":
    pool = Pool(2, context=get_context({method!r}))
    pids = [pool.apply(targets.pid) for _ in range(2)]
    print(*pids, flush=True)
    {rest}
"""


def run(
    directory: Path, method: str, rest: str
) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a program that has a pool; how it ended, and how long that took."""
    script = directory / "program.py"
    script.write_text(PROGRAM.format(path=sys.path, method=method, rest=rest))
    before = time.monotonic()
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=30
    )
    return done, time.monotonic() - before


def are_gone(pids: list[int]) -> bool:
    """Whether processes end within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(is_running(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ("pass", 0),
        ("pool.apply_async(time.sleep, (60,))", 0),
        ("pool.map_async(time.sleep, [60] * 100, callback=print)", 0),
        ("pool.close()", 0),
        ("pool.close(); pool.join()", 0),
        ("pool.terminate()", 0),
        ("sys.exit(3)", 3),
        ("keep = pool.apply_async(time.sleep, (60,)); raise SystemExit(4)", 4),
    ],
)
def test_interpreter_ends_quickly(
    tmp_path: Path, start_method: StartMethod, rest: str, code: int
) -> None:
    done, seconds = run(tmp_path, start_method, rest)
    assert done.returncode == code
    assert done.stderr == ""
    assert seconds < 5
    assert are_gone([int(word) for word in done.stdout.split()])


STANDING_STILL = """\
import os, sys, time
sys.path[:0] = {path!r}
from mp_pool import Pool
from mp_process import get_context

if __name__ == "__main__":
    pool = Pool(3, context=get_context("spawn"))
    print(pool.apply(sum, ([1, 2],)), flush=True)
    pool.close()
    pool.join()
    print("joined")
else:
    try:
        os.mkdir({first!r})
    except FileExistsError:
        time.sleep(60)
"""


def test_join_waits_for_no_worker_that_is_starting(tmp_path: Path) -> None:
    """Here all but the first stand still as they import the main module."""
    script = tmp_path / "program.py"
    first = str(tmp_path / "first")
    script.write_text(STANDING_STILL.format(path=sys.path, first=first))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["3", "joined"]


@pytest.mark.parametrize("what", ["initializer", "finalizer"])
def test_join_waits_for_what_workers_have_to_do(
    make_pool: MakePool, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "done"
    pool = make_pool(3, **{what: partial(targets.write, str(path))})
    pool.close()
    pool.join()
    assert path.read_text() == "xxx"


def test_daemonic_thread_in_apply_does_not_delay_the_end(
    tmp_path: Path, start_method: StartMethod
) -> None:
    """It gets its error, and may or may not have the time to print it."""
    rest = (
        "threading.Thread(target=pool.apply, args=(time.sleep, (60,)), daemon=True)"
        ".start(); time.sleep(0.2)"
    )
    done, seconds = run(tmp_path, start_method, rest)
    assert done.returncode == 0
    assert seconds < 5
    assert are_gone([int(word) for word in done.stdout.split()])


def test_open_pool_at_exit_is_no_resource_warning_storm(
    tmp_path: Path, start_method: StartMethod
) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(path=sys.path, method=start_method, rest="pass"))
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", script],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr.count("Warning") <= 1, done.stderr
    assert "Traceback" not in done.stderr


def test_workers_end_when_their_parent_is_killed(
    tmp_path: Path, start_method: StartMethod
) -> None:
    rest = (
        "pool.apply_async(time.sleep, (60,)); time.sleep(0.1);"
        f" os.kill(os.getpid(), {signal.SIGKILL:d})"
    )
    done, _ = run(tmp_path, start_method, rest)
    assert done.returncode == -signal.SIGKILL
    assert are_gone([int(word) for word in done.stdout.split()])


def test_pool_in_a_forked_child_refuses(make_pool: MakePool) -> None:
    pool = make_pool(2)
    pool.apply(targets.nothing)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            refused = 0
            for call in (
                lambda: pool.apply(targets.nothing),
                lambda: pool.apply_async(targets.nothing),
                lambda: pool.map(targets.square, [1]),
                lambda: pool.join(),
            ):
                try:
                    call()
                except RuntimeError as error:
                    refused += "process that made it" in str(error)
            pool.terminate()
            pool.close()
            os.write(writing, bytes([refused]))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"\4"
    finally:
        os.close(reading)
        os.waitpid(child, 0)
    assert pool.map(targets.square, [1, 2]) == [1, 4]


def test_forked_child_keeps_nothing_of_the_pool(make_pool: MakePool) -> None:
    before = len(os.listdir("/proc/self/fd"))
    pool = make_pool(3)
    pool.apply(targets.nothing)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        count = len(os.listdir("/proc/self/fd"))
        os.write(writing, bytes([count]))
        os._exit(0)
    os.waitpid(child, 0)
    count = os.read(reading, 1)[0]
    os.close(writing)
    os.close(reading)
    # The pipe, and what keeps each worker's memory mapped.
    assert count <= before + 2 + 3


def test_workers_hold_nothing_of_one_another(make_pool: MakePool) -> None:
    """Each has its channel and its memory."""
    pool = make_pool(4)
    counts = set(pool.map(targets.count_descriptors, range(20), 1))
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("lacking", ["memfd_create", "eventfd"])
def test_without_a_system_call(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def refuse(*args: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, lacking, refuse)
    pool = make_pool(2)
    assert pool.map(targets.square, range(10)) == [i * i for i in range(10)]
    assert pool.apply_async(targets.square, (3,)).get(10) == 9
    assert pool.apply(targets.square, (3,)) == 9
