"""Where the large bytes of a pickle lie, seen without a look into its frames.

A pickler of protocol 4 or 5 writes bytes and bytearrays of 64 KiB and more between its
frames (PEP 3154).  So a walk over what stands outside of frames finds them all, in a
few steps, and also while the pickle is still arriving.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a pickler writes outside of a frame; less is not worth it.
LARGE = 1 << 16
#: Bytes in the longest opcode with a length.
HEADER = 9
#: Opcodes outside of frames, in a row, before it is taken for a pickle without frames.
_MOST_LOOSE = 64
_NEVER = 1 << 64

BYTEARRAY8 = 0x96
NEXT_BUFFER = 0x97
_PROTO = 0x80
_FRAME = 0x95
#: Opcodes of bytes: their length has so many bytes.
BYTES = {0x42: 4, 0x8E: 8, BYTEARRAY8: 8}
#: Other opcodes with as many bytes as a number says, which has so many bytes.
COUNTED = {0x43: 1, 0x55: 1, 0x8A: 1, 0x8C: 1, 0x58: 4, 0x8D: 8, _FRAME: 8}
#: Opcodes with so many bytes behind them; here are those of protocol 4 and 5 without.
FIXED = {
    **dict.fromkeys(b".()012NQRabdelostu]}\x81\x85\x86\x87\x88\x89", 0),
    **dict.fromkeys(b"\x8f\x90\x91\x92\x93\x94\x97\x98", 0),
    **dict.fromkeys(b"Khq\x80\x82", 1),
    **dict.fromkeys(b"M\x83", 2),
    **dict.fromkeys(b"Jjr\x84", 4),
    0x47: 8,
}


class Walk:
    """Steps over a pickle from one opcode outside of frames to the next.

    Attributes:
        next: where that is; beyond any pickle when the walk has come to something that
            it does not know, or to too much that is in no frame.
    """

    __slots__ = ("_loose", "next")

    def __init__(self) -> None:
        self.next = 0
        self._loose = 0

    def step(self, head: bytes, end: int) -> tuple[int, int, int] | None:
        """Look at the opcode at `next`, and go beyond it.

        Args:
            head: the bytes there, `HEADER` of them if so many have arrived.
            end: how long the pickle is.

        Returns:
            The opcode, the length of it and its number in bytes, and how many bytes
            that says follow; None if *head* is too short, or the walk is over.
        """
        start, code = self.next, head[0]
        if start == 0 and len(head) < 2 < end:
            return None
        if start == 0 and (code != _PROTO or head[1:2] not in (b"\4", b"\5")):
            self.next = _NEVER
            return None
        width = BYTES.get(code) or COUNTED.get(code, 0)
        length = int.from_bytes(head[1 : 1 + width], "little")
        if len(head) < 1 + width:
            return None
        framed = code == _FRAME or (code in BYTES and length >= LARGE)
        loose = 0 if framed else self._loose + 1
        if loose > _MOST_LOOSE or not (width or code in FIXED):
            self.next = _NEVER
            return None
        behind = start + 1 + width + (length if width else FIXED[code])
        self._loose, self.next = loose, behind
        return code, 1 + width, length


def walk(pickle: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The opcodes outside of the frames of a pickle that is here.

    Each as where it is, and what `Walk.step` says of it.
    """
    pace, end = Walk(), len(pickle)
    while pace.next < end:
        start = pace.next
        found = pace.step(bytes(pickle[start : start + HEADER]), end)
        if found is None:
            return
        yield start, *found
