"""What an idle pool costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

assert sys.platform == "linux"

LIMIT = 32 << 20  # bytes: somewhat more than the 30 MiB that it is to take at most

#: A user's program, as what spawn imports of pytest would count as well.  The pool
#: before it has compiled what workers import, which takes memory: only once for a user.
PROGRAM = """
import os, time
from mp_pool import Pool
from mp_process import get_context

def task(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()

def pss(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))

if __name__ == "__main__":
    with Pool(1, context=get_context("spawn")) as pool:
        pool.map(task, range(8), 1)
    pool.join()
    with Pool(4, context=get_context("spawn")) as pool:
        pids = set()
        while len(pids) < 4:  # until the last one has started
            pids.update(pool.map(task, range(8), 1))
        print(sum(map(pss, pids)) * 1024)
"""


@pytest.mark.slow  # on the Python that is developed with: builds differ in their size
def test_idle_workers_by_spawn_are_small(tmp_path: Path) -> None:
    try:
        text = Path("/proc/self/smaps_rollup").read_text("ascii")
    except OSError as error:
        pytest.skip(f"the kernel does not tell shares of memory: {error}")
    if "\nPss:" not in text:
        pytest.skip("the kernel does not tell shares of memory")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled"),
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert 0 < int(done.stdout) <= LIMIT
