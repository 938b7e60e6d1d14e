"""ctypes objects in shared memory, without a lock."""

from __future__ import annotations

import array
import copy as copying
import ctypes
import gc
import pickle
import sys
from typing import Any

import mp_sharedctypes_targets as targets
import pytest
from mp_sharedctypes_targets import Number, Point, Swapped, Wide

from mp_connection import Pipe
from mp_connection.handles import HandleError
from mp_process import get_context
from mp_sharedctypes import RawArray, RawValue, copy
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_sync import arena

#: Code, type, a value.
TYPES: list[tuple[str, Any, Any]] = [
    ("c", ctypes.c_char, b"x"),
    ("b", ctypes.c_byte, -5),
    ("B", ctypes.c_ubyte, 250),
    ("u", ctypes.c_wchar, "\N{GREEK SMALL LETTER ALPHA}"),
    ("h", ctypes.c_short, -500),
    ("H", ctypes.c_ushort, 50_000),
    ("i", ctypes.c_int, -50_000),
    ("I", ctypes.c_uint, 2**32 - 1),
    ("l", ctypes.c_long, -(2**63)),
    ("L", ctypes.c_ulong, 2**64 - 1),
    ("q", ctypes.c_longlong, 2**40),
    ("Q", ctypes.c_ulonglong, 2**64 - 2),
    ("f", ctypes.c_float, 0.25),
    ("d", ctypes.c_double, 0.1),
]


def sent(obj: Any) -> Any:
    """What comes out of a connection."""
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send(obj)
        return theirs.recv()


@pytest.mark.parametrize(("code", "ctype", "value"), TYPES)
def test_every_typecode(code: str, ctype: Any, value: Any) -> None:
    for kind in (code, ctype):
        made = RawValue(kind, value)
        assert isinstance(made, ctype)
        assert made.value == value
        assert repr(made) == repr(ctype(value))
        assert RawValue(kind).value == ctype().value
        other = sent(made)
        assert type(other) is type(made)
        other.value = ctype().value
        assert made.value == ctype().value


@pytest.mark.parametrize(("code", "ctype", "value"), TYPES)
def test_arrays_of_every_typecode(code: str, ctype: Any, value: Any) -> None:
    zero = ctype().value
    for kind in (code, ctype):
        made = RawArray(kind, 3)
        assert isinstance(made, ctype * 3)
        assert list(made) == [zero] * 3
        made[1] = value
        assert list(sent(made)) == [zero, value, zero]
        assert list(RawArray(kind, [value, zero])) == [value, zero]


@pytest.mark.parametrize(
    "ctype",
    [
        ctypes.c_bool, ctypes.c_longdouble, ctypes.c_void_p, ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_int), ctypes.py_object, ctypes.c_int.__ctype_be__,
        ctypes.CFUNCTYPE(None), ctypes.c_int * 3, ctypes.c_int * 0, (Point * 2) * 2,
        Point, Number, Wide, Swapped,
    ],
)  # fmt: skip
def test_every_other_type(ctype: Any) -> None:
    """It is zero, aligned as it has to be, and an instance of what was asked for."""
    for made in (RawValue(ctype), RawArray(ctype, 2)):
        assert isinstance(made, (ctype, ctype * 2))
        assert ctypes.addressof(made) % ctypes.alignment(ctype) == 0
        assert not any(bytes(memoryview(made)))
    if not hasattr(ctype, "_flags_"):  # a function has no name to find it by
        other = sent(RawValue(ctype))
        assert isinstance(other, ctype)
        assert isinstance(sent(RawArray(ctype, 2)), ctype * 2)


def test_structures_are_made_by_their_constructors() -> None:
    point = RawValue(Point, 4, 6)
    assert (point.x, point.y, point.sum()) == (4, 6, 10)
    points = RawArray(Point, [(1, 2), (3, 4)])
    assert [(p.x, p.y) for p in points] == [(1, 2), (3, 4)]
    sent(points)[1].y = 7
    assert points[1].y == 7


def test_a_type_that_asks_for_more_alignment() -> None:
    class Vector(ctypes.Structure):
        _align_ = 256  # heeded from Python 3.13 on
        _fields_ = [("x", ctypes.c_double * 4)]

    kept = [RawValue(Vector) for _ in range(5)]
    for vector in kept:
        assert ctypes.addressof(vector) % ctypes.alignment(Vector) == 0


