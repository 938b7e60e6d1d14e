"""Rounds in which the implementations take turns, each in a fresh interpreter."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

assert sys.platform == "linux"

import pyperf

from bench.fresh import RunError, run
from bench.harness import Row
from bench.implementations import CONTROL, REFERENCE
from bench.once import taking_part
from bench.table import Values

#: Of this machine alone, and nothing for a file that others see.
PRIVATE = ("hostname", "python_executable", "command")
MIN_TIME = "0.04"  # seconds of a value


@dataclass
class Results:
    """What was measured.

    Attributes:
        runs: by row and implementation; the metadata ``round`` tells the round.
        notes: what went wrong, by row and implementation.
    """

    runs: dict[tuple[str, str], list[pyperf.Run]] = field(default_factory=dict)
    notes: dict[tuple[str, str], str] = field(default_factory=dict)

    def suite(self) -> pyperf.BenchmarkSuite:
        """All of it; a benchmark is named by its row and implementation."""
        return pyperf.BenchmarkSuite([pyperf.Benchmark(r) for r in self.runs.values()])

    def values(self) -> Values:
        """By row, implementation and round, without calibration."""
        found: Values = {}
        for (row, who), runs in self.runs.items():
            by_round = found.setdefault(row, {}).setdefault(who, {})
            for one in runs:
                number = one.get_metadata()["round"]
                assert isinstance(number, int)
                by_round[number] = list(one.values)
        return found

    def add(self, row: str, who: str, number: int, bench: pyperf.Benchmark) -> None:
        """Take what one interpreter measured in a round."""
        for one in bench.get_runs():
            metadata = one.get_metadata()
            plain = {k: v for k, v in metadata.items() if k not in PRIVATE}
            plain |= {"name": f"{row}/{who}", "round": number}
            values = one.values, one.warmups
            kept = pyperf.Run(*values, metadata=plain, collect_metadata=False)
            self.runs.setdefault((row, who), []).append(kept)


def _pyperf_run(row: Row, who: str, arguments: Sequence[str]) -> pyperf.Benchmark:
    with tempfile.TemporaryDirectory(prefix="mp-bench-") as place:
        file = Path(place, "run.json")
        run(["row", row.name, who, *arguments, "--output", str(file)])
        return pyperf.Benchmark.load(str(file))


def _calibrated(row: Row, who: str) -> int:
    """Return how many loops take long enough to be timed."""
    # Three values have to, so that one disturbance does not decide.
    options = ("--calibrate-loops", "--warmups=0", "--values=3")
    bench = _pyperf_run(row, who, [*options, f"--min-time={MIN_TIME}"])
    loops = bench.get_runs()[0].get_metadata()["calibrate_loops"]
    assert isinstance(loops, int)
    return loops


def measure(
    rows: Sequence[Row],
    names: Sequence[str],
    rounds: int,
    keep: Callable[[Results], None],
) -> Results:
    """Measure *rows*, for as many rounds, and say how it goes.

    Args:
        keep: called after each row, so that what is interrupted is not lost.
    """
    results = Results()
    begin = time.monotonic()
    for number, row in enumerate(rows, 1):
        loops: dict[str, int] = {}
        who = taking_part(row, names)
        for turn in range(rounds):
            first = turn % len(who)
            for name in who[first:] + who[:first]:
                if (row.name, name) in results.notes:
                    continue
                # The control is the reference, and so are its loops.
                same = REFERENCE if name == CONTROL else name
                try:
                    if same not in loops:
                        loops[same] = _calibrated(row, same)
                    options = (f"--loops={loops[same]}", "--warmups=1", "--values=2")
                    bench = _pyperf_run(row, name, options)
                except RunError as error:
                    results.notes[row.name, name] = str(error)
                else:
                    results.add(row.name, name, turn, bench)
        if results.runs:
            keep(results)
        spent = time.monotonic() - begin
        print(f"{spent:4.0f} s  {number}/{len(rows)}  {row.name}", file=sys.stderr)
    return results
