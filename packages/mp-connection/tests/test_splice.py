"""`recv_bytes` returns one pickle, whose buffers were put back in."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings, strategies as st

from mp_connection import FramingError, Pipe
from mp_connection._splice import splice


def pickled(obj: object) -> tuple[bytes, list[memoryview]]:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(obj, 5, buffer_callback=buffers.append)
    return data, [buffer.raw() for buffer in buffers]


class Array:
    """Pickles its buffer out of band, like an array."""

    def __init__(self, data: bytearray | bytes, name: str = "") -> None:
        self.data = data
        self.name = name

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return Array, (pickle.PickleBuffer(self.data), self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and bytes(self.data) == bytes(other.data)

    def __hash__(self) -> int:
        return 0


values = st.recursive(
    st.one_of(
        st.integers(),
        st.text(max_size=5),
        st.binary(max_size=10),
        st.binary(max_size=10).map(Array),
        st.binary(max_size=10).map(lambda b: Array(bytearray(b))),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        # The same object twice: a reference to the memo.
        inner.map(lambda value: [value, value]),
    ),
    max_leaves=10,
)


@settings(max_examples=100)
@given(values)
def test_a_spliced_pickle_loads_to_the_same(value: object) -> None:
    data, buffers = pickled(value)
    assert pickle.loads(splice(data, buffers)) == value


def test_read_only_buffers_become_bytes_and_others_bytearrays() -> None:
    data, buffers = pickled([Array(b"ro"), Array(bytearray(b"rw"))])
    first, second = pickle.loads(splice(data, buffers))
    assert type(first.data) is bytes
    assert type(second.data) is bytearray


def test_the_memo_keeps_its_numbers() -> None:
    array, text = Array(bytearray(b"a")), "text"
    value = [array, text, Array(b"b"), text, array, (text, array)]
    data, buffers = pickled(value)
    spliced = pickle.loads(splice(data, buffers))
    assert spliced == value
    assert spliced[0] is spliced[4] is spliced[5][1]
    assert spliced[1] is spliced[3]


def test_the_same_buffer_twice_is_put_in_twice() -> None:
    buffer = pickle.PickleBuffer(bytearray(b"z"))
    data, buffers = pickled([buffer, buffer, "s", "s"])
    assert pickle.loads(splice(data, buffers)) == [b"z", b"z", "s", "s"]


def test_frames_of_a_large_pickle_are_left_out() -> None:
    value = [b"x" * 100, list(range(50_000)), Array(bytearray(70_000)), b"y" * 70_000]
    data, buffers = pickled(value)
    assert pickle.loads(splice(data, buffers)) == value


@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_the_number_of_buffers_has_to_match(wrong: int) -> None:
    data, buffers = pickled([Array(b"1"), Array(b"2")])
    with pytest.raises(FramingError):
        splice(data, (buffers * 2)[:wrong])


@given(st.binary(max_size=30), st.integers(0, 2))
def test_what_is_no_pickle_is_a_framing_error(data: bytes, count: int) -> None:
    try:
        splice(data, [memoryview(b"x")] * count)
    except FramingError:
        pass


def test_recv_bytes_of_an_object_with_buffers_loads() -> None:
    a, b = Pipe()
    with a, b:
        value = [Array(bytearray(70_000)), "text", Array(b"12")]
        a.send(value)
        assert pickle.loads(b.recv_bytes()) == value
        a.send(value[1:])
        memory = bytearray(1000)
        count = b.recv_bytes_into(memory)
        assert pickle.loads(memory[:count]) == value[1:]
