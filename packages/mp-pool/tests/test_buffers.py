"""Large buffers of tasks: copied once, found again, and read where they lie."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import pytest

from mp_connection import Pipe
from mp_connection.errors import HandleError
from mp_pool._buffers import Buffers, Mapped, Slice

assert sys.platform == "linux"

if TYPE_CHECKING:
    from mp_pool._buffers import Mode

LEAST = 1000
MODES: tuple[Mode, ...] = ("r", "r+", "w+", "c")


def buffers_of(obj: object) -> list[pickle.PickleBuffer]:
    """What protocol 5 leaves to the transport."""
    found: list[pickle.PickleBuffer] = []
    pickle.Pickler(io.BytesIO(), 5, buffer_callback=found.append).dump(obj)
    return found


def transported(buffers: Buffers, array: Any) -> object:
    (buffer,) = buffers_of(array)
    return buffers.transported(
        buffer, array if isinstance(array, numpy.ndarray) else None
    )


def arrived(sent: object) -> memoryview:
    """What a worker makes of what is sent."""
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send(sent)
        received: Any = theirs.recv()
    assert isinstance(received, memoryview)
    return received


def mapped_file(tmp_path: Path, mode: Any = "r+") -> Any:
    path = tmp_path / "file"
    numpy.arange(5000.0).tofile(path)
    return numpy.memmap(path, mode=mode, dtype=float, offset=4096)


def test_a_small_buffer_travels_with_its_task() -> None:
    (buffer,) = buffers_of(numpy.zeros(LEAST - 1, numpy.uint8))
    assert Buffers(LEAST, "r").transported(buffer) is buffer
    (buffer,) = buffers_of(numpy.zeros(0))
    assert Buffers(0, "r").transported(buffer) is buffer  # nothing can be mapped


def test_a_large_buffer_is_copied_once() -> None:
    buffers = Buffers(LEAST, "r")
    array = numpy.arange(LEAST)
    first = transported(buffers, array)
    assert isinstance(first, Mapped)
    assert transported(buffers, array) is first
    assert transported(buffers, array[:]) is not first
    assert transported(buffers, array[8:]) is not first
    assert arrived(first) == array.tobytes()


def test_an_array_in_the_order_of_fortran_is_found_again() -> None:
    """Its pickle has another object each time: a view that is turned."""
    buffers = Buffers(LEAST, "r")
    array = numpy.asfortranarray(numpy.arange(LEAST).reshape(10, -1))
    assert transported(buffers, array) is transported(buffers, array)


def test_bytes_are_mapped_too() -> None:
    buffers = Buffers(LEAST, "r")
    data = bytearray(os.urandom(LEAST))
    sent = transported(buffers, pickle.PickleBuffer(data))
    assert isinstance(sent, Mapped)
    assert arrived(sent) == data


def test_what_was_at_a_place_before_is_not_taken_for_what_is_there_now() -> None:
    buffers = Buffers(LEAST, "r")
    for fill in range(50):
        array = numpy.full(100_000, fill)
        assert arrived(transported(buffers, array))[0] == fill
        del array


def test_copies_go_with_their_arrays() -> None:
    """Tasks may have an array each, which together may be more than fits."""
    buffers = Buffers(LEAST, "r")
    before = len(os.listdir("/proc/self/fd"))
    array = numpy.arange(4 * LEAST)
    part = array[LEAST:]
    scattered = array[::2]
    for each in (array, part, buffers.contiguous(scattered)):
        transported(buffers, each)
    assert len(os.listdir("/proc/self/fd")) == before + 3
    del each, scattered
    assert len(os.listdir("/proc/self/fd")) == before + 2
    del part
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del array
    assert len(os.listdir("/proc/self/fd")) == before
    assert buffers._sent == buffers._together == {}


def test_elements_that_do_not_lie_side_by_side_are_put_there_once() -> None:
    buffers = Buffers(LEAST, "r")
    array = numpy.arange(4 * LEAST)
    scattered = array[::2]
    together = buffers.contiguous(scattered)
    assert together.flags.c_contiguous
    assert (together == scattered).all()
    assert buffers.contiguous(scattered) is together
    assert buffers.contiguous(array) is array
    few = numpy.arange(10)[::2]
    assert buffers.contiguous(few) is few


def test_a_file_that_is_mapped_here_is_not_copied(tmp_path: Path) -> None:
    buffers = Buffers(LEAST, "r")
    array = mapped_file(tmp_path)
    for part in (array, array[1000:], numpy.asarray(array)[17:2000]):
        sent = transported(buffers, part.view(numpy.ndarray))
        assert isinstance(sent, Slice)
        view = arrived(sent)
        assert view.readonly
        assert view == part.tobytes()
    array[5] = -1.0  # seen by all who have the file
    assert numpy.frombuffer(arrived(transported(buffers, array.view(numpy.ndarray))))[
        5
    ] == (-1.0)


def test_what_is_written_beside_a_file_is_copied(tmp_path: Path) -> None:
    array = mapped_file(tmp_path, "c")
    array[3] = -1.0
    sent = transported(Buffers(LEAST, "r"), array.view(numpy.ndarray))
    assert isinstance(sent, Mapped)
    assert numpy.frombuffer(arrived(sent))[3] == -1.0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("file", [False, True])
def test_modes(mode: Mode, file: bool, tmp_path: Path) -> None:
    """Receivers may not write, or write for all, or each for itself."""
    array: Any = mapped_file(tmp_path) if file else numpy.arange(2000.0)
    sent = transported(Buffers(LEAST, mode), array.view(numpy.ndarray))
    assert isinstance(sent, Slice if file else Mapped)
    one, other = (numpy.frombuffer(arrived(sent)) for _ in range(2))
    assert one.flags.writeable == (mode != "r")
    if mode == "r":
        return
    before = other[1]
    one[1] = -7.0
    assert other[1] == (-7.0 if mode != "c" else before)
    if file:
        array.flush()
        assert array[1] == other[1]
    else:
        assert array[1] == before


def test_files_are_closed_with_the_tasks() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    buffers = Buffers(LEAST, "r")
    views = [arrived(transported(buffers, numpy.arange(LEAST + i))) for i in range(9)]
    assert len(os.listdir("/proc/self/fd")) > len(before)
    del buffers, views
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_descriptor_is_not_pickled_to_bytes() -> None:
    sent = transported(Buffers(LEAST, "r"), numpy.arange(LEAST))
    with pytest.raises(HandleError):
        pickle.dumps(sent)


def test_where_memory_files_are_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> int:
        raise PermissionError(name)

    monkeypatch.setattr(os, "memfd_create", refused)
    array = numpy.arange(LEAST)
    assert arrived(transported(Buffers(LEAST, "r"), array)) == array.tobytes()


def test_more_than_one_call_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) takes 2 GiB at most, and may take less."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:700]))
    array: Any = numpy.arange(LEAST)
    assert arrived(Mapped(pickle.PickleBuffer(array).raw(), "r")) == array.tobytes()


def test_parts_of_files_begin_anywhere(tmp_path: Path) -> None:
    """mmap(2) takes multiples of a page only."""
    path = tmp_path / "file"
    data = os.urandom(3 * mmap.PAGESIZE)
    path.write_bytes(data)
    for offset in (0, 1, mmap.PAGESIZE - 1, mmap.PAGESIZE, mmap.PAGESIZE + 1):
        view = arrived(Slice(str(path), offset, LEAST, "r"))
        assert view == data[offset : offset + LEAST]
