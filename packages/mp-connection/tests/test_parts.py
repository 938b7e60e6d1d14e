"""Memory of large messages: cleared by Python, or not at all by the extension."""

from __future__ import annotations

import sys
from threading import Thread

import pytest
from mp_connection_memory import resident

from mp_connection import Pipe, _parts
from mp_connection._backend import native
from mp_connection._parts import part_of

#: In place of `_parts.AT_ONCE`.
AT_ONCE = 1 << 20
TEXT = bytes(range(256)) * 8

needs_native = pytest.mark.skipif(native is None, reason="MP_CONNECTION_BACKEND")


@pytest.fixture(autouse=True)
def _less_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_parts, "AT_ONCE", AT_ONCE)


@pytest.mark.parametrize("solid", [True, False], ids=["bytes", "bytearray"])
def test_a_part_becomes_what_was_written(backend: str, solid: bool) -> None:
    part = part_of(len(TEXT), solid)
    for begin in range(0, len(TEXT), 500):
        end = min(begin + 500, len(TEXT))
        with part.view(end) as view:
            assert len(view) >= end
            view[begin:end] = TEXT[begin:end]
    result = part.result()
    assert type(result) is (bytes if solid else bytearray)
    assert result == TEXT
    # An exception may have kept the first from whoever asked.
    assert part.result() == TEXT


@pytest.mark.parametrize("solid", [True, False], ids=["bytes", "bytearray"])
def test_a_part_of_nothing(backend: str, solid: bool) -> None:
    part = part_of(0, solid)
    with part.view(0) as view:
        assert not len(view)
    assert part.result() == b""


def test_memory_that_is_not_cleared_comes_at_once(backend: str) -> None:
    with part_of(AT_ONCE).view(1) as view:
        assert len(view) == (AT_ONCE if backend == "native" else 1)


@pytest.mark.parametrize("solid", [True, False], ids=["bytes", "bytearray"])
def test_a_long_part_grows_as_its_bytes_arrive(backend: str, solid: bool) -> None:
    size = 10 * AT_ONCE + 5
    part = part_of(size, solid)
    lengths = []
    for begin in range(0, size, AT_ONCE // 2):
        end = min(begin + AT_ONCE // 2, size)
        with part.view(end) as view:
            lengths.append(len(view))
            view[begin:end] = bytes([begin % 255]) * (end - begin)
    result = memoryview(part.result())
    assert len(result) == size
    for begin in range(0, size, AT_ONCE // 2):
        assert result[begin] == result[begin : begin + AT_ONCE // 2][-1] == begin % 255
    assert lengths[0] < AT_ONCE


@pytest.mark.parametrize("solid", [True, False], ids=["bytes", "bytearray"])
def test_a_length_that_is_a_lie_takes_no_memory(backend: str, solid: bool) -> None:
    """Nor is it an error, before the bytes arrive."""
    for size in (1 << 38, 1 << 62, (1 << 63) - 1):
        before = resident()
        part = part_of(size, solid)
        with part.view(AT_ONCE) as view:
            assert len(view) == AT_ONCE
            view[:] = bytes(AT_ONCE)
        assert resident() - before < 8 * AT_ONCE


@needs_native
class TestPopulate:
    def test_pages_are_there_and_nothing_is_written(self) -> None:
        size = 64 << 20
        array = native.blank_array(size)  # type: ignore[union-attr]
        array[:100] = b"x" * 100
        before = resident()
        native.populate(array, 50, size // 2)  # type: ignore[union-attr]
        assert resident() - before > size // 4
        assert array[:100] == b"x" * 100

    @pytest.mark.parametrize("places", [(0, 0), (1, 2), (5, 4), (0, 8192)])
    def test_parts_of_pages_are_left(self, places: tuple[int, int]) -> None:
        array = bytearray(b"x" * 8192)
        native.populate(array, *places)  # type: ignore[union-attr]
        assert array == b"x" * 8192

    @pytest.mark.parametrize("places", [(-1, 2), (0, 8193)])
    def test_places_are_checked(self, places: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="not in the buffer"):
            native.populate(bytearray(8192), *places)  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 5 * AT_ONCE + 7])
def test_messages_of_the_length_at_which_memory_grows(backend: str, size: int) -> None:
    near, far = Pipe()
    sent = TEXT * (size // len(TEXT)) + TEXT[: size % len(TEXT)]
    sender = Thread(target=near.send_bytes, args=(sent,))
    sender.start()
    received = far.recv_bytes()
    sender.join()
    assert len(received) == size
    assert received == sent
    near.close()
    far.close()


@needs_native
def test_bytes_that_somebody_has_do_not_change() -> None:
    assert native is not None
    blank = native.Blank(4)
    view = blank.view(4)
    view[:] = b"abcd"
    copied = blank.result()
    view[:] = b"efgh"
    assert copied == b"abcd"
    view.release()
    result = blank.result()
    assert blank.result() is result
    with pytest.raises(BufferError, match="complete"):
        blank.view(4)
    assert result == b"efgh"
    del result
    with blank.view(4) as again:
        assert again == b"efgh"


@needs_native
def test_sizes_that_there_is_no_memory_for() -> None:
    assert native is not None
    for make in (native.Blank, native.blank_array):
        with pytest.raises(ValueError, match="negative"):
            make(-1)
        with pytest.raises(MemoryError):
            make(1 << 62)
        with pytest.raises((OverflowError, MemoryError)):
            make(sys.maxsize)
        with pytest.raises(TypeError):
            make("4")
