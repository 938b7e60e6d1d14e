"""Memory that the parts of a message are received into, and stay in."""

from __future__ import annotations

from io import BytesIO

from mp_connection._backend import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from typing_extensions import Buffer

    class Part(Protocol):
        """Collects the bytes of one part of a message."""

        def view(self, size: int, /) -> memoryview:
            """Memory of that size at least, with what it held before."""

        def result(self) -> Buffer:
            """What has become of it."""


#: Up to this length a part gets all its memory at once, if that need not be cleared:
#: what nothing is written to takes up addresses only.  A longer one grows, as its
#: length may be a lie; and the C library would give its memory back after each message
#: (mallopt(3), DEFAULT_MMAP_THRESHOLD_MAX), so that clearing it is the least of it.
AT_ONCE = 1 << 25


class BytesPart:
    """Becomes a bytes object, without a copy."""

    __slots__ = ("_file",)

    def __init__(self) -> None:
        self._file = BytesIO()

    def view(self, size: int) -> memoryview:
        if self._file.getbuffer().nbytes < size:
            self._file.seek(size - 1)
            self._file.write(b"\0")
        return self._file.getbuffer()

    def result(self) -> Buffer:
        return self._file.getvalue()


class ArrayPart:
    """Becomes a bytearray, which objects may write to.

    Args:
        array: the bytearray; it grows.
    """

    __slots__ = ("_array",)

    def __init__(self, array: bytearray) -> None:
        self._array = array

    def view(self, size: int) -> memoryview:
        if not self._array:
            self._array = bytearray(size)
        elif len(self._array) < size:
            self._array += bytes(size - len(self._array))
        return memoryview(self._array)

    def result(self) -> Buffer:
        return self._array


def part_of(size: int, solid: bool = True) -> Part:
    """What collects the bytes of a part.

    Args:
        size: how many these are.
        solid: whether it becomes bytes, and not a bytearray.

    Raises:
        MemoryError: there is not so much memory.
    """
    if native is not None and size <= AT_ONCE:
        return native.Blank(size) if solid else ArrayPart(native.blank_array(size))
    return BytesPart() if solid else ArrayPart(bytearray())


class GivenPart:
    """Memory of the receiver's."""

    __slots__ = ("_given",)

    def __init__(self, given: memoryview) -> None:
        self._given = given

    def view(self, size: int) -> memoryview:
        return self._given[:size]

    def result(self) -> Buffer:
        return self._given

    def release(self) -> None:
        """Let the owner resize it, whoever still refers to this object."""
        self._given.release()
