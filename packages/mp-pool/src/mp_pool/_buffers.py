"""Large buffers of tasks: mapped into workers, and not copied to each of them.

A pickle of protocol 5 leaves its buffers to whoever transports it.  A large one is
copied once into a file without a name, which travels as a descriptor with each task
that has it; what lies in a file of the user's already is not copied at all.
"""

from __future__ import annotations

import mmap
import os
import sys
from weakref import ref

from mp_connection.handles import Handle
from mp_connection.lean import PickleBuffer
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
    """The large buffers of some tasks.  That of an array is copied once while it lives.

    Args:
        least: bytes from which a buffer is mapped; smaller ones travel with the task.
        mode: how workers map them.
    """

    def __init__(self, least: int, mode: Mode) -> None:
        self._least = least
        self._mode = mode
        #: By the identities of arrays, each of which takes along what is known of it.
        self._sent: dict[int, tuple[object, Mapped | Slice]] = {}
        self._together: dict[int, tuple[object, Any]] = {}

    def transported(
        self, buffer: PickleBuffer, array: Any = None
    ) -> PickleBuffer | Mapped | Slice:
        """What is to travel in the place of a buffer.

        Args:
            buffer: what is in the pickle.
            array: the array of numpy's that it is of; None for anything else.
        """
        data = buffer.raw()
        if data.nbytes < max(self._least, 1):
            return buffer
        if array is None:
            return Mapped(data, self._mode)
        known = self._sent.get(id(array))
        if known is not None:
            return known[1]
        source = _mapped_file(data.obj)
        large: Mapped | Slice
        if source is None:
            large = Mapped(data, self._mode)
        else:
            large = Slice(*source, data.nbytes, self._mode)
        _keep(self._sent, array, large)
        return large

    def contiguous(self, array: Any) -> Any:
        """An array whose elements lie side by side; the same for the same array."""
        flags = array.flags
        if flags.c_contiguous or flags.f_contiguous or array.nbytes < self._least:
            return array
        known = self._together.get(id(array))
        if known is None:
            together = array.copy()
            _keep(self._together, array, together)
            return together
        return known[1]

    def clear(self) -> None:
        """Let go of all copies; tasks that are under way have theirs."""
        self._sent.clear()
        self._together.clear()


def _keep(known: dict[int, tuple[object, Any]], array: Any, value: object) -> None:
    key = id(array)
    # Called before anything else can have the identity.
    known[key] = ref(array, lambda _: known.pop(key, None)), value


def _mapped_file(view: Any) -> tuple[str, int] | None:
    """The file that an array is mapped from, and where in it; None if there is none."""
    numpy = sys.modules["numpy"]
    owner = view
    while isinstance(owner.base, numpy.ndarray):
        owner = owner.base
    if not isinstance(owner, numpy.memmap) or owner.filename is None:
        return None
    if owner.mode == "c":
        return None  # the file has not what was written here
    place: int = view.__array_interface__["data"][0]
    start: int = owner.__array_interface__["data"][0]
    return os.fspath(owner.filename), owner.offset + place - start
