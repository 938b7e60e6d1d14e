"""Large buffers of tasks: mapped into workers, and not copied to each of them.

A pickle of protocol 5 leaves its buffers to whoever transports it.  A large one is
copied once into a file without a name, which travels as a descriptor with each task
that has it; what lies in a file of the user's already is not copied at all.
"""

from __future__ import annotations

import mmap
import os
import sys
from pickle import PickleBuffer

from mp_connection.handles import Handle
from mp_pool._progress import anonymous_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from mp_connection.handles import ReceivedHandle

    #: How workers may write to what is mapped: not at all, for all, each for itself.
    Mode = Literal["r", "r+", "w+", "c"]

_ACCESS = {
    "r": mmap.ACCESS_READ,
    "r+": mmap.ACCESS_WRITE,
    "w+": mmap.ACCESS_WRITE,
    "c": mmap.ACCESS_COPY,
}


class Mapped:
    """A copy of a buffer in a file without a name, open as long as the object lives.

    Args:
        data: the buffer.
        mode: how receivers map it.
    """

    __slots__ = ("_fd", "_mode")

    def __init__(self, data: memoryview, mode: Mode) -> None:
        self._mode = mode
        self._fd = anonymous_file()
        written = 0
        while written < data.nbytes:  # a call writes 2 GiB at most
            written += os.write(self._fd, data[written:])

    def __reduce__(self) -> tuple[object, ...]:
        return _map_received, (Handle(self._fd), _ACCESS[self._mode])

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd != -1:
            self._fd = -1
            os.close(fd)


def _map_received(handle: ReceivedHandle, access: int) -> memoryview:
    fd = handle.take()
    try:
        return memoryview(mmap.mmap(fd, 0, access=access))
    finally:
        os.close(fd)


class Slice:
    """A part of a file of the user's that is mapped here.

    Args:
        path: the file.
        offset: where the part begins.
        length: its length.
        mode: how receivers map it.
    """

    __slots__ = ("_length", "_mode", "_offset", "_path")

    def __init__(self, path: str, offset: int, length: int, mode: Mode) -> None:
        self._path, self._offset, self._length = path, offset, length
        self._mode = mode

    def __reduce__(self) -> tuple[object, ...]:
        access = _ACCESS[self._mode]
        return _map_slice, (self._path, self._offset, self._length, access)


def _map_slice(path: str, offset: int, length: int, access: int) -> memoryview:
    writes = access == mmap.ACCESS_WRITE
    with open(path, "r+b" if writes else "rb") as file:
        before = offset % mmap.ALLOCATIONGRANULARITY
        whole = mmap.mmap(
            file.fileno(), before + length, access=access, offset=offset - before
        )
    return memoryview(whole)[before:]


class Buffers:
    """The large buffers of some tasks, each of which is copied once.

    It keeps what they are of, so that another object at the same place is never taken
    for one.  One thread at a time may use it.

    Args:
        least: bytes from which a buffer is mapped; smaller ones travel with the task.
        mode: how workers map them.
    """

    def __init__(self, least: int, mode: Mode) -> None:
        self._least = least
        self._mode = mode
        self._known: dict[object, tuple[object, Mapped | Slice]] = {}

    def transported(self, buffer: PickleBuffer) -> PickleBuffer | Mapped | Slice:
        """What is to travel in the place of a buffer."""
        data = buffer.raw()
        if data.nbytes < max(self._least, 1):
            return buffer
        place = _place(data.obj)
        key = (id(data.obj) if place is None else place, data.nbytes)
        known = self._known.get(key)
        if known is None:
            source = None if place is None else _mapped_file(data.obj, place)
            large = (
                Mapped(data, self._mode)
                if source is None
                else Slice(*source, data.nbytes, self._mode)
            )
            known = self._known[key] = data.obj, large
        return known[1]

    def contiguous(self, array: Any) -> Any:
        """An array whose elements lie side by side; the same for the same array."""
        flags = array.flags
        if flags.c_contiguous or flags.f_contiguous or array.nbytes < self._least:
            return array
        key = ("contiguous", id(array))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = array, array.copy()
        return known[1]


def _place(obj: Any) -> int | None:
    """The address of an array, of which there may be many views."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(obj, numpy.ndarray):
        return None
    address: int = obj.__array_interface__["data"][0]
    return address


def _mapped_file(array: Any, place: int) -> tuple[str, int] | None:
    """The file that an array is mapped from, and where in it; None if there is none."""
    numpy = sys.modules["numpy"]
    base = array
    while isinstance(base.base, numpy.ndarray):
        base = base.base
    if not isinstance(base, numpy.memmap) or base.filename is None:
        return None
    if base.mode == "c":
        return None  # the file has not what was written here
    start: int = base.__array_interface__["data"][0]
    return os.fspath(base.filename), base.offset + place - start
