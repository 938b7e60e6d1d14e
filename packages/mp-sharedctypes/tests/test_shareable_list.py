"""Lists in shared memory."""

from __future__ import annotations

import sys
from typing import Any

import mp_sharedctypes_targets as targets
import pytest
from hypothesis import given, settings, strategies as st

from mp_connection import Pipe
from mp_process import get_context
from mp_sharedctypes.shared_memory import ShareableList, SharedMemory
from mp_testing import StartMethod

assert sys.platform == "linux"

ITEMS: list[Any] = [
    5, -(2**63), 2**63 - 1, 0.5, float("-inf"), True, False, None, "", "text", "x" * 8,
    "\N{PILE OF POO}", b"", b"bytes", b"x" * 100, "zeros\0\0", b"zeros\0\0", b"\0",
    "\0" * 8,
]  # fmt: skip


def sent(obj: Any) -> Any:
    """What comes out of a connection."""
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send(obj)
        return theirs.recv()


def closed(made: ShareableList[Any]) -> None:
    made.shm.close()


def test_items_are_kept_as_they_are() -> None:
    made = ShareableList(ITEMS)
    other = sent(made)
    for each in (made, other):
        assert [(type(i), i) for i in each] == [(type(i), i) for i in ITEMS]
    assert len(made) == len(ITEMS)
    assert made[-1] == ITEMS[-1]
    assert list(reversed(other)) == ITEMS[::-1]
    assert "text" in made
    assert "nothing" not in made
    assert ITEMS[3:5] == [made[3], made[4]]
    assert repr(made).startswith("<ShareableList [5, ")
    closed(made)
    closed(other)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False), st.binary(max_size=30),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from([b"a\0", b"\0\0", "b\0\0"]),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(scalars, max_size=6), st.lists(st.tuples(st.integers(0, 5), scalars)))
def test_it_is_a_list(items: list[Any], changes: list[tuple[int, Any]]) -> None:
    """Against one that is."""
    made = ShareableList(items)
    model = list(items)
    for index, item in changes:
        size = 8
        if isinstance(item, (str, bytes)):
            size = len(item.encode() if isinstance(item, str) else item)
        if index >= len(items):
            with pytest.raises(IndexError):
                made[index] = item
        elif size > made._starts[index + 1] - made._starts[index]:
            with pytest.raises(ValueError, match="do not fit"):
                made[index] = item
        else:
            made[index] = item
            model[index] = item
        assert [(type(i), i) for i in made] == [(type(i), i) for i in model]
    closed(made)


def test_counting() -> None:
    made = ShareableList([1, 2, 2, "x"])
    assert (made.count(2), made.count("y"), made.index("x")) == (2, 0, 3)
    with pytest.raises(ValueError, match="'y' is not in the list"):
        made.index("y")
    closed(made)


def test_the_format_says_what_is_there() -> None:
    made = ShareableList([1, 2.5, True, None, "abc", b"x" * 8])
    assert made.format == "qdxxxxxxx?xxxxxx?x8s16s"
    made[0] = None
    made[4] = 1
    assert made.format == "xxxxxx?xdxxxxxxx?xxxxxx?xq16s"
    closed(made)


def test_what_does_not_fit_changes_nothing() -> None:
    made = ShareableList([1, "short"])
    for index, item, error in (
        (0, "123456789", ValueError),
        (1, b"123456789", ValueError),
        (0, 2**63, OverflowError),
        (0, -(2**63) - 1, OverflowError),
        (0, [], TypeError),
        (0, 1j, TypeError),
        (2, 1, IndexError),
        (-3, 1, IndexError),
    ):
        with pytest.raises(error):
            made[index] = item
    assert list(made) == [1, "short"]
    for key in (slice(1), 2, -3, "x"):
        with pytest.raises((TypeError, IndexError, AttributeError)):
            made[key]  # type: ignore[index]
    made[0] = made[1] = "12345678"
    assert list(made) == ["12345678"] * 2
    closed(made)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([[]],), TypeError),
        (([2**63],), OverflowError),
        (([b"x" * 10_000_000],), ValueError),
        ((5,), TypeError),
        ((), TypeError),
    ],
)
def test_wrong_arguments(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ShareableList(*arguments)


def test_long_strings() -> None:
    longest = b"x" * 9_999_990
    made = ShareableList([longest])
    assert made[0] == longest
    closed(made)


def test_names() -> None:
    made = ShareableList([1, "x"], name="mp-test-list")
    other: ShareableList[int | str] = ShareableList(name="mp-test-list")
    other[0] = 7
    assert list(made) == [7, "x"]
    made.shm.unlink()
    closed(made)
    closed(other)
    with pytest.raises(FileNotFoundError):
        ShareableList(name="mp-test-list")


@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        b"\xff" * 64,
        b"\x01" + bytes(7),
        b"\x01" + bytes(7) + b"\xff" * 56,
        b"\x05" + bytes(207),
        (2**40).to_bytes(8, "little") + bytes(64),
        b"\x01" + bytes(15) + (2**40).to_bytes(8, "little") + bytes(40),
    ],
)
def test_a_block_without_a_list_is_refused(content: bytes) -> None:
    block = SharedMemory("mp-test-list", create=True, size=len(content))
    block.buf[:] = content
    with pytest.raises(ValueError, match="there is no list in"):
        ShareableList(name="mp-test-list")
    block.unlink()
    block.close()


def test_an_item_of_unknown_format_is_refused() -> None:
    made = ShareableList([1])
    made.shm.buf[made._formats] = ord("z")
    with pytest.raises(ValueError, match="there is no list in"):
        made[0]
    closed(made)


def test_children_share_it(start_method: StartMethod) -> None:
    made = ShareableList(["start..", 2])
    process = get_context(start_method).Process(
        target=targets.change_list, args=(made,)
    )
    process.start()
    process.join()
    assert list(made) == ["changed", 2]
    closed(made)
