"""A program that breaks into `start` at every moment, by an exception.

A program of its own, because the interpreter swallows exceptions within a hook of
os.fork: one may leave a lock of the standard library's held.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import mp_process_scripts as scripts
import mp_process_targets as targets

import mp_process
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_process._descriptor import no_fork

SECONDS = 30


class Interrupted(Exception):
    pass


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found.update(map(int, (task / "children").read_text().split()))
    return found


def main(method: StartMethod, rounds: int, longest: float) -> None:
    armed = False

    def handler(*_: object) -> None:
        if armed:
            raise Interrupted

    ctx = mp_process.get_context(method)
    warm = ctx.Process(target=targets.noop)
    warm.start()
    warm.join(SECONDS)
    warm.close()
    before = children()
    signal.signal(signal.SIGALRM, handler)
    interrupted = started = 0
    this = os.getpid()
    for round_ in range(rounds):
        process = ctx.Process(target=targets.sleep, daemon=True)
        try:
            armed = True
            # Mostly early, as that is when there is most to break into.
            seconds = longest * ((round_ + 1) / rounds) ** 2
            signal.setitimer(signal.ITIMER_REAL, seconds)
            process.start()
            armed = False
        except Interrupted:
            armed = False
        if os.getpid() != this:
            print("a child has become a second parent", flush=True)
            os._exit(1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if process.pid is None:
            interrupted += 1
            assert not process.is_alive()
        else:
            started += 1
            process.kill()
            process.join(SECONDS)
            assert process.exitcode == -signal.SIGKILL
            process.close()
        # Nobody else could start anything, if it were.
        assert not no_fork._is_owned()  # type: ignore[attr-defined]
    # subprocess does not tell the identifier of what it was interrupted starting; the
    # interpreter notices and ends, and stays a zombie.
    deadline = time.monotonic() + SECONDS
    while (left := children() - before) and time.monotonic() < deadline:
        for pid in left:
            if method == "spawn" and scripts.state(pid) == "Z":
                os.waitpid(pid, 0)
        time.sleep(0.01)
    assert not left, left
    assert mp_process.active_children() == []
    print(interrupted, started)


if __name__ == "__main__":
    name = sys.argv[1]
    assert name in ("fork", "spawn", "forkserver")
    main(name, int(sys.argv[2]), float(sys.argv[3]))  # type: ignore[arg-type]
