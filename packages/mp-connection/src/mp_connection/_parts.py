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


#: Up to this length the C library uses memory again after a message; what is longer it
#: gives back, and gets anew from the kernel (mallopt(3), DEFAULT_MMAP_THRESHOLD_MAX).
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


class FreshPart:
    """Memory that the kernel has still to find pages for, as bytes arrive.

    The length of the part may be a lie.  But what nothing is written to takes up
    addresses only.

    Args:
        part: what holds all of it.
    """

    __slots__ = ("_part", "_ready")

    def __init__(self, part: Part) -> None:
        self._part = part
        self._ready = 0

    def view(self, size: int) -> memoryview:
        with self._part.view(size) as whole:
            if size > self._ready:
                native.populate(whole, self._ready, size)  # type: ignore[union-attr]
                self._ready = size
            return whole[:size]

    def result(self) -> Buffer:
        return self._part.result()


def part_of(size: int, solid: bool = True) -> Part:
    """What collects the bytes of a part.

    Args:
        size: how many these are.
        solid: whether it becomes bytes, and not a bytearray.

    Raises:
        MemoryError: there is not so much memory.
    """
    if native is not None:
        try:
            part = native.Blank(size) if solid else ArrayPart(native.blank_array(size))
        except (MemoryError, OverflowError):
            pass  # of so much, which perhaps does not arrive
        else:
            return part if size <= AT_ONCE else FreshPart(part)
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
