"""The descriptors of a queue: the ends of a packet pair, and the backlog's file."""

from __future__ import annotations

import os

from mp_connection.channel import (
    PacketChannel,
    adopt,
    close_channel,
    packet_pair,
)
from mp_connection.handles import Handle
from mp_sync._queue_platform import create_file, limit_buffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import Any

    from mp_connection.handles import ReceivedHandle

#: The sockets of all queues that are alive.  When a queue in a reference cycle is
#: collected, its sockets would be finalized first and warn that nobody closed them.
#: The finalizer has it as a default, and so until the end of the interpreter.
_sockets: dict[object, Any] = {}


class Ends:
    """Owns them, and closes them once.

    Attributes:
        reader: the end that items are received from.
        writer: the end that they are sent to.
        file: the descriptor of the backlog; -1 when closed.
    """

    __slots__ = ("__weakref__", "file", "reader", "writer")

    def __init__(
        self, reader: _socket.socket, writer: _socket.socket, file: int
    ) -> None:
        self.reader = PacketChannel(reader, True)
        self.writer = writer
        self.file = file
        _sockets[reader] = _sockets[writer] = None

    @classmethod
    def create(cls) -> Ends:
        """Those of a new queue.

        Raises:
            OSError: there are no descriptors left.
        """
        file = create_file()
        try:
            reader, writer = packet_pair(shared=True)
        except BaseException:
            os.close(file)
            raise
        limit_buffer(writer)
        return cls(reader, writer, file)

    def close(self) -> None:
        """Close them.  A second call does nothing."""
        reader = self.reader.sock
        close_channel(self.reader)
        self.writer.close()
        _sockets.pop(reader, None)
        _sockets.pop(self.writer, None)
        file, self.file = self.file, -1
        if file != -1:
            os.close(file)

    def __del__(
        self,
        # At the end of the interpreter the global names may be gone before the class.
        forget: Callable[..., object] = _sockets.pop,
        close: Callable[[int], None] = os.close,
    ) -> None:
        if hasattr(self, "file"):
            self.reader.close()
            self.writer.close()
            forget(self.reader.sock, None)
            forget(self.writer, None)
            if self.file != -1:
                close(self.file)

    def __reduce__(self) -> tuple[object, ...]:
        fds = self.reader.fileno(), self.writer.fileno(), self.file
        return _receive, tuple(map(Handle, fds))


def _receive(
    reader: ReceivedHandle, writer: ReceivedHandle, file: ReceivedHandle
) -> Ends:
    return Ends(adopt(reader.take()), adopt(writer.take()), file.take())
