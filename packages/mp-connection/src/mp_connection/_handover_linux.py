"""A large message that is handed over, whether or not somebody receives it now.

It goes over a pair of its own, as any large message on a channel that is shared.  When
nobody takes what was sent of it, the rest goes to a file without a name, whose
descriptor follows on the pair: then the sender need not wait, and may end.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import os

from mp_connection import _framing as framing
from mp_connection._framing import Head
from mp_connection._packets_linux import (
    DONTWAIT,
    forget_private,
    fragment_size,
    load_handles,
    private_pair,
    send_fragments,
    send_packet,
    slice_writes,
)
from mp_connection._padding import padding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from mp_connection._framing import Message

#: The kernel takes what it allows, which is twice what it gives unasked.
_MUCH = 1 << 30


class Handover:
    """One message on its way.

    Args:
        message: what to send; its buffers are used where they lie.
        step: the length of the announcement is one more than a multiple of it.
        make_file: returns a descriptor of an empty file.

    Raises:
        BlockingIOError: too many descriptors are in flight.
        OSError: there are no descriptors left.
    """

    __slots__ = (
        "_handles", "_make_file", "_mine", "_parts", "_size", "_start", "_theirs",
        "announcement",
    )  # fmt: skip

    def __init__(
        self, message: Message, step: int, make_file: Callable[[], int]
    ) -> None:
        self._make_file = make_file
        self._mine, self._theirs = private_pair()
        self._size = fragment_size(self._mine)
        self._parts = message.parts
        self._start = 0  # of what is left of the first part
        head = Head.of(message, framing.PRIVATE).encode()
        #: The buffers of the packet that tells of the message, and goes first.
        self.announcement: list[Buffer] = [head, padding(len(head), step)]
        try:
            handles = framing.handle_packets(message.handles)
            load_handles(self._mine, handles, message, 0)
            self._handles = list(handles)  # what is left, of very many
        except BaseException:
            self.close()
            raise

    def announce(self, writer: _socket.socket) -> None:
        """Send the announcement.

        Raises:
            BlockingIOError: there is no room, or too much is in flight.
            BrokenPipeError: the far end is closed.
        """
        send_packet(writer, self.announcement, [self._theirs.fileno()], DONTWAIT)
        forget_private(self._theirs)

    def send(self, seconds: float) -> bool:
        """Send the message while it is taken; whether that was all.

        Args:
            seconds: how long to wait for the receiver to take some.

        Raises:
            BrokenPipeError: the receiver is dead, or gave up.
        """
        flags = DONTWAIT
        if seconds > 0:
            slice_writes(self._mine, seconds)
            flags = 0
        try:
            while self._handles or self._parts:
                self._send_some(flags)
        except BlockingIOError:
            return False
        return True

    def _send_some(self, flags: int) -> None:
        """Send a few packets, or raise and send none."""
        if self._handles:
            send_packet(self._mine, *self._handles[0], flags)
            del self._handles[0]
            return
        part = self._parts[0]
        if self._start < len(part):
            self._start = send_fragments(
                self._mine, part, self._start, self._size, flags
            )
        if self._start == len(part):
            self._parts, self._start = self._parts[1:], 0

    def leave(self) -> None:
        """Put the rest into a file, for whoever receives the message.

        Raises:
            BrokenPipeError: the receiver is dead, or gave up.
            BlockingIOError: too many descriptors are in flight.
            OSError: there is no memory or no descriptor left.
        """
        while self._handles:
            self._send_some(DONTWAIT)
        file = self._make_file()
        try:
            for part in self._parts:
                while self._start < len(part):
                    self._start += os.write(file, part[self._start :])
                self._start = 0
            self._parts = []
            # So that there is room for one more packet, though nobody has read.
            self._mine.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _MUCH)
            send_packet(self._mine, [b"\0"], [file], DONTWAIT)
        finally:
            os.close(file)

    def close(self) -> None:
        """Close what is open.  A message that is not through is lost."""
        forget_private(self._mine)
        forget_private(self._theirs)
