"""Values and arrays with a lock."""

from __future__ import annotations

import array
import ctypes
import gc
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import mp_sharedctypes_targets as targets
import pytest
from mp_sharedctypes_targets import Number, Point, Swapped, Wide

import mp_sync
from mp_connection import Pipe
from mp_connection.handles import HandleError
from mp_process import get_context
from mp_sharedctypes import (
    Array,
    Synchronized,
    SynchronizedArray,
    SynchronizedBase,
    SynchronizedString,
    SynchronizedStructure,
    SynchronizedText,
    Value,
    copy,
    synchronized,
)
from mp_testing import StartMethod

assert sys.platform == "linux"

INTEGERS = "bBhHiIlLqQ"
SIMPLE: list[tuple[Any, Any]] = [
    ("c", b"x"), ("u", "x"), ("f", 0.25), ("d", 0.1), (ctypes.c_bool, True),
    (ctypes.c_longdouble, 0.5), (ctypes.c_int.__ctype_be__, 77), (ctypes.c_size_t, 5),
    (ctypes.c_void_p, 4096), *((code, 100) for code in INTEGERS),
]  # fmt: skip
LOCKS: list[Callable[[], Any]] = [
    lambda: True, mp_sync.RLock, mp_sync.Lock, mp_sync.Semaphore,
]  # fmt: skip


#: Python code has the buffer protocol from 3.12 on only.
buffers = pytest.mark.skipif(
    os.environ.get("MP_SYNC_BACKEND") == "portable" and sys.version_info < (3, 12),
    reason="the portable backend has no buffers on 3.11",
)


def sent(obj: Any) -> Any:
    """What comes out of a connection."""
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send(obj)
        return theirs.recv()


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize(("code", "number"), SIMPLE)
def test_values(code: Any, number: Any, lock: Callable[[], Any]) -> None:
    value = Value(code, number, lock=lock())
    assert isinstance(value, Synchronized)
    assert value.value == number
    other = sent(value)
    assert type(other) is type(value)
    zero = Value(code).value
    other.value = zero
    assert value.value == value.get_obj().value == zero
    value.get_obj().value = number
    assert other.value == number
    assert value.get_obj() is value.get_obj()
    assert repr(value).startswith("<Synchronized")


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize(("code", "number"), SIMPLE)
def test_arrays(code: Any, number: Any, lock: Callable[[], Any]) -> None:
    values = Array(code, 4, lock=lock())
    assert isinstance(values, SynchronizedArray)
    zero = Value(code).value
    assert list(values) == [zero] * len(values) == [zero] * 4
    values[1] = values[-1] = number
    other = sent(values)
    assert list(other) == [zero, number, zero, number]
    assert [other[1::2][i : i + 1] for i in (0, 1)] == [other[1:2], other[3:]]
    assert other[:0] == values.get_obj()[:0]
    other[::3] = [number, zero]
    assert list(values.get_obj()) == [number, number, zero, zero]
    assert list(Array(code, [number, zero], lock=lock())) == [number, zero]
    assert repr(values).startswith("<Synchronized")
    for index in (4, -5, 2**70):
        with pytest.raises(IndexError):
            values[index]
        with pytest.raises(IndexError):
            values[index] = number
    with pytest.raises(TypeError):
        values["x"]  # type: ignore[call-overload]
    with pytest.raises((TypeError, ValueError)):
        values[:2] = [number]


@pytest.mark.parametrize("code", INTEGERS)
def test_integers_lose_what_does_not_fit(code: str) -> None:
    """As the type in ctypes does."""
    value = Value(code)
    kind = type(value.get_obj())._plain
    for number in (-1, 255, 2**31, 2**63, -(2**63), 2**64 + 5, -(2**70)):
        value.value = number
        assert value.value == kind(number).value
        assert value.add(number) == kind(2 * number).value
    for wrong in ("1", 1.5, None):
        with pytest.raises(TypeError):
            value.value = wrong


def test_characters_are_single() -> None:
    for wrong in (b"", b"xy", "x", 256, -1, 2**70, None):
        value: Any = Value("c")
        with pytest.raises(TypeError):
            value.value = wrong
    for right in (b"x", bytearray(b"x"), 120):
        assert Value("c", right).value == b"x"
    wide: Any = Value("u")
    for text in ("", "xy", b"x", 5):
        with pytest.raises(TypeError):
            wide.value = text


