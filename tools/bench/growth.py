"""How cost and memory grow, ours and the standard library's in turn."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

assert sys.platform == "linux"

from bench.curves import Curve
from bench.fresh import RunError, run
from bench.implementations import OURS, REFERENCE
from bench.memory import descendants, memory_of
from bench.slopes import exponent, is_worse_than_linear

LIMIT = 120.0


@dataclass
class Point:
    """What a size costs.

    Attributes:
        seconds: the best of the rounds.
        parent, children: bytes; of all children together.
    """

    size: int
    seconds: float
    parent: int = 0
    children: int = 0


@dataclass
class Measured:
    """One implementation's curve.

    Attributes:
        stopped: why there is no further point, or nothing.
    """

    curve: str
    who: str
    points: list[Point] = field(default_factory=list)
    stopped: str = ""

    @property
    def exponent(self) -> float | None:
        """At the upper end."""
        return exponent([(point.size, point.seconds) for point in self.points])

    @property
    def memory_exponent(self) -> float | None:
        """The same, of memory."""
        found = [(p.size, p.parent + p.children) for p in self.points]
        return exponent([(size, held) for size, held in found if held])

    @property
    def is_bad(self) -> bool:
        """Whether it grows faster than its size."""
        return is_worse_than_linear(self.exponent) or is_worse_than_linear(
            self.memory_exponent
        )


def _look(pid: int, kind: str) -> tuple[int, int]:
    """Return what a worker and its descendants hold, in bytes."""
    children = 0
    for child in descendants(pid):
        try:
            children += memory_of(child).get(kind, 0)
        except OSError:  # it ended
            continue
    return memory_of(pid)[kind], children


def _measure_point(curve: Curve, who: str, size: int, memory: bool) -> Point:
    point = Point(size, 0.0)
    mine, theirs = socket.socketpair()

    def drive(process: subprocess.Popen[str]) -> None:
        theirs.close()
        mine.sendall(b"m" if memory else b"t")
        try:
            for line in mine.makefile():
                if line != "hold\n":
                    point.seconds = float(line)
                    return
                point.parent, point.children = _look(process.pid, curve.memory)
                mine.sendall(b"x")
        except TimeoutError:
            raise RunError(f"took longer than {LIMIT:g} s") from None

    with mine, theirs:
        mine.settimeout(LIMIT)
        arguments = ["point", curve.name, who, str(size), str(theirs.fileno())]
        run(arguments, LIMIT, drive, (theirs.fileno(),))
    if not point.seconds:
        raise RunError("no result")
    return point


def measure_curve(curve: Curve, rounds: int, sizes: Sequence[int]) -> list[Measured]:
    """Measure both at each size in turn, and their memory in a run of its own."""
    both = [Measured(curve.name, who) for who in (REFERENCE, OURS)]
    for size in sizes:
        best: dict[str, Point] = {}
        for turn in range(rounds + 1):
            memory = turn == rounds
            for one in both if turn % 2 else both[::-1]:
                if one.stopped:
                    continue
                try:
                    point = _measure_point(curve, one.who, size, memory)
                except RunError as error:
                    one.stopped = f"at {size}: {error}"
                    best.pop(one.who, None)
                    continue
                known = best.setdefault(one.who, point)
                if memory:
                    known.parent, known.children = point.parent, point.children
                else:
                    known.seconds = min(known.seconds, point.seconds)
        for one in both:
            if one.who in best:
                one.points.append(best[one.who])
    return both


def measure_all(curves: Sequence[Curve], rounds: int, fast: bool) -> list[Measured]:
    """Measure *curves*, and say how it goes.

    Args:
        fast: only the two smallest sizes.
    """
    found = []
    begin = time.monotonic()
    for curve in curves:
        found += measure_curve(curve, rounds, curve.sizes[: 2 if fast else None])
        print(f"{time.monotonic() - begin:4.0f} s  {curve.name}", file=sys.stderr)
        for one in found[-2:]:
            print(f"        {describe(one)}", file=sys.stderr)
    return found


def describe(one: Measured) -> str:
    """Say in a line how it grows."""
    k, memory = one.exponent, one.memory_exponent
    parts = [f"{one.who}: time grows as size^{k:.2f}" if k is not None else one.who]
    if memory is not None:
        parts.append(f"memory as size^{memory:.2f}")
    if one.is_bad:
        parts.append("WORSE THAN LINEAR")
    if one.stopped:
        parts.append(f"stopped {one.stopped}")
    return ", ".join(parts)


def save(found: Sequence[Measured], file: Path) -> None:
    """Write curves."""
    file.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")


def load(file: Path) -> list[Measured]:
    """Read what `save` wrote."""
    return [
        Measured(**one | {"points": [Point(**point) for point in one["points"]]})
        for one in json.loads(file.read_text())
    ]
