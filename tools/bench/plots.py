"""The pictures of the report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

assert sys.platform == "linux"

import matplotlib
from matplotlib.figure import Axes, Figure

from bench.curves import CURVES
from bench.growth import Measured
from bench.implementations import OURS, REFERENCE
from bench.ratios import Ratio, geometric_mean, number

FASTER, SLOWER, PLAIN = "#2a7f62", "#c8553d", "#8a8a8a"
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# Text stays text, and the same results give the same file.
matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "mp"}


def _colour(ratio: float) -> str:
    return FASTER if ratio >= 1 else SLOWER


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(str(file), metadata={"Date": None})


def _ratio_axis(axes: Axes, ratios: Sequence[float]) -> None:
    axes.set_xscale("log")
    low, high = min(0.5, *ratios) * 0.9, max(2.0, *ratios) * 1.6
    shown = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}x" for tick in shown])
    axes.set_xlim(low, high)
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=1)
    axes.grid(True, axis="x", alpha=0.25)
    axes.tick_params(labelsize="small", length=2)


def _bars(axes: Axes, positions: Sequence[float], ratios: Sequence[float]) -> None:
    """Draw bars that begin at 1, to the right where faster and to the left if not."""
    axes.barh(
        positions,
        [ratio - 1 for ratio in ratios],
        0.7,
        1,
        color=[_colour(ratio) for ratio in ratios],
        alpha=0.75,
    )


def overview(found: dict[str, dict[str, Ratio]], file: Path) -> None:
    """Draw a bar for each area, its mean, and a dot for each of its rows."""
    figure = Figure((9, 0.55 * len(found) + 1.2), layout="constrained")
    axes = figure.add_subplot(1, 1, 1)
    means = [
        geometric_mean([r.median for r in rows.values()]) for rows in found.values()
    ]
    places = [float(place) for place in range(len(found))]
    _ratio_axis(axes, [r.median for rows in found.values() for r in rows.values()])
    _bars(axes, places, means)
    for place, rows in zip(places, found.values(), strict=True):
        dots = [ratio.median for ratio in rows.values()]
        colours = [_colour(dot) for dot in dots]
        axes.scatter(dots, [place] * len(dots), 14, color=colours, zorder=3)
    labels = [
        f"{area}  {number(mean)}x" for area, mean in zip(found, means, strict=True)
    ]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_title(
        "times as fast as the standard library (bar: mean of an area, dot: a row)",
        fontsize="medium",
    )
    _save(figure, file)


def details(found: dict[str, dict[str, Ratio]], file: Path) -> None:
    """Draw a bar for each row, with the spread of its rounds."""
    columns = 2
    lines = -(-len(found) // columns)
    longest = max(map(len, found.values()))
    figure = Figure((13, lines * (0.2 * longest + 0.9)), layout="constrained")
    for place, (area, rows) in enumerate(found.items(), 1):
        axes = figure.add_subplot(lines, columns, place)
        positions = [float(position) for position in range(len(rows))]
        ratios = list(rows.values())
        ends = [end for ratio in ratios for end in (ratio.low, ratio.high)]
        _ratio_axis(axes, ends)
        _bars(axes, positions, [ratio.median for ratio in ratios])
        lows, highs = [r.low for r in ratios], [r.high for r in ratios]
        axes.hlines(positions, lows, highs, color="black", linewidth=0.8)
        axes.set_yticks(positions, list(rows), fontsize="small")
        axes.invert_yaxis()
        axes.set_title(area, fontsize="medium", loc="left")
    _save(figure, file)


def growth(curves: Sequence[Measured], file: Path) -> None:
    """Draw time and memory of each curve, both axes logarithmic."""
    by_name: dict[str, list[Measured]] = {}
    for one in curves:
        by_name.setdefault(one.curve, []).append(one)
    lines = -(-len(by_name) // 2)
    figure = Figure((15, 3 * lines), layout="constrained")
    for place, (name, both) in enumerate(by_name.items()):
        time, memory = (figure.add_subplot(lines, 4, 2 * place + n) for n in (1, 2))
        for one in both:
            sizes = [float(point.size) for point in one.points]
            colour = FASTER if one.who == OURS else PLAIN
            label = "standard library" if one.who == REFERENCE else "this project"
            seconds = [point.seconds for point in one.points]
            held = [(p.parent + p.children) / (1 << 20) for p in one.points]
            time.plot(sizes, seconds, marker="o", color=colour, label=label)
            memory.plot(sizes, held, marker="o", color=colour, label=label)
        for axes, what in ((time, "seconds"), (memory, "MiB")):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_title(what, fontsize="small", loc="left")
            axes.set_xlabel(CURVES[name].axis, fontsize="small")
            axes.grid(True, alpha=0.25)
            axes.tick_params(which="both", labelsize="small")
        time.legend(fontsize="small", frameon=False)
    _save(figure, file)