def test_nothing_can_be_deleted() -> None:
    with pytest.raises(TypeError):
        del Value("i").value
    values: Any = Array("i", 3)
    with pytest.raises(TypeError):
        del values[0]
    with pytest.raises(TypeError):
        del values[:2]


def test_add_and_update() -> None:
    value = Value("i", 5)
    assert value.add(-7) == value.value == -2
    assert value.update(lambda number: number * 3) == value.value == -6
    real = Value("f", 0.5)
    assert real.add(0.25) == real.value == 0.75
    assert Value("d", 1).add(2) == 3
    assert Value(ctypes.c_longdouble, 1).add(2) == 3
    wrong: Any
    for wrong in (Value("c"), Value("u"), Value(ctypes.c_bool)):
        with pytest.raises(TypeError, match="no number"):
            wrong.add(1)
    with pytest.raises(ZeroDivisionError):
        value.update(lambda number: number // 0)
    assert value.value == -6
    assert value.acquire(False)
    value.release()


def test_nothing_is_lost_of_what_processes_add(start_method: StartMethod) -> None:
    value = Value("i")
    context = get_context(start_method)
    processes = [
        context.Process(target=targets.add_up, args=(value, 500)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert value.value == 3 * 3 * 500


def test_an_access_waits_for_the_lock() -> None:
    """And another thread's does not see what is done within."""
    value, values = Value("i"), Array("i", 3)
    seen: list[Any] = []

    def read() -> None:
        started.set()
        seen.append(value.value)
        seen.append(values[:])

    started = threading.Event()
    thread = threading.Thread(target=read)
    with value, values:
        value.value = 1
        values[0] = 1
        thread.start()
        started.wait()
        thread.join(0.05)
        value.value = 2
        values[:] = [2, 2, 2]
    thread.join()
    assert seen == [2, [2, 2, 2]]


@pytest.mark.parametrize("kind", [mp_sync.RLock, mp_sync.Lock])
def test_who_holds_the_lock_does_not_take_it_again(kind: Callable[[], Any]) -> None:
    """So a lock that is not recursive is no trap."""
    lock = kind()
    value = Value("i", 5, lock=lock)
    with value.get_lock():
        value.value += 1
        assert value.add(1) == value.value == 7
        assert lock.locked()
    assert not lock.locked()


def test_a_lock_can_guard_several_objects() -> None:
    lock = mp_sync.RLock()
    value, values = Value("i", lock=lock), Array("i", 3, lock=lock)
    assert value.get_lock() is values.get_lock() is lock
    other = Value("i", lock=value.get_lock())
    with other:
        assert other.acquire(False)
        other.release()
    assert lock.acquire(False)
    lock.release()


def test_the_methods_of_the_lock() -> None:
    value = Value("i")
    assert value.acquire()
    assert value.acquire(block=True, timeout=0.1)
    value.release()
    value.release()
    with pytest.raises(AssertionError):
        value.release()


def test_without_a_lock() -> None:
    for made in (Value("i", 5, lock=False), Array("i", [5], lock=False)):
        assert not isinstance(made, SynchronizedBase)
    assert isinstance(Value(ctypes.c_int, 5, lock=False), ctypes.c_int)


def test_lock_is_to_be_named_and_to_be_one() -> None:
    with pytest.raises(TypeError):
        Array("i", 5, True)  # type: ignore[call-overload]
    for make in (
        lambda lock: Value("i", lock=lock),
        lambda lock: Array("i", 3, lock=lock),
    ):
        for wrong in ("x", 5, object()):
            with pytest.raises(AttributeError, match="is no lock"):
                make(wrong)


def test_a_context_makes_the_lock() -> None:
    class Context:
        def RLock(self) -> Any:
            return lock

    lock = mp_sync.RLock()
    assert Value("i", ctx=Context()).get_lock() is lock
    assert Array("i", 3, ctx=Context()).get_lock() is lock
    assert synchronized(ctypes.c_int(5), ctx=Context()).get_lock() is lock


def test_a_value_and_its_lock_are_one_block() -> None:
    value = Value("i", 5)
    lock = sent(value.get_lock())
    with lock:
        assert repr(value.get_lock()) != "<RLock owner=None>"
    alone = value.get_lock()
    del value
    with alone:
        pass


# ------------------------------------------------------------------------- structures


@pytest.mark.parametrize("lock", LOCKS)
def test_structures(lock: Callable[[], Any]) -> None:
    point = Value(Point, 1, 2, lock=lock())
    assert isinstance(point, SynchronizedStructure)
    other = sent(point)
    other.x = 7
    assert (point.x, point.y, point.get_obj().x, point.sum()) == (7, 2, 7, 9)
    assert {"x", "y", "sum", "get_lock"} <= set(dir(point))
    with pytest.raises(AttributeError):
        point.z  # noqa: B018
    number = Value(Number)
    number.real = 1.0
    assert number.whole == 0x3FF0000000000000
    assert sent(Value(Swapped, 258)).number == 258
    assert sent(Value(Wide, b"x")).tag == b"x"


@pytest.mark.parametrize("lock", LOCKS)
def test_arrays_of_structures(lock: Callable[[], Any]) -> None:
    points = Array(Point, [(1.875, -6.25), (-5.75, 2.0)], lock=lock())
    other = sent(points)
    other[1] = Point(7, 8)
    for point in other:
        point.x *= 2
    assert [(p.x, p.y) for p in points] == [(3.75, -6.25), (14.0, 8.0)]
    assert (len(points), len(points[:1]), points[-1].x) == (2, 1, 14.0)
    assert len(Array(Point, 0)) == 0
    table = Value(ctypes.c_int * 3, 1, 2, 3, lock=lock())
    assert isinstance(table, SynchronizedArray)
    assert (table[:], sent(table)[:]) == ([1, 2, 3], [1, 2, 3])
    grid = Array(ctypes.c_int * 3, 2, lock=lock())
    sent(grid)[1][2] = 5
    assert grid[1][:] == [0, 0, 5]


# ------------------------------------------------------------------------- characters


def test_strings() -> None:
    text = Array("c", b"hello world")
    assert isinstance(text, SynchronizedString)
    assert (text.value, text.raw, text[:5], text[0]) == (
        b"hello world", b"hello world", b"hello", b"h",
    )  # fmt: skip
    sent(text).value = b"bye"
    assert (text.value, text.raw) == (b"bye", b"bye\0o world")
    text.raw = b"xx"
    assert text.raw == b"xxe\0o world"
    text.value = b"12345678901"
    assert text.raw == b"12345678901"
    text[:3] = b"abc"
    text[3] = b"d"
    assert text.value == b"abcd5678901"
    wrong: Any
    for wrong in (b"123456789012", bytearray(12)):
        with pytest.raises(ValueError, match="do not fit"):
            text.value = wrong
        with pytest.raises(ValueError, match="do not fit"):
            text.raw = wrong
    assert Array("c", 3).value == b""


def test_wide_strings() -> None:
    text = Array("u", "hello")
    assert isinstance(text, SynchronizedText)
    sent(text).value = "\N{PILE OF POO}!"
    assert (text.value, text[:], text[0]) == (
        "\N{PILE OF POO}!",
        "\N{PILE OF POO}!\0lo",
        "\N{PILE OF POO}",
    )
    text.value = "abcde"
    assert text.value == "abcde"
    with pytest.raises(ValueError, match="do not fit"):
        text.value = "abcdef"


# ---------------------------------------------------------------------------- buffers


@buffers
@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_the_buffer_of_an_array_is_its_memory(code: str) -> None:
    values = Array(code, [1, 2, 3])
    with memoryview(values) as view:
        assert (view.itemsize, view.shape, view.readonly) == (
            ctypes.sizeof(type(values.get_obj())._type_), (3,), False,
        )  # fmt: skip
        assert view.tolist() == [1, 2, 3]
        view[1] = 7
        assert values[1] == 7
        values[2] = 8
        assert view[2] == 8
    with memoryview(values.get_obj()) as view, memoryview(values) as same:
        assert bytes(view) == bytes(same)


@buffers
def test_buffers_of_characters_and_structures() -> None:
    assert bytes(memoryview(Array("c", b"abc"))) == b"abc"
    assert memoryview(Array("u", "abc")).nbytes == 12
    assert memoryview(Array(Point, 2)).nbytes == 32
    assert memoryview(Array(ctypes.c_bool, 2)).tolist() == [False, False]


@buffers
def test_a_child_writes_through_the_buffer(start_method: StartMethod) -> None:
    for values in (Array("d", 3), Array("d", 3, lock=False)):
        process = get_context(start_method).Process(
            target=targets.put_into_view, args=(values,)
        )
        process.start()
        process.join()
        assert bytes(memoryview(values).cast("B"))[:9] == b"\1" * 8 + b"\0"


@buffers
def test_a_view_keeps_the_memory() -> None:
    values = Array("d", 4)
    block = values.block
    assert block is not None
    where = block.offset
    view = memoryview(values)
    del values, block
    others = [Array("d", 4) for _ in range(5)]
    assert where not in {other.block.offset for other in others if other.block}
    view[0] = 1
    assert all(other[0] == 0 for other in others)
    del view
    gc.collect()
    again = Array("d", 4).block
    assert again is not None
    assert again.offset == where


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3], (1, 2, 3), range(1, 4), {1: 0, 2: 0, 3: 0},
        array.array("d", [1, 2, 3]), array.array("h", [1, 2, 3]),
        memoryview(array.array("d", [1, 2, 3])),
        memoryview(array.array("d", [1, 0, 2, 0, 3]))[::2], b"\1\2\3",
    ],
)  # fmt: skip
def test_slices_are_replaced_from_anything(values: Any) -> None:
    for code in "dfhB" if isinstance(next(iter(values)), int) else "df":
        made = Array(code, 5)
        made[1:4] = values
        assert made[:] == [0, 1, 2, 3, 0]
        made[4:1:-1] = values
        assert made[:] == [0, 1, 3, 2, 1]
        assert Array(code, values)[:] == [1, 2, 3]


