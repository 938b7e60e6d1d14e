"""What grows: cost and memory as functions of a size."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

assert sys.platform == "linux"

from bench.harness import GiB, KiB, MiB, acknowledged, started
from bench.holding import Holder
from bench.implementations import Implementation
from bench.targets import clients, drain_bytes, held_by, now, same

#: Does all for a size, holds where it is largest, and returns seconds.
CurveBody = Callable[[Implementation, int, Holder], float]


@dataclass(frozen=True)
class Curve:
    """One curve.

    Args:
        axis: what the size is.
        sizes: the points, rising.
        memory: which figure is shown: ``Pss``, all of what is held when it is largest,
            or ``VmHWM``, the peaks of its processes, where that is a passing moment.
    """

    name: str
    axis: str
    sizes: tuple[int, ...]
    body: CurveBody
    memory: str = "Pss"


# ---------------------------------------------------------------------------- processes
def _processes(method: str) -> CurveBody:
    """Start so many, have all of them running at once, join them."""

    def body(implementation: Implementation, size: int, holder: Holder) -> float:
        context = implementation.context(method)
        first = context.Process(target=os.getpid)
        first.start()  # the fork server runs
        first.join()
        begin = now()
        alive = []
        for _ in range(size):
            mine, theirs = context.Pipe()
            process = context.Process(target=held_by, args=(theirs,))
            process.start()
            theirs.close()
            alive.append((mine, process))
        for mine, _ in alive:
            mine.recv_bytes()
        holder.hold()
        for mine, process in alive:
            mine.send_bytes(b"x")
            process.join()
            mine.close()
        return now() - begin

    return body


# ----------------------------------------------------------------------------- messages
def _messages(implementation: Implementation, size: int, holder: Holder) -> float:
    """Send one of so many bytes to another process that receives it."""
    context = implementation.context()
    reader, writer = context.Pipe(False)
    payload = b"x" * size
    loops = max(1, min(1000, 16 * MiB // size))
    with (
        acknowledged() as (done, end),
        reader,
        writer,
        started(context, drain_bytes, reader, end),
    ):
        begin = now()
        writer.send(loops)
        for _ in range(loops):
            writer.send_bytes(payload)
        done()
        spent = now() - begin
        holder.hold()
        writer.send(0)
    return spent / loops


# -------------------------------------------------------------------------------- tasks
def _tasks(implementation: Implementation, size: int, holder: Holder) -> float:
    """Hand so many to a pool of two before any result is taken."""
    with implementation.context().Pool(2) as pool:
        pool.map(same, range(100), 1)
        begin = now()
        results = [pool.apply_async(same, (i,)) for i in range(size)]
        holder.hold()
        for result in results:
            result.get()
        spent = now() - begin
        pool.close()
        pool.join()
    return spent


# ----------------------------------------------------------------------- shared objects
def _objects(implementation: Implementation, size: int, holder: Holder) -> float:
    """Make so many values with their locks, and drop them."""
    make = implementation.context().Value
    begin = now()
    values = [make("i", 0) for _ in range(size)]
    holder.hold()
    del values
    return now() - begin


# ------------------------------------------------------------------------------ clients
def _clients(implementation: Implementation, size: int, holder: Holder) -> float:
    """So many connect to one manager at once, call it, and stay.

    They are threads of twenty processes, as each thread has a connection of its own:
    two thousand processes would measure the system.
    """
    context = implementation.context()
    with context.Manager() as manager:
        proxy = manager.dict({"k": 1})
        begin_at, begin_end = os.pipe()
        leave_at, leave_end = os.pipe()
        out, out_end = os.pipe()
        gates, ends = (begin_at, leave_at), (begin_end, leave_end)
        count = min(size, 20)
        args = (proxy, size // count, gates, ends, out_end)
        processes = [context.Process(target=clients, args=args) for _ in range(count)]
        for process in processes:
            process.start()
        begin = now()
        os.close(begin_end)
        missing = size // count * count
        while missing:
            missing -= len(os.read(out, missing))
        spent = now() - begin
        holder.hold()
        os.close(leave_end)
        for process in processes:
            process.join()
        for fd in (*gates, out, out_end):
            os.close(fd)
    return spent


_SIZES = (1, KiB, 32 * KiB, MiB, 16 * MiB, 64 * MiB, 256 * MiB, GiB)
CURVES = {
    curve.name: curve
    for curve in (
        *(
            Curve(
                f"processes_{method}",
                f"processes at once, {method}",
                (1, 2, 4, 8, 16, 32, 64),
                _processes(method),
            )
            for method in ("fork", "spawn", "forkserver")
        ),
        Curve("messages", "bytes of a message", _SIZES, _messages, "VmHWM"),
        Curve("tasks", "tasks in flight", (1, 10, 100, 1000, 10_000), _tasks),
        Curve(
            "objects", "shared values", (1, 10, 100, 1000, 10_000, 100_000), _objects
        ),
        Curve("clients", "clients of a manager", (1, 10, 100, 500, 2000), _clients),
    )
}
