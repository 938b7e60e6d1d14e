"""The table of rows, from values; touches nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

assert sys.platform == "linux"

from bench.harness import Row
from bench.implementations import CONTROL, OURS, REFERENCE
from bench.once import is_unsupported
from bench.ratios import Ratio, amount, best, ratio
from bench.rows import ROWS

#: Values by row, implementation and round.
Values = dict[str, dict[str, dict[int, list[float]]]]
#: In the order of the layers.
AREAS = (
    "processes", "connections", "locks", "queues", "shared ctypes", "pool", "managers",
)  # fmt: skip
Notes = Mapping[tuple[str, str], str]


def ratio_of(values: Values, row: str, who: str) -> Ratio | None:
    """Return how *who* compares with the standard library."""
    by = values.get(row, {})
    return ratio(by.get(REFERENCE, {}), by.get(who, {}))


def areas(values: Values) -> dict[str, list[Row]]:
    """Return the rows that were measured, by area."""
    found: dict[str, list[Row]] = {area: [] for area in AREAS}
    for name, row in ROWS.items():
        if name in values:
            found[row.area].append(row)
    return {area: rows for area, rows in found.items() if rows}


def names_in(values: Values, rows: Sequence[Row]) -> list[str]:
    """Return who took part in some of *rows*, the reference apart; ours first."""
    seen = dict.fromkeys(name for row in rows for name in values[row.name])
    first = [name for name in (OURS, CONTROL) if name in seen]
    return first + [n for n in seen if n not in (OURS, CONTROL, REFERENCE)]


def is_slower(found: Ratio | None) -> bool:
    """Whether the ratio is on the wrong side."""
    return found is not None and found.median < 1


def _cell(values: Values, notes: Notes, row: Row, who: str) -> str:
    found = ratio_of(values, row.name, who)
    if found is None:
        note = notes.get((row.name, who), "")
        return "-" if not note or is_unsupported(note) else "failed"
    bold = who == OURS and is_slower(found)
    return f"**{found}**" if bold else str(found)


def _typical(values: Values, row: Row, who: str) -> str:
    rounds = values[row.name].get(who, {}).values()
    return amount(min(map(best, rounds)), row.unit) if rounds else "-"


def table(values: Values, notes: Notes) -> Iterator[str]:
    """Return lines of Markdown: a table for each area."""
    for area, rows in areas(values).items():
        names = names_in(values, rows)
        yield f"### {area[0].upper()}{area[1:]}"
        yield ""
        yield f"| row | standard library | this project | {' | '.join(names)} |"
        yield "|---|--:|--:|" + "--:|" * len(names)
        for row in rows:
            shown = [
                row.name,
                *(_typical(values, row, who) for who in (REFERENCE, OURS)),
                *(_cell(values, notes, row, who) for who in names),
            ]
            yield f"| {' | '.join(shown)} |"
        yield ""
    failed = [
        (key, note)
        for key, note in notes.items()
        if not is_unsupported(note) and key[0] in values
    ]
    for (name, who), note in failed:
        yield f"- {name}, {who}: {note}"
