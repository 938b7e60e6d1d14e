"""Results in pyperf's format, which its own tools read as well."""

from __future__ import annotations

import json
import sys
from pathlib import Path

assert sys.platform == "linux"

import pyperf

from bench.measure import Results
from bench.table import Values

NOTES = ".notes.json"


def save(found: Results, file: Path) -> None:
    """Write results, and what went wrong beside them."""
    file.parent.mkdir(exist_ok=True)
    found.suite().dump(str(file), replace=True)
    notes = [[*key, note] for key, note in found.notes.items()]
    file.with_suffix(NOTES).write_text(json.dumps(notes, indent=1) + "\n")


def load(file: Path) -> tuple[Values, dict[tuple[str, str], str], dict[str, str]]:
    """Return values, notes, and what pyperf noted of the machine."""
    suite = pyperf.BenchmarkSuite.load(str(file))
    values: Values = {}
    for bench in suite.get_benchmarks():
        row, _, who = bench.get_name().partition("/")
        by_round = values.setdefault(row, {}).setdefault(who, {})
        for run in bench.get_runs():
            number = run.get_metadata()["round"]
            assert isinstance(number, int)
            by_round[number] = list(run.values)
    notes = {
        (row, who): note
        for row, who, note in json.loads(file.with_suffix(NOTES).read_text())
    }
    machine = {k: str(v) for k, v in suite.get_metadata().items()}
    loads = [
        load
        for bench in suite.get_benchmarks()
        for run in bench.get_runs()
        if isinstance(load := run.get_metadata().get("load_avg_1min"), float)
    ]
    if loads:
        machine["load"] = f"{min(loads):.1f} to {max(loads):.1f}"
    return values, notes, machine
