"""REPORT.md, from what was measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

assert sys.platform == "linux"

from bench.curves import CURVES
from bench.growth import Measured
from bench.implementations import KNOWN, OURS, REFERENCE
from bench.ratios import Ratio, geometric_mean, number
from bench.slopes import LINEAR
from bench.table import Notes, Values, areas, is_slower, ratio_of, table

HERE = Path(__file__).resolve().parent
OVERVIEW, DETAILS, GROWN = "overview.svg", "rows.svg", "growth.svg"

INTRODUCTION = f"""\
# Side by side with the standard library

Written by `./tools/hatch run bench all`, and not by hand.

![ratios by area]({OVERVIEW})

**How to read it.** A ratio says how many times as fast as the standard library, or how
many times smaller for memory: above 1 is better, and what is slower is bold. It is the
median over rounds; in brackets are the least and the greatest round. In each round
every implementation runs once, in turn and in a fresh interpreter, and of its values
the best counts, as disturbance only ever adds. `control` is the standard library
measured against itself: how far it is from 1 is the noise of that row. The columns
before hold the best value of all rounds; of a task, message or item, where a row has
many.
"""

GROWTH_NOTES = f"""\
An exponent of 1 is linear: twice the size costs twice as much. It is the slope of the
last three points, both axes logarithmic; above {LINEAR} counts as worse than linear and
is bold. Memory is what this process and its children hold when it is most, a page that
several share divided among them; of messages, the sum of each process's peak.
"""

ROW_NOTES = """\
`round_trip…`, `connect…`, the hand-offs of locks and the calls of managers run with all
processes on one CPU, where only work counts and not how the machine wakes another CPU;
in the rows that end in `_2_cpus` the system places them.
A dash: that implementation has no such thing. `futures` is the standard library's
`ProcessPoolExecutor`.
"""


def ratios_by_area(values: Values) -> dict[str, dict[str, Ratio]]:
    """Return our ratios."""
    found: dict[str, dict[str, Ratio]] = {}
    for area, rows in areas(values).items():
        for row in rows:
            if (one := ratio_of(values, row.name, OURS)) is not None:
                found.setdefault(area, {})[row.name] = one
    return found


def environment(machine: Mapping[str, str], peers: Mapping[str, str]) -> Iterator[str]:
    """Yield what was measured on, without names of machines or paths."""
    yield "## Environment"
    yield ""
    shown = {
        "Python": "python_version",
        "CPU": "cpu_model_name",
        "CPUs": "cpu_count",
        "system": "platform",
        "load while measuring": "load",
        "pyperf": "perf_version",
    }
    for title, key in shown.items():
        if key in machine:
            yield f"- {title}: {machine[key]}"
    for peer, release in peers.items():
        yield f"- {peer}: {release}"
    yield ""


def summary(found: Mapping[str, Mapping[str, Ratio]]) -> Iterator[str]:
    """Yield the means by area, and what is slower."""
    yield "## In short"
    yield ""
    yield "| area | mean of its rows | rows | slower |"
    yield "|---|--:|--:|--:|"
    for area, rows in found.items():
        mean = geometric_mean([ratio.median for ratio in rows.values()])
        slower = sum(map(is_slower, rows.values()))
        yield f"| {area} | {number(mean)} | {len(rows)} | {slower} |"
    yield ""
    rows = {name: r for by_name in found.values() for name, r in by_name.items()}
    slow = {name: ratio for name, ratio in rows.items() if is_slower(ratio)}
    for name, ratio in sorted(slow.items(), key=lambda item: item[1].median):
        sure = "" if ratio.certain else "; the rounds do not agree"
        yield f"- slower: `{name}` {ratio}{sure}"
    if not slow:
        yield "No row is slower."
    yield ""


def _size(size: int) -> str:
    return f"{size:,}".replace(",", " ")


def _exponent(k: float | None) -> str:
    if k is None:
        return "-"
    return f"**{k:.2f}**" if k > LINEAR else f"{k:.2f}"


def growth_section(curves: Sequence[Measured]) -> Iterator[str]:
    """Yield how cost grows."""
    yield "## How cost grows"
    yield ""
    yield f"![cost and memory against size]({GROWN})"
    yield ""
    yield GROWTH_NOTES
    yield (
        "| curve | who | largest size | seconds there | exponent "
        "| MiB there (parent + children) | exponent |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|"
    for one in curves:
        if not one.points:
            continue
        last = one.points[-1]
        parent, children = (held / (1 << 20) for held in (last.parent, last.children))
        who = "standard library" if one.who == REFERENCE else "this project"
        cells = [
            CURVES[one.curve].axis,
            who,
            _size(last.size),
            f"{last.seconds:.3g}",
            _exponent(one.exponent),
            f"{parent:.1f} + {children:.1f}",
            _exponent(one.memory_exponent),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
    for one in curves:
        if one.stopped:
            who = "The standard library" if one.who == REFERENCE else "This project"
            yield f"- {who} stops with {CURVES[one.curve].axis} {one.stopped}"
    bad = [one for one in curves if one.who == OURS and one.is_bad]
    for one in bad:
        yield f"- Worse than linear: {CURVES[one.curve].axis}."
    if not bad:
        yield "None of this project's curves is worse than linear."
    yield ""


def compose(
    values: Values,
    notes: Notes,
    machine: Mapping[str, str],
    curves: Sequence[Measured],
    peers: Mapping[str, str],
) -> str:
    """Return the report; *peers* are versions by name."""
    found = ratios_by_area(values)
    parts = [
        INTRODUCTION,
        *summary(found),
        *growth_section(curves),
        "## Rows",
        "",
        f"![ratios by row]({DETAILS})",
        "",
        ROW_NOTES,
        *table(values, notes),
        *environment(machine, peers),
    ]
    return "\n".join(parts).rstrip() + "\n"


def versions(values: Values) -> dict[str, str]:
    """Return the versions of the peers that took part."""
    taken = {name for by in values.values() for name in by}
    own = [name for name in KNOWN if KNOWN[name].module in ("", name)]
    return {n: version(n) for n in own if n in taken and n != "futures"}


def write(results: Path, curves_file: Path) -> None:
    """Write the report and its pictures."""
    from bench import plots
    from bench.growth import load as load_curves
    from bench.stored import load

    values, notes, machine = load(results)
    curves = load_curves(curves_file)
    text = compose(values, notes, machine, curves, versions(values))
    (HERE / "REPORT.md").write_text(text, "utf-8")
    found = ratios_by_area(values)
    plots.overview(found, HERE / OVERVIEW)
    plots.details(found, HERE / DETAILS)
    plots.growth(curves, HERE / GROWN)
