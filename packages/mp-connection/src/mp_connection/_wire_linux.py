"""Packets in one call of C: of the extension, or of sockets where it is missing."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from functools import partial
from itertools import repeat

from mp_connection._backend import native
from mp_connection._packets_linux import CLOEXEC, CONTROL_SIZE, PACKET_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterator

    from mp_connection._native import Arrival, Packet

    #: Sends a buffer as one packet, with flags of send(2).
    Send = Callable[[bytes | memoryview, int], object]

#: Above this many bytes it is cheaper to gather than to join head and payload.
_JOIN_LIMIT = 4096

# The arguments of `recvmsg`, any number of times.
_SIZES = repeat(PACKET_SIZE)
_CONTROL_SIZES = repeat(CONTROL_SIZE)


def arrivals(
    sock: _socket.socket, flags: int = 0, bare: bool = False
) -> Iterator[Arrival]:
    """An iterator that receives a packet each time; see `packets` for why.

    Args:
        sock: the socket.
        flags: MSG_DONTWAIT, or 0 to block.
        bare: a message of bytes may be yielded as these, without its tag.
    """
    if native is not None:
        return native.Arrivals(sock.fileno, flags, bare)  # type: ignore[no-any-return]
    return map(sock.recvmsg, _SIZES, _CONTROL_SIZES, repeat(CLOEXEC | flags))


def peeker(fileno: Callable[[], int]) -> Callable[[], bool] | None:
    """A function that says whether there is something to receive, or the end.

    It does not wait, and raises OSError when the descriptor is closed.

    Args:
        fileno: returns the descriptor, or -1 when it is closed.

    Returns:
        None where there is no extension: a poll object is as good then.
    """
    return None if native is None else native.Arrivals(fileno, 0, False).ready


def receiver(sock: _socket.socket) -> Callable[[int], Packet]:
    """A function of C that receives one packet; it takes the flags of recvmsg(2)."""
    if native is not None:
        return native.Arrivals(sock.fileno, 0, False).receive  # type: ignore[no-any-return]
    # The flags are the last argument of recvmsg, so they have to be complete.
    return partial(sock.recvmsg, PACKET_SIZE, CONTROL_SIZE)


def senders(sock: _socket.socket) -> tuple[Send, Send]:
    """Two functions that send a buffer as one packet: as it is, and as bytes.

    The second puts the tag of a message of bytes before it.  Both take the buffer and
    flags; without MSG_NOSIGNAL a far end that is gone is a signal.
    """
    if native is not None:
        sender = native.Sender(sock.fileno)
        return sender.send, sender.send_bytes
    send, sendmsg = sock.send, sock.sendmsg

    def send_bytes(data: bytes | memoryview, flags: int) -> object:
        if len(data) <= _JOIN_LIMIT:
            return send(b"\0" + data, flags)
        return sendmsg((b"\0", data), (), flags)

    return send, send_bytes
