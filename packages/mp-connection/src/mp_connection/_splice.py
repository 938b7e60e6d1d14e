"""One ordinary pickle made of a pickle and its out-of-band buffers.

`recv_bytes` promises the bytes of a pickle that loads, also for a message whose
buffers, or large bytes, travelled beside it.  The opcodes are those of PEP 574 and
PEP 3154.
"""

from __future__ import annotations

from pickletools import genops

from mp_connection._pickle_walk import NEXT_BUFFER, walk
from mp_connection.errors import FramingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

_BINBYTES = b"B"
_BINBYTES8 = b"\x8e"
_BYTEARRAY8 = b"\x96"
_READONLY_BUFFER = b"\x98"


def splice(pickled: bytes, buffers: Sequence[Buffer]) -> bytes:
    """The pickle with every buffer put in where it is referred to.

    A pickler never memoizes what it sends out of band, and nothing is memoized here,
    so that the numbers of the memo stay right.

    Args:
        pickled: the pickle.
        buffers: the buffers; bytes objects become bytes, and others what the pickle
            says.

    Raises:
        FramingError: it is no pickle, or the buffers are not as many as it wants.
    """
    try:
        return _between_frames(pickled, buffers) or _splice(pickled, buffers)
    except (ValueError, StopIteration) as error:
        raise FramingError(f"a pickle and its buffers do not match: {error}") from error


def _between_frames(pickled: bytes, buffers: Sequence[Buffer]) -> bytes | None:
    """The pickle, if all its buffers were large bytes: its frames stay as they are."""
    positions = [
        start
        for start, code, _, _ in walk(memoryview(pickled))
        if code == NEXT_BUFFER and pickled[start + 1 : start + 2] != _READONLY_BUFFER
    ]
    if not positions or len(positions) != len(buffers):
        return None
    whole: list[Buffer] = []
    done = 0
    for position, buffer in zip(positions, buffers, strict=True):
        whole += (pickled[done:position], _header(buffer), buffer)
        done = position + 1
    whole.append(pickled[done:])
    return b"".join(whole)


def _header(buffer: Buffer, constant: bool = False) -> bytes:
    """What stands before a buffer in a pickle."""
    size = memoryview(buffer).nbytes
    if not constant and type(buffer) is not bytes:
        return _BYTEARRAY8 + size.to_bytes(8, "little")
    if size > 0xFFFFFFFF:
        return _BINBYTES8 + size.to_bytes(8, "little")
    return _BINBYTES + size.to_bytes(4, "little")


def _splice(pickled: bytes, buffers: Sequence[Buffer]) -> bytes:
    """The same for any pickle.  Frames are left out: their lengths would be wrong."""
    rest = iter(buffers)
    out = bytearray()
    # What an opcode is replaced with is known when the next one is: whether a buffer
    # is read-only is said by READONLY_BUFFER behind it.
    name, start = "", 0
    for opcode, _, position in genops(pickled):
        end = position or 0
        if name == "NEXT_BUFFER":
            buffer = next(rest)
            out += _header(buffer, opcode.name == "READONLY_BUFFER")
            out += buffer
        elif name not in ("FRAME", "READONLY_BUFFER"):
            out += pickled[start:end]
        name, start = opcode.name, end
    if name != "STOP":
        raise ValueError("the pickle has no end")
    if next(rest, None) is not None:
        raise ValueError("a buffer is left over")
    out += pickled[start:]
    return bytes(out)
