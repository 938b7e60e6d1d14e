"""Starting, joining, and what an idle child costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

assert sys.platform == "linux"

from bench.harness import Body, Row, Timed, add_row, each, row
from bench.implementations import Implementation
from bench.memory import memory_of
from bench.targets import held_by, nothing

AREA = "processes"


def _start_join(method: str) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        context = implementation.context(method)

        def life() -> None:
            process = context.Process(target=nothing)
            process.start()
            process.join()

        life()  # the fork server runs
        yield each(life)

    return body


def _start_8(method: str) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        context = implementation.context(method)

        def eight() -> None:
            processes = [context.Process(target=nothing) for _ in range(8)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()

        eight()
        yield each(eight)

    return body


for method in ("fork", "spawn", "forkserver"):
    add_row(Row(AREA, f"start_join_{method}", _start_join(method)))
    add_row(Row(AREA, f"start_join_8_{method}", _start_8(method)))


def _idle(field: str) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        context = implementation.context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(target=held_by, args=(theirs,))
        process.start()
        mine.recv_bytes()
        size = memory_of(process.pid or 0)[field]
        yield lambda loops: float(size * loops)
        mine.send_bytes(b"x")
        process.join()

    return body


for field in ("Rss", "Pss"):
    name = f"idle_spawned_{field.lower()}"
    add_row(Row(AREA, name, _idle(field), unit="byte"))


@row(AREA)
def import_package(implementation: Implementation) -> Iterator[Timed]:
    """All of it, in a fresh interpreter, less what that takes without."""
    parts = ("connection", "managers", "pool", "queues", "sharedctypes", "synchronize")
    code = (
        "from time import perf_counter as now; begin = now(); "
        + "".join(f"import {implementation.module}.{part}; " for part in parts)
        + "print(now() - begin)"
    )

    def timed(loops: int) -> float:
        total = 0.0
        for _ in range(loops):
            done = subprocess.run(
                [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE
            )
            total += float(done.stdout)
        return total

    timed(1)  # compiled
    yield timed
