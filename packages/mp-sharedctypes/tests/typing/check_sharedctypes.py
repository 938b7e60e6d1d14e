"""What a type checker says of shared objects.  Never run."""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_char, c_double, c_int, c_short, c_wchar
from typing import Any, assert_type

from mp_sharedctypes import (
    Array,
    RawArray,
    RawValue,
    Synchronized,
    SynchronizedArray,
    SynchronizedString,
    SynchronizedStructure,
    SynchronizedText,
    Value,
    copy,
    synchronized,
)
from mp_sync import Lock


class Point(ctypes.Structure):
    x: float


# Values, by each typecode.
assert_type(Value("c").value, bytes)
assert_type(Value("b").value, int)
assert_type(Value("B").value, int)
assert_type(Value("u").value, str)
assert_type(Value("h").value, int)
assert_type(Value("H").value, int)
assert_type(Value("i", 0).value, int)
assert_type(Value("I").value, int)
assert_type(Value("l").value, int)
assert_type(Value("L").value, int)
assert_type(Value("q").value, int)
assert_type(Value("Q").value, int)
assert_type(Value("f", 1).value, float)
assert_type(Value("d").value, float)
assert_type(Value("d", 0.5, lock=Lock()), Synchronized[float])
assert_type(Value("d").add(1), float)
assert_type(Value("i").update(lambda number: number + 1), int)
assert_type(Value("d").get_obj().value, float)
Value("i").value = "1"  # type: ignore[assignment]
Value("w", 1, 2, lock=5)  # type: ignore[call-overload]

# By types.
assert_type(Value(c_int, 0), Synchronized[int])
assert_type(Value(c_double).value, float)
assert_type(Value(c_bool).value, bool)
assert_type(Value(c_char).value, bytes)
assert_type(Value(Point, 1), SynchronizedStructure[Point])
assert_type(Value(Point).get_obj().x, float)
assert_type(Value(Point, lock=Lock()).get_obj(), Point)

# Without a lock.
assert_type(Value("c", lock=False), c_char)
assert_type(Value("i", lock=False), c_int)
assert_type(Value("d", 1, lock=False), c_double)
assert_type(Value(c_int, 0, lock=False), c_int)
assert_type(Value(Point, lock=False), Point)
assert_type(RawValue("i"), c_int)
assert_type(RawValue("u", "x"), c_wchar)
assert_type(RawValue(c_double, 1), c_double)
assert_type(RawValue(Point).x, float)

# Arrays.
assert_type(Array("c", 5), SynchronizedString)
assert_type(Array("c", b"hello")[:], bytes)
assert_type(Array("c", b"hello").value, bytes)
assert_type(Array("u", "hello"), SynchronizedText)
assert_type(Array("u", "hello")[:], str)
assert_type(Array("b", 3)[0], int)
assert_type(Array("B", 3)[0], int)
assert_type(Array("h", 3)[0], int)
assert_type(Array("H", 3)[0], int)
assert_type(Array("i", 3)[:], list[int])
assert_type(Array("I", 3)[0], int)
assert_type(Array("l", 3)[0], int)
assert_type(Array("L", 3)[0], int)
assert_type(Array("q", 3)[0], int)
assert_type(Array("Q", 3)[0], int)
assert_type(Array("f", 3)[:], list[float])
assert_type(Array("d", 3)[0], float)
assert_type(Array("d", 3)[:], list[float])
assert_type(Array("i", range(10)), SynchronizedArray[int])
assert_type(Array(c_short, 7)[0], int)
assert_type(Array(c_char, 7), SynchronizedString)
assert_type(Array(Point, [(1, 2)])[0], Point)
for point in Array(Point, 3, lock=Lock()):
    assert_type(point, Point)
Array("d", 3)[0] = "x"  # type: ignore[call-overload]
Array("d", 3)[:2] = [1, 2.5]
Array("d", 3)[:2] = memoryview(b"")
Array("i", 3, True)  # type: ignore[call-overload]

# Without a lock.
assert_type(Array("d", 3, lock=False)[0], float)
assert_type(Array("d", 3, lock=False)[:], list[float])
assert_type(Array("c", 3, lock=False).value, bytes)
assert_type(RawArray("i", 3), ctypes.Array[c_int])
assert_type(RawArray("c", b"x")[0], bytes)
assert_type(RawArray("c", b"x").value, bytes)
assert_type(RawArray("u", 3)[0], str)
RawArray("i", 3)[0] = 5
RawArray(Point, 3)[:2] = [Point(), Point()]
RawArray("i", 3)[0] = "x"  # type: ignore[call-overload]
assert_type(RawArray(c_int, (9, 2, 8))[:], list[int])
assert_type(RawArray(c_double, 3)[0], float)
assert_type(RawArray(c_bool, 3)[0], bool)
assert_type(RawArray(Point, 3)[0], Point)
assert_type(RawArray(c_int * 3, 3)[0], ctypes.Array[c_int])

# What is there.
assert_type(copy(Point()), Point)
assert_type(copy(c_int(5)), c_int)
assert_type(synchronized(c_int(5)), Synchronized[int])
assert_type(synchronized(RawArray("d", 3)), SynchronizedArray[float])
assert_type(synchronized(RawArray("c", 3)), SynchronizedString)
assert_type(synchronized(Point()).get_obj(), Point)


def of_any_code(code: str) -> None:
    assert_type(RawValue(code), Any)
    assert_type(Value(code), Any)
