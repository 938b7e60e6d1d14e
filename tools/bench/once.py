"""Everything once, measured by no one: do all rows still work?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

assert sys.platform == "linux"

from bench.fresh import RunError, run
from bench.harness import Row
from bench.implementations import KNOWN


def taking_part(row: Row, names: Sequence[str]) -> list[str]:
    """Return who of *names* can do a row."""
    return [name for name in names if row.needs in KNOWN[name].kinds]


def is_unsupported(note: str) -> bool:
    """Whether a run failed because that implementation has no such thing."""
    return "Unsupported" in note or "NotImplementedError" in note


def once(rows: Sequence[Row], names: Sequence[str]) -> int:
    """Have each row done once by each of *names*, and return how many failed."""
    failed = 0
    for row in rows:
        for name in taking_part(row, names):
            try:
                run(["once", row.name, name])
            except RunError as error:
                if name not in ("ours", "stdlib") and is_unsupported(str(error)):
                    continue
                failed += 1
                print(f"{row.name}, {name}: {error}")
    print(f"{len(rows)} rows, {failed} failed")
    return failed
