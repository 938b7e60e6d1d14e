"""Ratios to the standard library, from values of interleaved rounds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """How much less the other costs; above 1 is better than the reference.

    Attributes:
        median: over the rounds, of each round's own ratio.
        low, high: the least and the greatest of these.
    """

    median: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether all rounds agree which is better."""
        return self.low > 1 or self.high < 1

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.low)}..{number(self.high)})"


def best(values: Sequence[float]) -> float:
    """Return the value of a round: what disturbs only ever adds."""
    return min(values)


def ratio(
    reference: Mapping[int, Sequence[float]], other: Mapping[int, Sequence[float]]
) -> Ratio | None:
    """Compare values by round; None if no round has both."""
    found = [
        best(reference[r]) / best(other[r]) for r in sorted(reference.keys() & other)
    ]
    if not found:
        return None
    return Ratio(statistics.median(found), min(found), max(found))


def geometric_mean(values: Sequence[float]) -> float:
    """Return the mean of ratios: of 2 and 1/2 it is 1."""
    return math.exp(statistics.fmean(map(math.log, values)))


def number(value: float) -> str:
    """Write a ratio: three digits, and not more than two behind the point."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def amount(value: float, unit: str) -> str:
    """Write a value with a unit that suits its size."""
    if unit == "byte":
        return f"{value / (1 << 20):.1f} MiB"
    for factor, name in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e9:.3g} ns"
