"""Large bytes of a pickle that arrives in a stream: in memory of their own."""

from __future__ import annotations

import pickle
import pickletools
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mp_connection import FramingError
from mp_connection._pickle_parts import PickleAssembler, rejoin
from mp_connection._pickle_walk import BYTES, COUNTED, FIXED, LARGE
from mp_connection._stream_framing import EARLY_LIMIT, FrameReader, header

BIG = bytes(range(256)) * (LARGE // 256)


def assemble(data: bytes, steps: list[int]) -> PickleAssembler:
    """Let a pickle arrive in pieces of some sizes, over and over."""
    assembler = PickleAssembler(len(data))
    done = number = 0
    while not assembler.complete():
        with assembler.wanted() as view:
            assert len(view) > 0
            count = min(len(view), steps[number % len(steps)], len(data) - done)
            assert count, "it wants more than there is"
            view[:count] = data[done : done + count]
        assembler.filled += count
        done, number = done + count, number + 1
    assert done == len(data)
    return assembler


def check(data: bytes, steps: list[int]) -> list[Any]:
    """What is assembled loads to the same, and joins to the same bytes."""
    assembler = assemble(data, steps)
    parts, cuts = assembler.parts(), assembler.cuts()
    assert rejoin(parts, cuts) == data
    assert len(parts) == len(cuts) + 1
    return parts


def load(parts: list[Any]) -> Any:
    return pickle.loads(parts[0], buffers=parts[1:])


large = st.sampled_from(
    [BIG, BIG + b"x", bytearray(BIG * 2), BIG[:-1], b"\x8e" * LARGE]
)
trees = st.recursive(
    large | st.integers() | st.text() | st.binary() | st.none()
    | st.just("t" * LARGE) | st.just(list(range(30_000))),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
pieces = st.lists(st.integers(1, 300_000), min_size=1, max_size=5)


@given(trees, st.integers(0, 5), pieces)
@settings(deadline=None, max_examples=150)
def test_any_pickle_arrives_as_it_was_sent(
    value: Any, protocol: int, steps: list[int]
) -> None:
    data = pickle.dumps(value, protocol)
    if min(steps) < 1000:  # many steps of one byte take long
        steps = [*steps, 100_000]
    parts = check(data, steps)
    assert load(parts) == value
    if protocol < 4:
        assert len(parts) == 1


@pytest.mark.parametrize("protocol", [4, 5])
def test_large_bytes_stand_by_themselves(protocol: int) -> None:
    value = [BIG, {"k": bytearray(BIG)}, BIG * 3, BIG[1:], "s" * LARGE]
    parts = check(pickle.dumps(value, protocol), [1 << 20])
    got = load(parts)
    assert got == value
    mutable = protocol == 5  # otherwise it is made by a call
    assert [type(part) for part in parts[1:]] == [
        bytes, bytearray if mutable else bytes, bytes
    ]  # fmt: skip
    assert got[0] is parts[1]
    assert got[2] is parts[3]
    assert (got[1]["k"] is parts[2]) == mutable
    assert sum(map(len, parts[1:])) == 5 * LARGE


def test_what_is_there_twice_is_there_once() -> None:
    parts = check(pickle.dumps([BIG, BIG], 5), [70_000])
    first, second = load(parts)
    assert first is second
    assert len(parts) == 2


def test_one_byte_at_a_time() -> None:
    data = pickle.dumps([1, BIG, "x"], 5)
    parts = check(data, [1])
    assert load(parts) == [1, BIG, "x"]
    assert len(parts) == 2


def test_bytes_that_only_look_like_a_pickle_stay_as_they_are() -> None:
    for data in (
        b"\x80\x05" + BIG,
        b"\x80\x05\x8e" + b"\xff" * 20,
        b"\x80\x05B" + (LARGE + 1).to_bytes(4, "little") + BIG,  # one byte short
        b"\x80\x05\x95" + b"\xff" * 20,
        b"\x80\x05" + b"N" * 1000,
        b"\x80\x05" + b"I1\n" * 3,
        b"\x80",
        b"\x80\x05",
        b"x",
        b"\0" * 1000,
    ):
        assert check(data, [100]) == [data]
        assert check(data, [7, 1]) == [data]


@given(st.lists(st.sampled_from([
    b"\x80\x05", b"\x94", b"N", b"K\x01", b"B" + LARGE.to_bytes(4, "little"), BIG,
    b"\x8e" + LARGE.to_bytes(8, "little"), b"\x96" + LARGE.to_bytes(8, "little"),
    b"\x95" + (5).to_bytes(8, "little"), b"\x95" + (1 << 63).to_bytes(8, "little"),
    b"X" + (5).to_bytes(4, "little"), b"hello", b"C\x02ab", b".", b"h\x00", b"\x97",
]), max_size=12), pieces)  # fmt: skip
@settings(deadline=None)
def test_any_bytes_join_to_what_they_were(data: list[bytes], steps: list[int]) -> None:
    whole = b"\x80\x05" + b"".join(data)
    check(whole, [*steps, 100_000])


def test_more_than_the_message_is_an_error() -> None:
    for data in (pickle.dumps(1, 5), pickle.dumps([BIG], 5)):
        assembler = assemble(data, [1 << 20])
        assembler.filled += 1
        with pytest.raises(FramingError):
            assembler.complete()


def test_memory_grows_as_bytes_arrive() -> None:
    """Neither the length of the message nor that of a part is believed."""
    tracemalloc.start()
    try:
        size = 1 << 40
        assembler = PickleAssembler(size)
        data = b"\x80\x05\x8e" + (size - 100).to_bytes(8, "little")
        with assembler.wanted() as view:
            view[: len(data)] = data
        assembler.filled += len(data)
        assert not assembler.complete()
        with assembler.wanted() as view:
            assert len(view) <= 1 << 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 << 20


def test_every_opcode_of_the_newer_protocols_is_known() -> None:
    """Outside of a frame any short one may stand."""
    known = BYTES.keys() | COUNTED.keys() | FIXED.keys()
    for opcode in pickletools.opcodes:
        code = ord(opcode.code)
        argument = opcode.arg
        if argument is None:
            assert FIXED.get(code, 0) == 0
            assert code in known, opcode.name
        elif code in FIXED:
            assert argument.n == FIXED[code], opcode.name
        elif code in known and opcode.name != "FRAME":
            assert argument.n < 0, opcode.name


# ------------------------------------------------------------------- within a frame


def read(reader: FrameReader, data: bytes) -> int:
    """Let bytes arrive until the message is complete; how many were taken."""
    done = 0
    while not reader.complete and done < len(data):
        with reader.wanted() as view:
            count = min(len(view), len(data) - done)
            view[:count] = data[done : done + count]
        if reader.body is None:
            reader.filled += count
        else:
            reader.body.filled += count
        done += count
        reader.check()
    return done


def test_a_reader_that_is_told_late_listens_if_nothing_is_there() -> None:
    data = pickle.dumps([BIG * 4], 5)
    assert len(data) > EARLY_LIMIT
    frame = header(len(data)) + data
    for objects in (True, False):
        reader = FrameReader()
        assert read(reader, frame[:4]) == 4
        reader.allow(None, None, objects)
        read(reader, frame[4:])
        parts, cuts = reader.take_parts()
        assert len(parts) == (2 if objects else 1)
        assert rejoin(parts, cuts) == data


def test_the_wish_for_bytes_may_come_in_the_middle() -> None:
    data = pickle.dumps([BIG * 8], 5)
    frame = header(len(data)) + data
    reader = FrameReader()
    reader.allow(None, None, True)
    read(reader, frame[:300_000])
    reader.allow(None, None, False)
    read(reader, frame[300_000:])
    assert reader.take() == data
    # And the other way round.
    reader.allow(None, None, False)
    read(reader, frame[:300_000])
    reader.allow(None, None, True)
    read(reader, frame[300_000:])
    parts, cuts = reader.take_parts()
    assert (parts, cuts) == ([data], ())


def test_memory_that_is_offered_late_is_used_if_nothing_is_there() -> None:
    data = BIG * 8
    frame = header(len(data)) + data
    reader = FrameReader()
    read(reader, frame[:4])
    into = bytearray(len(data))
    with memoryview(into) as view:
        reader.allow(None, view)
        read(reader, frame[4:])
        assert reader.placed
        reader.reset()
    assert into == data
