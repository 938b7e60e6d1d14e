"""A pickle that arrives in a stream, its large bytes in memory of their own.

Where they lie is seen before they arrive (see `_pickle_walk`); they are received into
the objects that they will be, and the pickle refers to them as it does to out-of-band
buffers (PEP 574).  Nothing is unpickled before the whole message is here, as with any
other.

Whatever looks different is left in the pickle, which is right as well.
"""

from __future__ import annotations

from mp_connection._framing import GROWTH, WINDOW
from mp_connection._parts import part_of
from mp_connection._pickle_walk import (
    BYTEARRAY8,
    BYTES,
    HEADER,
    LARGE,
    NEXT_BUFFER,
    Walk,
)
from mp_connection.errors import FramingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from mp_connection._parts import Part

    #: Where in a pickle its parts were cut out: the position, and what stood there.
    Cuts = Sequence[tuple[int, bytes]]

#: Bytes that are received together with a frame, since the next header is there.
_LOOKAHEAD = 1 << 14
_NEXT_BUFFER = bytes((NEXT_BUFFER,))


class PickleAssembler:
    """Collects one pickle; the interface of `Assembler`.

    Args:
        size: its length in bytes.

    Attributes:
        filled: bytes of what is under way that have arrived; the receiver adds to it.
        placed: False: nobody lends memory to it.
    """

    __slots__ = (
        "_cuts", "_end", "_held", "_part", "_parts", "_pickle", "_room", "_size",
        "_walk", "filled",
    )  # fmt: skip

    placed = False

    def __init__(self, size: int) -> None:
        self._pickle = bytearray()
        self._end = size  # of the pickle without its parts
        self._walk = Walk()
        self._part: Part | None = None  # that is under way
        self._size = self._room = self._held = 0
        self._parts: list[Part] = []
        self._cuts: list[tuple[int, bytes]] = []
        self.filled = 0

    def wanted(self) -> memoryview:
        """Where the next bytes belong; release the view before the next call."""
        filled = self.filled
        if self._part is not None:
            if self._room - filled < min(self._size - filled, WINDOW):
                self._room = min(self._size, filled + GROWTH)
            with self._part.view(self._room) as whole:
                return whole[filled : self._room]
        ahead = max(self._walk.next, filled) + _LOOKAHEAD
        room = min(self._end, ahead, filled + GROWTH)
        if len(self._pickle) < room:
            self._pickle += bytes(room - len(self._pickle))
        with memoryview(self._pickle) as whole:
            return whole[filled:room]

    def complete(self) -> bool:
        """Whether everything has arrived.

        Raises:
            FramingError: more than that has.
        """
        while True:
            if self.filled > (self._end if self._part is None else self._size):
                raise FramingError("more arrives than belongs to the message")
            if self._part is not None:
                if self.filled < self._size:
                    return False
                # Operators and no calls from here: no signal handler comes between.
                self._parts += (self._part,)
                self._walk.next = self.filled = self._held
                self._part = None
            elif not self._look():
                return self.filled == self._end

    def _look(self) -> bool:
        """Look at the opcodes that have arrived; whether a part begins."""
        walk = self._walk
        while walk.next < self.filled:
            start = walk.next
            head = bytes(self._pickle[start : min(start + HEADER, self.filled)])
            found = walk.step(head, self._end)
            if found is None:
                return False
            code, header, length = found
            if code in BYTES and LARGE <= length <= self._end - start - header:
                self._begin(start, head[:header], length)
                return True
        return False

    def _begin(self, start: int, head: bytes, size: int) -> None:
        part = part_of(size, head[0] != BYTEARRAY8)
        room = min(size, GROWTH)
        early = self._pickle[start + len(head) : self.filled]
        with part.view(room) as view:
            view[: len(early)] = early
        cut, end = (start, head), self._end - len(head) - size + 1
        count, held = len(early), start + 1
        # Operators and no calls from here: no signal handler comes between.
        self._pickle[start:] = _NEXT_BUFFER
        self._cuts += (cut,)
        self._part, self._size, self._room, self.filled = part, size, room, count
        self._end, self._held = end, held

    def leave(self) -> None:
        """Nothing: all memory is its own."""

    def parts(self) -> list[Buffer]:
        """The pickle and what was cut out of it, when all is complete."""
        return [self._pickle, *(part.result() for part in self._parts)]

    def cuts(self) -> Cuts:
        """Where the parts belong."""
        return self._cuts


def rejoin(parts: Sequence[Buffer], cuts: Cuts) -> bytes:
    """The bytes of a message as they were sent."""
    whole: list[Buffer] = []
    done = 0
    with memoryview(parts[0]) as pickle:
        for (position, header), part in zip(cuts, parts[1:], strict=True):
            whole += (bytes(pickle[done:position]), header, part)
            done = position + len(_NEXT_BUFFER)
        whole.append(bytes(pickle[done:]))
    return b"".join(whole)
