"""Messages to packets that wait for room, on channels of one sender."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import time

from mp_connection import _framing as framing
from mp_connection._packets_linux import (
    DONTWAIT,
    NOSIGNAL,
    InFlightError,
    ancillary,
    fragment_size,
    is_of_handler,
    send_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import Any

    from typing_extensions import Buffer

    from mp_connection._framing import Message


def cut_large(message: Message) -> None:
    """Take large bytes out of a pickle that is sent in several packets."""
    from mp_connection._cutting import cut  # start-up time of children

    cut(message)


class Sender:
    """Packets that wait for room in the kernel's buffer, in order."""

    __slots__ = ("_fragment", "_packets", "_sent", "_sock")

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock
        self._fragment = fragment_size(sock)
        self._sent = 0  # of the packets that follow
        self._packets: list[tuple[Sequence[Buffer], Sequence[int]]] = []

    def push(self, message: Message) -> None:
        """Append a message; its buffers are used where they lie."""
        if framing.fits_inline(message) and message.size <= self._fragment:
            self._packets.append((framing.inline_packet(message), message.handles))
        else:
            cut_large(message)
            self._packets.extend(
                framing.fragment_packets(message, framing.FRAGMENTS, self._fragment)
            )

    def flush(self, flags: int = 0) -> bool:
        """Send what there is room for; whether nothing is left.

        Args:
            flags: MSG_DONTWAIT, or 0 to block until all is sent.

        Raises:
            BrokenPipeError: the far end is closed.
            ChannelClosedError: this end is.

        After an error nothing is left to be sent.
        """
        try:
            return self._flush(flags)
        except OSError as error:
            if is_of_handler(error):
                raise
            # Nobody will receive what is left.  Its descriptors are its sender's to
            # close, so that trying it once more would send others of equal numbers.
            self._packets.clear()
            self._sent = 0
            raise

    def _flush(self, flags: int) -> bool:
        while self._sent < len(self._packets):
            buffers, handles = self._packets[self._sent]
            try:
                self._send(buffers, ancillary(handles), flags | NOSIGNAL)
            except BlockingIOError:
                if flags & DONTWAIT:
                    break
                time.sleep(0.001)
            except OSError as error:
                meaning = send_error(self._sock, error)
                try:
                    if meaning is error:
                        raise
                    if not isinstance(meaning, InFlightError):
                        raise meaning from error
                finally:
                    del meaning  # it refers to this frame, and keeps the callers'
                # The socket is writable all the time: whoever polls for that shall
                # not spin.
                time.sleep(0.001)
                if flags & DONTWAIT:
                    break
        del self._packets[: self._sent]
        self._sent = 0
        return not self._packets

    def _send(self, buffers: Sequence[Buffer], control: list[Any], flags: int) -> None:
        # Sent and counted in one go: see `packets`.
        for _ in map(self._sock.sendmsg, (buffers,), (control,), (flags,)):
            self._sent += 1
