"""The layout of messages in packets: pure functions, no I/O."""

from __future__ import annotations

import array
import ctypes
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from mp_connection import FramingError
from mp_connection._framing import (
    FRAGMENTS,
    GROWTH,
    HANDLES,
    INLINE,
    INLINE_LIMIT,
    MAX_HANDLES,
    MAX_PARTS,
    PRIVATE,
    WINDOW,
    Assembler,
    Head,
    Message,
    fits_inline,
    flat,
    fragment_packets,
    inline_packet,
    split_inline,
)

lengths = st.integers(0, 2**63 - 1)
heads = st.builds(
    Head,
    pickled=st.booleans(),
    transport=st.sampled_from([FRAGMENTS, PRIVATE]),
    handles=st.integers(0, 2**32 - 1),
    lengths=st.lists(lengths, min_size=5, max_size=20),
    as_bytes=st.lists(st.integers(1, 4), unique=True).map(sorted),
) | st.builds(
    Head, st.booleans(), st.just(PRIVATE), st.just(0), st.lists(lengths, min_size=1)
)  # fmt: skip


def fields(head: Head) -> tuple[object, ...]:
    return head.pickled, head.transport, head.handles, head.lengths, [*head.as_bytes]


@given(heads, st.binary(max_size=50))
def test_a_head_survives_encoding(head: Head, rest: bytes) -> None:
    decoded, behind = Head.decode(head.encode() + rest)
    assert fields(decoded) == fields(head)
    assert behind == rest


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_framing_error(data: bytes) -> None:
    for packet in (data, b"\1" + data, b"\1\1\1\0" + data):
        try:
            Head.decode(packet)
        except FramingError:
            pass


@given(heads, st.data())
def test_a_shortened_head_is_a_framing_error(head: Head, data: st.DataObject) -> None:
    packet = head.encode()
    end = data.draw(st.integers(0, len(packet) - 1))
    with pytest.raises(FramingError):
        Head.decode(packet[:end])


def test_an_inline_head_has_to_tell_the_truth_about_lengths() -> None:
    packet = Head(False, INLINE, 0, [2, 3]).encode()
    assert Head.decode(packet + b"12345")[0].lengths == [2, 3]
    for wrong in (b"", b"1234", b"123456"):
        with pytest.raises(FramingError):
            Head.decode(packet + wrong)


def test_a_head_has_between_one_and_a_thousand_parts() -> None:
    assert Head.decode(Head(True, PRIVATE, 0, [1] * MAX_PARTS).encode())
    with pytest.raises(FramingError):
        Head(True, PRIVATE, 0, [1] * (MAX_PARTS + 1)).encode()
    with pytest.raises(FramingError):
        Head.decode(Head(True, PRIVATE, 0, []).encode())


# -------------------------------------------------------------------------- buffers


class Swapped(ctypes.BigEndianStructure):
    _fields_ = (("a", ctypes.c_uint16), ("b", ctypes.c_uint8))


def test_flat_takes_any_contiguous_buffer_without_a_copy() -> None:
    numbers = array.array("i", [1, 2, 3])
    view = flat(numbers)
    assert view.nbytes == len(view) == 12
    assert view.obj is numbers or view == memoryview(numbers).cast("B")
    view[0] = 9
    assert numbers[0] == 9
    del view
    given = memoryview(bytes(24)).cast("i", (2, 3))
    assert flat(given) == bytes(24)


def test_flat_takes_formats_that_cast_refuses() -> None:
    numbers = (ctypes.c_int * 3)(1, 2, 3)  # the format is "<i"
    assert flat(numbers) == array.array("i", [1, 2, 3]).tobytes()
    assert flat(Swapped(258, 3)) == bytes(Swapped(258, 3))
    matrix = ((ctypes.c_short * 2) * 3)()
    assert flat(matrix) == bytes(12)


def test_flat_takes_empty_buffers() -> None:
    for empty in (b"", array.array("d"), memoryview(b"ab")[2:], (ctypes.c_int * 0)()):
        assert bytes(flat(empty)) == b""


def test_flat_copies_what_is_not_contiguous() -> None:
    assert bytes(flat(memoryview(b"abcdef")[::2])) == b"ace"
    assert bytes(flat(memoryview(b"abc")[::-1])) == b"cba"
    numbers = memoryview(array.array("h", range(6)))[::2]
    assert flat(numbers) == array.array("h", [0, 2, 4]).tobytes()


def test_flat_takes_a_single_item() -> None:
    assert bytes(flat(ctypes.c_int(1))) == (1).to_bytes(4, sys.byteorder)


# ---------------------------------------------------------------- messages to packets


def joined(message: Message) -> bytes:
    return b"".join(bytes(buffer) for buffer in inline_packet(message))


def test_a_small_pickle_is_a_packet_as_it_is() -> None:
    assert joined(Message([b"\x80\x05N."])) == b"\x80\x05N."


