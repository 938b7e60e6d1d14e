"""Large bytes of a pickle travel as parts of their own."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from mp_connection import Pipe
from mp_connection._cutting import cut
from mp_connection._framing import INLINE_LIMIT, MAX_PARTS, Message
from mp_connection._pickle_walk import LARGE, walk
from mp_connection._pickling import (
    message_of_bytes,
    pickle_message,
    pickle_with_handles,
)
from mp_connection._splice import splice
from mp_connection.channel import PacketChannel, packet_pair, unpickle

BIG = bytes(range(256)) * (LARGE // 256)


class Array:
    """Pickles its buffer out of band, like an array."""

    def __init__(self, data: bytearray | bytes) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return Array, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and bytes(self.data) == bytes(other.data)

    def __hash__(self) -> int:
        return 0


def arrive(message: Message) -> list[Any]:
    """The parts as their receiver has them."""
    first, *parts = message.parts
    return [bytes(first)] + [
        bytes(part) if index in message.as_bytes else bytearray(part)
        for index, part in enumerate(parts, 1)
    ]


def load(parts: list[Any]) -> Any:
    return pickle.loads(parts[0], buffers=parts[1:])


values = st.recursive(
    st.sampled_from([BIG, BIG + b"x", bytearray(BIG), BIG[:-1], "t" * LARGE])
    | st.integers() | st.none() | st.just(list(range(30_000)))
    | st.binary(max_size=9).map(Array) | st.just(Array(bytearray(BIG))),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    | inner.map(lambda value: [value, value]),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.parametrize("make", [pickle_message, pickle_with_handles])
@given(value=values)
@settings(deadline=None, max_examples=60)
def test_what_is_cut_loads_to_the_same(make: Any, value: object) -> None:
    message = make(value)
    before, buffers = bytes(message.parts[0]), len(message.parts) - 1
    cut(message)
    parts = arrive(message)
    assert load(parts) == value
    if parts[1:]:
        spliced = splice(parts[0], parts[1:])
        assert pickle.loads(spliced) == value
        assert buffers or spliced == before
    # Nothing large stays behind.
    for _, code, _, size in walk(message.parts[0]):
        assert size < LARGE or chr(code) in "X\x8d\x95"


def test_large_bytes_lie_where_they_were() -> None:
    message = pickle_message([BIG, {"k": bytearray(BIG)}, BIG * 3])
    whole = message.parts[0].obj
    cut(message)
    first, *parts = message.parts
    assert len(first) < 100
    assert [part.obj is whole for part in parts] == [True] * 3
    assert message.as_bytes == [1, 3]


def test_a_message_is_cut_once() -> None:
    message = pickle_message([BIG, bytearray(BIG)])
    cut(message)
    parts = message.parts
    cut(message)
    assert message.parts is parts


def test_buffers_keep_their_places_between_large_bytes() -> None:
    value = [Array(b"1"), BIG, Array(b"2"), Array(b"3"), BIG + b"4", Array(b"5")]
    message = pickle_message(value)
    cut(message)
    sizes = [len(part) for part in message.parts[1:]]
    assert sizes == [1, LARGE, 1, 1, LARGE + 1, 1]
    assert load(arrive(message)) == value


def test_there_are_no_more_parts_than_a_head_can_tell_of() -> None:
    value = [*[BIG] * 3, *[BIG + b"%d" % number for number in range(MAX_PARTS + 5)]]
    message = pickle_message(value)
    cut(message)
    assert len(message.parts) == MAX_PARTS
    assert load(arrive(message)) == value


@pytest.mark.parametrize(
    "message",
    [
        Message([bytes(LARGE * 2)]),
        Message([b"\x80\x05" + b"N" * LARGE]),
        Message([b"\x80\x05\x8e" + b"\xff" * LARGE]),
        Message([pickle.dumps(BIG, 3)]),
        Message([pickle.dumps(BIG, 5)], pickled=False),
        Message([pickle.dumps(BIG, 5), b"a buffer of unknown place"]),
    ],
)
def test_what_is_no_such_pickle_stays_as_it_is(message: Message) -> None:
    parts = message.parts
    cut(message)
    assert message.parts is parts
    assert not message.as_bytes


@pytest.mark.parametrize("size", [5, LARGE, 3 * LARGE])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_that_are_not_pickled_keep_their_type(
    size: int, kind: type[bytes | bytearray]
) -> None:
    """Whether they travel inline or by themselves."""
    near, far = packet_pair(shared=True)
    a, b = PacketChannel(near, True), PacketChannel(far, True)
    value = kind(size)
    sender = threading.Thread(target=lambda: a.send(message_of_bytes(value)))
    sender.start()
    got = unpickle(b.recv())
    assert got == value
    assert type(got) is kind
    sender.join()
    a.close()
    b.close()


class _Bytes(bytes):
    """More than its bytes: it has attributes."""


@pytest.mark.parametrize("size", [INLINE_LIMIT, INLINE_LIMIT + 1, 20 * LARGE])
@pytest.mark.parametrize("kind", [bytes, bytearray, _Bytes])
def test_a_connection_sends_bytes_of_every_kind(
    size: int, kind: type[bytes | bytearray]
) -> None:
    a, b = Pipe()
    with a, b:
        value = kind(size)
        for as_bytes in (False, True):
            sender = threading.Thread(target=a.send, args=(value,))
            sender.start()
            got: Any = pickle.loads(b.recv_bytes()) if as_bytes else b.recv()
            sender.join()
            assert got == value
            assert type(got) is kind


def test_they_arrive_as_the_objects_that_they_were() -> None:
    a, b = Pipe()
    with a, b:
        array = Array(bytearray(b"and a buffer"))
        value = {"bytes": BIG, "array": bytearray(BIG), "again": BIG, "other": array}
        a.send(value)
        got: Any = b.recv()
        assert got == value
        assert type(got["bytes"]) is bytes
        assert type(got["array"]) is bytearray
        assert got["again"] is got["bytes"]
        a.send(value)
        assert pickle.loads(b.recv_bytes()) == value