def test_a_slice_is_replaced_by_one_of_its_size() -> None:
    made = Array("d", 5)
    wrong: Any
    for wrong in ([1], [1] * 3, array.array("d", [1]), array.array("d", [1] * 3), ()):
        with pytest.raises(ValueError, match="as many items"):
            made[1:3] = wrong
    for wrong in ([1, "x"], 5, None):
        with pytest.raises(TypeError):
            made[1:3] = wrong
    assert made[:] == [0.0] * 5


def test_a_list_that_changes_while_it_is_read() -> None:
    class Shrinks:
        def __index__(self) -> int:
            values.clear()
            return 1

    values: list[Any] = [Shrinks(), 2, 3]
    made = Array("i", 3)
    try:
        made[:] = values
    except ValueError:
        assert made[:] == [0, 0, 0]
    else:  # it was copied before
        assert made[:] == [1, 2, 3]


def test_large_slices() -> None:
    made = Array("i", 100_000)
    made[:] = range(100_000)
    assert made[::-1] == list(range(100_000))[::-1]
    assert made[10:90_000:7] == list(range(10, 90_000, 7))


# ----------------------------------------------------------------------- what is there


def test_synchronized_wraps_what_is_there() -> None:
    obj = copy(ctypes.c_int(5))
    value = synchronized(obj)
    assert value.get_obj() is obj
    sent(value).value = 6
    assert obj.value == 6
    private = ctypes.c_int(5)
    guarded = synchronized(private, mp_sync.Lock())
    guarded.value = 7
    assert private.value == 7
    assert synchronized((ctypes.c_int * 2)(1, 2))[:] == [1, 2]
    assert synchronized(Point(1, 2)).x == 1
    with pytest.raises(TypeError, match="a ctypes object is synchronized, not 5"):
        synchronized(5)
    with pytest.raises(TypeError, match="not in shared memory"):
        pickle.dumps(guarded)


