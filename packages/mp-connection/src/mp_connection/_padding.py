"""Packets whose length says something: pure functions on bytes."""

from __future__ import annotations

from mp_connection._framing import (
    MAX_PARTS,
    PICKLE,
    Message,
    fits_inline,
    inline_packet,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer


def padding(length: int, step: int) -> bytes:
    """Zeros that fill a packet up to one byte more than a multiple of *step*."""
    return bytes((1 - length) % step)


def padded_packet(message: Message, step: int) -> list[Buffer] | None:
    """The buffers of the one packet of a pickled message, its length a multiple plus 1.

    What receives messages receives it as any other: a pickle ends where it says, and a
    buffer that no object takes is dropped.

    Args:
        message: what to send.
        step: the length of the packet is one more than a multiple of it.

    Returns:
        None if the message does not fit into one packet.
    """
    parts = message.parts
    if not fits_inline(message) or len(parts) >= MAX_PARTS:
        return None
    if not message.handles and len(parts) == 1 and parts[0][:1] == bytes((PICKLE,)):
        return [parts[0], padding(len(parts[0]), step)]
    packet = inline_packet(Message([*parts, b""], message.handles))
    length = sum(memoryview(buffer).nbytes for buffer in packet)
    return inline_packet(Message([*parts, padding(length, step)], message.handles))