def test_characters_have_value_and_raw() -> None:
    made = RawArray("c", b"hello world")
    assert made.value == made.raw == b"hello world"
    start: Any = made[:5]
    assert start == b"hello"
    made.value = b"bye"
    assert made.raw == b"bye\0o world"
    assert RawArray("u", "text").value == "text"


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3], (1, 2, 3), range(1, 4), {1: 0, 2: 0, 3: 0}, {1, 2, 3},
        array.array("d", [1, 2, 3]), array.array("i", [1, 2, 3]), b"\1\2\3",
        memoryview(array.array("d", [1, 0, 2, 0, 3]))[::2],
    ],
)  # fmt: skip
def test_initializers(values: Any) -> None:
    """Anything that can be gone through and has a length."""
    assert RawArray("d", values)[:] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("code", "size", "error"),
    [
        ("i", -1, ValueError),
        ("i", 2**62, OverflowError),
        ("b", 2**45, OSError),
        ("i", 2**70, OverflowError),
        ("i", 2.5, TypeError),
        ("i", None, TypeError),
        ("i", ["x"], TypeError),
        ("i", iter([1]), TypeError),
        ("w", 1, TypeError),
        ("", 1, TypeError),
        ("ii", 1, TypeError),
        (int, 1, TypeError),
        (5, 1, TypeError),
        (ctypes.c_int(5), 1, TypeError),
    ],
)
def test_wrong_arguments(code: Any, size: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        RawArray(code, size)


@pytest.mark.parametrize(
    ("code", "args"),
    [
        ("i", ("x",)),
        ("i", (1, 2)),
        ("w", ()),
        (int, ()),
        (Point, (1, 2, 3)),
        ("d", "x"),
    ],
)
def test_wrong_values(code: Any, args: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        RawValue(code, *args)


def test_a_wrong_typecode_is_told_the_right_ones() -> None:
    with pytest.raises(TypeError, match="'w' is none of the typecodes cbBuhHiIlLqQfd"):
        RawValue("w")


def test_no_items() -> None:
    for made in (RawArray("i", 0), RawArray(Point, []), sent(RawArray("d", ()))):
        assert len(made) == 0
        assert list(made) == []


def test_copy() -> None:
    """Into shared memory, from there and from elsewhere."""
    for original in (
        ctypes.c_int(5), RawValue("i", 5), Point(1, 2), (ctypes.c_int * 2)(1, 2),
        RawArray("i", [1, 2]), ctypes.c_char_p(None),
    ):  # fmt: skip
        made = copy(original)
        assert bytes(memoryview(made).cast("B")) == bytes(
            memoryview(original).cast("B")
        )
        assert ctypes.addressof(made) != ctypes.addressof(original)
        assert isinstance(made, type(sent(made)))
    with pytest.raises(TypeError, match="a ctypes object is copied, not 5"):
        copy(5)


def test_the_copies_of_the_copy_module_are_private() -> None:
    made: Any
    for made in (RawValue("i", 5), RawValue(Point, 1, 2), RawArray("i", [1, 2])):
        for other in (copying.copy(made), copying.deepcopy(made)):
            assert type(other) is type(made)._plain
            ctypes.memset(ctypes.byref(made), 0, ctypes.sizeof(made))
            assert any(memoryview(other).cast("B"))


def test_a_plain_pickle_says_what_to_do() -> None:
    with pytest.raises(HandleError, match="send it through a connection"):
        pickle.dumps(RawValue("i"))


def test_an_object_within_another_is_sent_as_a_copy() -> None:
    points = RawArray(Point, [(1, 2)])
    point = sent(points[0])
    points[0].x = 9
    assert (type(point), point.x) == (Point, 1)


def test_a_received_object_that_is_too_large_is_refused() -> None:
    """Or touching what is missing would kill the process."""
    from mp_sharedctypes._types import _rebuild

    block = arena.allocate(8)
    for offset in (-1, 1, 2**40):
        with pytest.raises(ValueError, match="does not lie within"):
            _rebuild("d", block, offset)


# ----------------------------------------------------------------------------- memory


def test_memory_lives_as_long_as_a_view_of_it() -> None:
    """Of a part, of the whole, by pointer: none is handed out again before it goes."""
    points: Any = RawArray(Point, [(1, 2), (3, 4)])
    kept: list[Any] = [
        points[1],
        memoryview(points),
        ctypes.pointer(points[0]),
        ctypes.cast(points, ctypes.POINTER(ctypes.c_double)),
    ]
    block = points._block
    where = block.offset
    del points, block
    while kept:
        others: list[Any] = [RawArray(Point, 2) for _ in range(5)]
        assert where not in {other._block.offset for other in others}
        del kept[-1]
        gc.collect()
    again: Any = RawArray(Point, 2)
    assert again._block.offset == where


def test_memory_that_is_used_again_is_zero() -> None:
    made: Any = RawValue("i", -1)
    where = made._block.offset
    del made
    again: Any = RawValue("i")
    assert (again._block.offset, again.value) == (where, 0)


def test_many_values_take_little_memory() -> None:
    """At most 64 bytes each."""
    kept: list[Any] = [RawValue("i", n) for n in range(20_000)]
    sizes = {id(v._block._arena): v._block._arena.size for v in kept}
    assert sum(sizes.values()) <= 64 * len(kept)
    assert [value.value for value in kept] == list(range(20_000))


def test_a_value_that_a_child_uses_is_not_handed_out_again(
    start_method: StartMethod,
) -> None:
    """The classic corruption: the maker drops it while the child still writes."""
    ours, theirs = Pipe()
    value = RawValue("i")
    process = get_context(start_method).Process(
        target=targets.keep_value, args=(value, theirs)
    )
    process.start()
    theirs.close()
    # The process object holds its arguments no longer than until it has started.
    del value
    gc.collect()
    others = [RawValue("i") for _ in range(2000)]
    ours.send("write")
    assert ours.poll(targets.SECONDS)
    assert ours.recv() == "written"
    assert all(other.value == 0 for other in others)
    for other in others:
        other.value = 7
    ours.send("read")
    assert ours.poll(targets.SECONDS)
    assert ours.recv() == 42
    ours.close()
    process.join()


def test_types_of_arrays_are_not_kept() -> None:
    """Of arrays of a thousand lengths nothing stays."""
    for length in range(1000, 1200):
        RawArray(Point, length)
    gc.collect()
    arrays: Any = ctypes.Array
    names = {kind.__name__ for kind in type.__subclasses__(arrays)}
    assert len([name for name in names if name.startswith("Point_Array_1")]) < 10
