"""Frames of streams, apart from any I/O."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, strategies as st

from mp_connection import FramingError
from mp_connection._stream_framing import (
    LONGEST,
    SHORT_LIMIT,
    FrameDecoder,
    FrameReader,
    TooLongError,
    header,
)

messages = st.lists(st.binary(max_size=300), max_size=8)


def fill(reader: FrameReader, piece: bytes) -> bool:
    """Put bytes where the reader wants them, as a channel does."""
    with reader.wanted() as view:
        view[: len(piece)] = piece
    if reader.body is None:
        reader.filled += len(piece)
    else:
        reader.body.filled += len(piece)
    return reader.check()


def stream_of(parts: list[bytes]) -> bytes:
    return b"".join(header(len(part)) + part for part in parts)


def test_a_short_header_is_a_big_endian_number_of_four_bytes() -> None:
    assert header(0) == b"\0\0\0\0"
    assert header(258) == b"\0\0\1\2"
    assert header(SHORT_LIMIT) == b"\x7f\xff\xff\xff"


def test_a_long_header_is_minus_one_and_eight_bytes() -> None:
    assert header(SHORT_LIMIT + 1) == b"\xff\xff\xff\xff\0\0\0\0\x80\0\0\0"
    assert header(LONGEST)[4:] == b"\x7f" + b"\xff" * 7


@given(messages, st.data())
def test_messages_come_out_whole_however_the_stream_is_split(
    parts: list[bytes], data: st.DataObject
) -> None:
    stream = stream_of(parts)
    decoder = FrameDecoder()
    received = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:size])
        stream = stream[size:]
    assert received == parts
    assert not decoder.started


@given(messages, st.data())
def test_a_truncated_stream_ends_within_a_message(
    parts: list[bytes], data: st.DataObject
) -> None:
    stream = stream_of([*parts, b"the last"])
    cut = data.draw(st.integers(0, len(stream) - 1))
    decoder = FrameDecoder()
    received = decoder.feed(stream[:cut])
    assert received == parts[: len(received)]
    assert stream_of(received) == stream[:cut] or decoder.started


@given(st.binary(max_size=2000), st.integers(0, 100))
def test_any_bytes_give_messages_or_an_error(data: bytes, limit: int) -> None:
    decoder = FrameDecoder(limit)
    try:
        received = decoder.feed(data)
    except FramingError:
        return
    assert all(len(message) <= limit for message in received)


@given(st.binary(min_size=1, max_size=600), st.data())
def test_how_the_stream_is_split_makes_no_difference(
    stream: bytes, data: st.DataObject
) -> None:
    def outcome(pieces: list[bytes]) -> tuple[list[bytes], bool]:
        decoder, received = FrameDecoder(100), []
        try:
            for piece in pieces:
                received += decoder.feed(piece)
        except FramingError:
            return [], True
        return received, False

    cut = data.draw(st.integers(0, len(stream)))
    assert outcome([stream[:cut], stream[cut:]]) == outcome([stream])


@given(st.integers(-(1 << 31), -2))
def test_a_negative_length_is_an_error(size: int) -> None:
    with pytest.raises(FramingError, match="not the header"):
        FrameDecoder().feed(struct.pack(">i", size))


def test_a_length_that_no_object_can_have_is_an_error() -> None:
    with pytest.raises(FramingError, match="not the header"):
        FrameDecoder().feed(b"\xff" * 12)


def test_an_extended_header_may_announce_a_short_message() -> None:
    assert FrameDecoder().feed(b"\xff" * 4 + bytes(7) + b"\3abc") == [b"abc"]


def test_a_message_over_the_limit_is_refused_by_its_header() -> None:
    with pytest.raises(TooLongError) as caught:
        FrameDecoder(limit=256).feed(header(257))
    assert caught.value.size == 257
    assert FrameDecoder(limit=256).feed(header(256) + bytes(256)) == [bytes(256)]


def test_a_header_allocates_nothing_of_what_it_claims() -> None:
    reader = FrameReader()
    assert not fill(reader, header(1 << 40)[:4])
    assert not fill(reader, header(1 << 40)[4:])
    assert reader.size == 1 << 40
    with reader.wanted() as view:
        assert len(view) <= 1 << 20


def test_bytes_land_in_memory_that_was_offered() -> None:
    memory = bytearray(10)
    reader = FrameReader()
    reader.allow(None, memoryview(memory))
    assert [fill(reader, piece) for piece in (header(3), b"ab", b"c")] == [0, 0, 1]
    assert reader.placed
    assert bytes(memory) == b"abc" + bytes(7)


def test_what_arrived_can_leave_the_memory_that_was_offered() -> None:
    memory = bytearray(10)
    reader = FrameReader()
    reader.allow(None, memoryview(memory))
    fill(reader, header(3))
    fill(reader, b"ab")
    reader.leave()
    memory[:] = b"-" * 10
    assert fill(reader, b"c")
    assert not reader.placed
    assert bytes(reader.take()) == b"abc"


@pytest.mark.parametrize("early", [b"", b"ab", b"abc"])
def test_bytes_that_were_received_by_themselves_count(early: bytes) -> None:
    reader = FrameReader()
    fill(reader, header(3))
    reader.early = early
    if not reader.check():
        fill(reader, b"abc"[len(early) :])
    assert reader.complete
    assert bytes(reader.take()) == b"abc"
    assert not reader.started


def test_a_limit_holds_for_a_message_under_way() -> None:
    reader = FrameReader()
    fill(reader, header(300))
    fill(reader, bytes(10))
    with pytest.raises(TooLongError):
        reader.allow(256)
