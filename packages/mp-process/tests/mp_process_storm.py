"""A program that starts processes while somebody kills them, and itself checks all.

    mp_process_storm.py METHOD STARTS SEED

The killer is a thread that picks any process of the tree below this one at random
moments: a child at any point of its life, or the fork server.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import mp_process_targets as targets

import mp_process
from mp_process.context import BaseContext

assert sys.platform == "linux"

from mp_process._forkserver_posix import fork_server

#: Within this an ended process has to be known as ended; generous for a busy machine.
SECONDS = 20.0


def children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        pass  # it has ended meanwhile
    return found


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def kill_at_random(
    chance: random.Random, stop: threading.Event, longest: float
) -> None:
    """Kill one after the other, with pauses of up to so many seconds."""
    while not stop.wait(chance.random() * longest):
        below = children(os.getpid())
        lowest = [pid for child in below for pid in children(child)]
        # A fork server is always there, and its children rarely: four times as often.
        below += lowest * 4
        below = [pid for pid in below if alive(pid)]
        if below:
            try:
                os.kill(chance.choice(below), signal.SIGKILL)
            except ProcessLookupError:
                pass


def state() -> tuple[list[str], list[int]]:
    """Open files and children, but for the server and the way to it."""
    fork_server().stop()
    gc.collect()
    return sorted(targets.open_files()), children(os.getpid())


def start_all(ctx: BaseContext, starts: int) -> dict[str, int]:
    """Start them one after the other; how many have ended in which way."""
    counts = {"ended": 0, "killed": 0, "unknown": 0, "refused": 0}
    number = -1
    # However few were asked for, one at least is to live, and one not to.
    while (number := number + 1) < starts or not 0 < counts["ended"] < number:
        process = ctx.Process(
            target=time.sleep, args=(0.002 * (number % 3),), daemon=number % 2 == 0
        )
        process.warns_of_threads = False
        try:
            process.start()
        except mp_process.ForkServerError:
            # The server was killed as often as another one was started.
            assert process.pid is None
            counts["refused"] += 1
            continue
        process.join(SECONDS)
        code = process.exitcode
        kind = {0: "ended", -9: "killed", 255: "unknown"}.get(code)  # type: ignore[arg-type]
        assert kind is not None, (number, process, process.startup_error)
        counts[kind] += 1
        process.close()
    return counts


def main(method: Any, starts: int, seed: int) -> None:
    chance = random.Random(seed)
    ctx = mp_process.get_context(method)
    begin = time.monotonic()
    first = ctx.Process(target=targets.noop)
    first.start()
    first.join()
    first.close()
    # So that some live and some do not, however fast this machine is just now.
    longest = 2 * (time.monotonic() - begin)
    before = state()
    stop = threading.Event()
    killer = threading.Thread(target=kill_at_random, args=(chance, stop, longest))
    killer.start()
    try:
        counts = start_all(ctx, starts)
    finally:
        stop.set()
        killer.join()
    assert mp_process.active_children() == []
    deadline = time.monotonic() + SECONDS
    while (after := state()) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert after == before, (after, before)
    print(*counts.values())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
