"""Large bytes of a pickle become parts of their own on the way.

The receiver reads each of them into the object that it will be, so that a large
message needs its own size once there.  For its unpickler they are out-of-band buffers
(PEP 574).

Loaded when the first large message is sent.
"""

from __future__ import annotations

from mp_connection._framing import MAX_PARTS
from mp_connection._pickle_walk import BYTEARRAY8, BYTES, LARGE, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection._framing import Message


def cut(message: Message) -> None:
    """Make parts of the large bytes in a pickled message, which is to go in packets.

    They are sent from where they lie in the pickle.  A message that is cut already
    stays as it is; so does one with out-of-band buffers, where nobody has noted how
    they stand between the large bytes.
    """
    pickle, *buffers = message.parts
    if not message.pickled or len(pickle) < LARGE or message.as_bytes:
        return
    if buffers and message.marks is None:
        return
    rest: list[memoryview | bytes] = []
    parts: list[memoryview] = []
    as_bytes: list[int] = []
    done, room = 0, MAX_PARTS - len(message.parts)
    marks = message.marks or ()
    for start, code, header, size in large_bytes(pickle):
        if not room:
            break
        room -= 1
        while buffers and marks[-len(buffers)] <= start:
            parts.append(buffers.pop(0))
        begin = start + header
        parts.append(pickle[begin : begin + size])
        if code != BYTEARRAY8:
            as_bytes.append(len(parts))
        rest += (pickle[done:start], b"\x97")
        done = begin + size
    if done:
        rest.append(pickle[done:])
        message.parts = [memoryview(b"".join(rest)), *parts, *buffers]
        message.as_bytes = as_bytes


def large_bytes(pickle: memoryview) -> list[tuple[int, int, int, int]]:
    """Where the large bytes of a pickle are; see `walk`."""
    return [
        found
        for found in walk(pickle)
        if found[1] in BYTES and LARGE <= found[3] <= len(pickle) - found[0] - found[2]
    ]