def test_a_plain_pickle_says_what_to_do() -> None:
    for made in (
        Value("i"),
        Array("i", 3),
        Value(Point),
        Value("i", lock=mp_sync.Lock()),
    ):
        with pytest.raises(HandleError, match="send it through a connection"):
            pickle.dumps(made)


def test_classes_are_not_called() -> None:
    for kind in (Synchronized, SynchronizedArray, SynchronizedStructure):
        with pytest.raises(TypeError, match="is made by the functions"):
            kind()


def test_cells_that_know_no_format_refuse() -> None:
    """Instead of reading what they do not know."""
    cell: Any = Synchronized.fresh(None, 8)
    cells: Any = SynchronizedArray.fresh(None, 8)
    for refused in (
        lambda: cell.value, lambda: cell.add(1), lambda: setattr(cell, "value", 1),
        lambda: cells[0], lambda: cells[:], lambda: cells.__setitem__(0, 1),
        lambda: cells.__setitem__(slice(1), [1]), lambda: list(cells),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            refused()
    with pytest.raises(BufferError):
        memoryview(cells)
    with pytest.raises(ValueError, match="there is no format"):
        Synchronized.fresh("x", 1)


def test_items_outside_of_their_block_are_refused() -> None:
    from mp_sync.arena import allocate

    block, lock = allocate(1_000_000), mp_sync.RLock()
    for count, offset in (
        (2, 999_996),
        (1, -8),
        (1, 3),
        (2**61, 0),
        (-1, 0),
        (1, 2**40),
    ):
        with pytest.raises(ValueError, match="do not lie in the memory"):
            SynchronizedArray.attach("i", count, lock, block, offset)


# ------------------------------------------------------------------------- processes


def test_the_first_example_of_the_manual(start_method: StartMethod) -> None:
    number, values = Value("d", 0.0), Array("i", range(10))
    process = get_context(start_method).Process(
        target=targets.first_example, args=(number, values)
    )
    process.start()
    process.join()
    assert number.value == 3.1415927
    assert values[:] == [0, -1, -2, -3, -4, -5, -6, -7, -8, -9]


def test_the_second_example_of_the_manual(start_method: StartMethod) -> None:
    lock = mp_sync.Lock()
    n = Value("i", 7)
    x = Value(ctypes.c_double, 1.0 / 3.0, lock=False)
    s = Array("c", b"hello world", lock=lock)
    A = Array(Point, [(1.875, -6.25), (-5.75, 2.0), (2.375, 9.5)], lock=lock)
    process = get_context(start_method).Process(
        target=targets.second_example, args=(n, x, s, A)
    )
    process.start()
    process.join()
    assert (n.value, x.value, s.value) == (49, 0.1111111111111111, b"HELLO WORLD")
    assert [(a.x, a.y) for a in A] == [
        (3.515625, 39.0625), (33.0625, 4.0), (5.640625, 90.25),
    ]  # fmt: skip


def test_the_death_of_a_holder_is_an_error(start_method: StartMethod) -> None:
    """Of what was half changed; who recovers the lock sees to it."""
    ours, theirs = Pipe()
    value = Value("i")
    process = get_context(start_method).Process(
        target=targets.hold_and_die, args=(value, theirs)
    )
    process.start()
    theirs.close()
    assert ours.poll(targets.SECONDS)
    pid = ours.recv()
    for access in (
        lambda: value.value, lambda: value.add(1), lambda: setattr(value, "value", 1)
    ):  # fmt: skip
        with pytest.raises(mp_sync.OwnerDiedError, match=str(pid)):
            access()
    lock = value.get_lock()
    assert isinstance(lock, mp_sync.RLock)
    assert lock.recover()
    assert value.value == 13
    lock.release()
    assert value.value == 13
    process.join()
    ours.close()


def test_who_is_killed_within_an_access_has_held_nothing() -> None:
    """A copy of bytes is no holding that others would have to clean up after."""
    ours, theirs = Pipe()
    value = Value("i")
    for _ in range(10):
        process = get_context("fork").Process(
            target=targets.set_for_ever, args=(value, theirs)
        )
        process.start()
        assert ours.poll(targets.SECONDS)
        ours.recv()
        process.kill()
        process.join()
        value.value = 2
        assert value.value == 2
    ours.close()
    theirs.close()


def test_a_waiting_access_is_interrupted() -> None:
    value = Value("i")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with value:
            held.set()
            done.wait()

    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        for access in (lambda: value.value, lambda: setattr(value, "value", 1)):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            with pytest.raises(KeyboardInterrupt):
                access()
    finally:
        signal.signal(signal.SIGALRM, previous)
        done.set()
        thread.join()
    assert value.add(1) == 1


def test_a_forked_child_has_it_too() -> None:
    value, values = Value("i"), Array("d", 3)
    pid = os.fork()
    if pid == 0:
        value.value = 5
        values[:] = [1, 2, 3]
        os._exit(0)
    os.waitpid(pid, 0)
    assert (value.value, values[:]) == (5, [1, 2, 3])