def test_raw_bytes_get_one_byte_so_that_no_packet_is_empty() -> None:
    assert joined(Message([b""], pickled=False)) == b"\0"
    assert joined(Message([b"\x80x"], pickled=False)) == b"\0\x80x"


@pytest.mark.parametrize(
    "message",
    [
        Message([b"\x80", b"buffer"]),
        Message([b"protocol 0."]),
        Message([b""]),
        Message([b"\x80"], [7]),
        Message([b"raw", b""], [7, 8], pickled=False),
    ],
)
def test_everything_else_small_gets_a_head(message: Message) -> None:
    head, rest = Head.decode(joined(message))
    assert head.transport == INLINE
    assert (head.pickled, head.handles) == (message.pickled, len(message.handles))
    assert split_inline(head, rest) == message.parts


def test_limits_of_one_packet() -> None:
    assert fits_inline(Message([bytes(INLINE_LIMIT)], range(MAX_HANDLES)))
    assert not fits_inline(Message([bytes(INLINE_LIMIT), b"1"]))
    assert not fits_inline(Message([b""], range(MAX_HANDLES + 1)))


def test_descriptors_that_do_not_fit_go_ahead_of_the_bytes() -> None:
    message = Message([b"abc"], range(600))
    packets = list(fragment_packets(message, FRAGMENTS, 2))
    assert [len(handles) for _, handles in packets] == [253, 253, 94, 0, 0]
    assert [fd for _, handles in packets for fd in handles] == list(range(600))
    assert packets[1][0] == [bytes([HANDLES])]
    packets = list(fragment_packets(message, PRIVATE, 3))
    assert [len(handles) for _, handles in packets] == [253, 253, 94, 0]


# ------------------------------------------------------------------------ assembling


def assemble(assembler: Assembler, data: bytes, sizes: Sequence[int]) -> None:
    """Write *data* piece by piece, as a receiver does."""
    for size in sizes:
        with assembler.wanted() as view:
            view[:size] = data[:size]
        assembler.filled += size
        data = data[size:]
        assembler.complete()


@settings(max_examples=50)
@given(
    st.lists(st.binary(max_size=50), min_size=1, max_size=6),
    st.integers(1, 7),
    st.booleans(),
)
def test_fragments_make_the_message_again(
    parts: list[bytes], fragment: int, pickled: bool
) -> None:
    packets = fragment_packets(Message(parts, (), pickled), PRIVATE, fragment)
    assembler = Assembler([len(part) for part in parts])
    for (piece,), _ in packets:
        assert not assembler.complete()
        assemble(assembler, bytes(piece), [len(bytes(piece))])
    assert assembler.complete()
    first, *others = assembler.parts()
    assert [first, *others] == parts
    assert type(first) is bytes
    assert all(type(other) is bytearray for other in others)


def test_memory_grows_as_bytes_arrive() -> None:
    for lengths in ([2**62], [0, 2**62]):
        assembler = Assembler(lengths)
        assert not assembler.complete()
        with assembler.wanted() as view:
            assert len(view) == GROWTH
        assembler.filled += GROWTH - WINDOW + 1
        with assembler.wanted() as view:
            assert WINDOW <= len(view) <= GROWTH


def test_bytes_stay_while_memory_grows() -> None:
    data = bytes(range(256)) * 12_000  # 3 MB
    for lengths in ([len(data)], [0, len(data)]):
        assembler = Assembler(lengths)
        assembler.complete()
        assemble(assembler, data, [200_000] * 15 + [72_000])
        assert assembler.complete()
        assert assembler.parts()[-1] == data


def test_a_fragment_longer_than_its_part_is_a_framing_error() -> None:
    assembler = Assembler([5, 5])
    assembler.filled += 6
    with pytest.raises(FramingError):
        assembler.complete()


def test_a_message_of_one_part_goes_where_the_receiver_wants_it() -> None:
    memory = bytearray(10)
    assembler = Assembler([4], memoryview(memory)[2:])
    assemble(assembler, b"abcd", [1, 3])
    assert assembler.placed
    assert assembler.complete()
    assert assembler.parts() == [b"abcd"]
    assert memory == b"\0\0abcd\0\0\0\0"


@pytest.mark.parametrize("lengths", [[11], [3, 3]])
def test_memory_that_does_not_fit_is_left_alone(lengths: list[int]) -> None:
    assert not Assembler(lengths, memoryview(bytearray(10))).placed


def test_half_a_message_can_leave_the_memory_of_the_receiver() -> None:
    memory = bytearray(6)
    assembler = Assembler([6], memoryview(memory))
    assemble(assembler, b"ab", [2])
    assembler.leave()
    memory[:] = b"xxxxxx"
    assemble(assembler, b"cdef", [4])
    assert assembler.complete()
    assert assembler.parts() == [b"abcdef"]
    assert memory == b"xxxxxx"
