"""Structures and typed arrays that a child changes (manual, "sharedctypes")."""

from __future__ import annotations

from ctypes import Structure, c_double, c_short
from typing import Any

import mp_multiprocessing as mp
from mp_multiprocessing.sharedctypes import RawArray, RawValue


class Point(Structure):
    """Two coordinates."""

    _fields_ = (("x", c_double), ("y", c_double))


def modify(n: Any, x: Any, text: Any, points: Any) -> None:
    """Square the numbers, and shout."""
    n.value **= 2
    x.value **= 2
    text.value = text.value.upper()
    for point in points:
        point.x **= 2
        point.y **= 2


def main() -> None:
    """Share one of each."""
    lock = mp.Lock()
    n = mp.Value("i", 7)
    x = mp.Value(c_double, 1.0 / 3.0, lock=False)
    text = mp.Array("c", b"hello world", lock=lock)
    points = mp.Array(Point, [(1.875, -6.25), (-5.75, 2.0), (2.375, 9.5)], lock=lock)

    process = mp.Process(target=modify, args=(n, x, text, points))
    process.start()
    process.join()

    print(n.value)
    print(x.value)
    print(text.value)
    print([(point.x, point.y) for point in points])

    print(list(RawArray(c_short, 7)), list(RawArray("i", (9, 2, 8))))
    print(RawValue(c_double, 2.4).value, RawValue("d", 2.4).value)


if __name__ == "__main__":
    main()
