"""A large message that is handed over, whether or not somebody receives it now.

It goes over a pair or a pipe of its own, as any large message on a channel that is
shared.  When nobody takes what was sent of it, the rest goes to a file without a name:
then the sender need not wait, and may end.  The descriptor of the file follows on the
pair; it comes along with a pipe, as nothing but bytes passes there.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import os
from abc import ABC, abstractmethod
from errno import EPIPE

from mp_connection import _framing as framing
from mp_connection._alone_linux import begin, is_through, keep, lend, pages_for
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
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

    from mp_connection._framing import Message
    from mp_connection._native import Pages

#: The kernel takes what it allows, which is twice what it gives unasked.
_MUCH = 1 << 30


class Handover(ABC):
    """One message on its way.

    Attributes:
        announcement: the buffers of the packet that tells of the message, and goes
            first.
    """

    __slots__ = ("announcement",)

    def __init__(
        self,
        message: Message,
        step: int,
        transport: int,
        ahead: Sequence[memoryview] = (),
    ) -> None:
        size = sum(map(len, ahead))
        head = Head.of(message, transport, size).encode()
        fill = padding(len(head) + size, step)
        self.announcement: list[Buffer] = [head, *ahead, fill]

    @abstractmethod
    def announce(self, writer: _socket.socket) -> None:
        """Send the announcement.

        Raises:
            BlockingIOError: there is no room, or too much is in flight.
            BrokenPipeError: the far end is closed.
        """

    @abstractmethod
    def send(self, seconds: float) -> bool:
        """Send the message while it is taken; whether that was all.

        Args:
            seconds: how long to wait for the receiver to take some.

        Raises:
            BrokenPipeError: the receiver is dead, or gave up.
        """

    @abstractmethod
    def leave(self) -> None:
        """Put the rest into a file, for whoever receives the message.

        Raises:
            BrokenPipeError: the receiver is dead, or gave up.
            BlockingIOError: too many descriptors are in flight.
            OSError: there is no memory or no descriptor left.
        """

    @abstractmethod
    def close(self) -> None:
        """Close what is open.  A message that is not through is lost."""


def hand_over(
    message: Message, step: int, make_file: Callable[[], int], patient: bool = True
) -> Handover:
    """Begin to hand a message over; the result is to be closed.

    Args:
        message: what to send; its buffers are used where they lie.
        step: the length of the announcement is one more than a multiple of it.
        make_file: returns a descriptor of an empty file.
        patient: whether the receiver will be waited for.

    Raises:
        BlockingIOError: too many descriptors are in flight.
        OSError: there are no descriptors left.
    """
    # What is left at once would only be lent and taken back.
    pages = pages_for(message) if patient else None
    if pages is None:
        return _ByPair(message, step, make_file)
    file = -1
    try:
        file = make_file()
        return _ByPipe(message, step, pages, file)
    except BaseException:
        forget_private(pages)
        if file != -1:
            os.close(file)
        raise


class _ByPipe(Handover):
    """Its bytes are lent to a pipe, and those that nobody has read are taken back."""

    __slots__ = ("_file", "_message", "_pages", "_rest")

    def __init__(self, message: Message, step: int, pages: Pages, file: int) -> None:
        self._file = file
        self._message = message
        self._pages = pages
        ahead, self._rest = begin(message, pages.room())
        super().__init__(message, step, framing.PIPE, ahead)

    def announce(self, writer: _socket.socket) -> None:
        # As much as there is room for before anybody is told: it is read at one go.
        self._rest = lend(self._pages, self._rest, 0)
        handles = [self._pages.far(), self._file]
        send_packet(writer, self.announcement, handles, DONTWAIT)
        self._pages.let_go()

    def send(self, seconds: float) -> bool:
        milliseconds = int(seconds * 1000)
        try:
            while self._rest:
                self._rest = lend(self._pages, self._rest, milliseconds)
                if self._rest and not milliseconds:
                    return False
        except BlockingIOError:
            return False
        return is_through(self._pages, milliseconds)

    def leave(self) -> None:
        parts = self._message.parts
        left = sum(map(len, self._rest))
        try:
            left += self._pages.withdraw()
        except OSError:  # of files there may be no more
            if self._rest:
                raise
            self._pages.keep()
            keep(self._message)
            return
        skipped = sum(map(len, parts)) - left  # they were received
        for part in parts:
            start = min(skipped, len(part))
            skipped -= start
            while start < len(part):
                start += os.write(self._file, part[start:])
        if left and self._pages.taken(0) is not None:
            raise BrokenPipeError(EPIPE, "the receiver is gone")

    def close(self) -> None:
        if not self._pages.close():
            keep(self._message)
        forget_private(self._pages)
        file, self._file = self._file, -1
        if file != -1:
            os.close(file)


class _ByPair(Handover):
    """Its bytes are copied to a pair of sockets, and the last of them to a file."""

    __slots__ = (
        "_handles", "_make_file", "_mine", "_parts", "_size", "_start", "_theirs",
    )  # fmt: skip

    def __init__(
        self, message: Message, step: int, make_file: Callable[[], int]
    ) -> None:
        self._make_file = make_file
        self._mine, self._theirs = private_pair()
        self._size = fragment_size(self._mine)
        self._parts = message.parts
        self._start = 0  # of what is left of the first part
        try:
            super().__init__(message, step, framing.PRIVATE)
            handles = framing.handle_packets(message.handles)
            load_handles(self._mine, handles, message, 0)
            self._handles = list(handles)  # what is left, of very many
        except BaseException:
            self.close()
            raise

    def announce(self, writer: _socket.socket) -> None:
        send_packet(writer, self.announcement, [self._theirs.fileno()], DONTWAIT)
        forget_private(self._theirs)

    def send(self, seconds: float) -> bool:
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
        forget_private(self._mine)
        forget_private(self._theirs)
