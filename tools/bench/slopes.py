"""How steep a curve is at its upper end."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: An exponent up to which a curve counts as linear: three points of a busy machine do
#: not tell it better.
LINEAR = 1.15
LAST = 3


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """Return k where cost grows as size**k, by the last points; None for too few.

    Args:
        points: size and cost, in any order, all above 0.
    """
    last = sorted(points)[-LAST:]
    if len(last) < 2:
        return None
    xs = [math.log(size) for size, _ in last]
    ys = [math.log(cost) for _, cost in last]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    steep = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return steep / sum((a - x) ** 2 for a in xs)


def is_worse_than_linear(k: float | None) -> bool:
    """Whether an exponent says that twice the size costs more than twice as much."""
    return k is not None and k > LINEAR
