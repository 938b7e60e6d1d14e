"""Any descriptor in the shape of a socket.

A descriptor is an open-file description that others may hold as well.  O_NONBLOCK is
never set: what must not block says MSG_DONTWAIT, or asks `poll` first where the
descriptor is no socket.  A description that somebody else made O_NONBLOCK works too.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import _socket
import errno
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Stream(Protocol):
        """What a channel needs of a socket, in the shape of one."""

        def fileno(self) -> int: ...

        def close(self) -> None: ...

        def detach(self) -> int: ...

        def recv(self, bufsize: int, flags: int = ..., /) -> bytes: ...

        def recv_into(
            self, buffer: Any, nbytes: int = ..., flags: int = ...
        ) -> int: ...

        def send(self, data: Any, flags: int = ..., /) -> int: ...

        def sendmsg(
            self, buffers: Any, ancdata: Any = ..., flags: int = ..., /
        ) -> int: ...


_DONTWAIT = _socket.MSG_DONTWAIT


class Descriptor:
    """A descriptor that is no socket, in the shape of one.

    Args:
        fd: the descriptor, owned from now on.
    """

    __slots__ = ("__weakref__", "_fd")

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor, or -1 when closed."""
        return self._fd

    def detach(self) -> int:
        """Give the descriptor to the caller."""
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        """Close the descriptor.  A second call does nothing."""
        fd = self.detach()
        if fd != -1:
            os.close(fd)

    def _ask(self, event: int, flags: int) -> int:
        if flags & _DONTWAIT and not poll_one(self._fd, event, 0):
            raise BlockingIOError(errno.EAGAIN, "nothing to do yet")
        return self._fd

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read some bytes."""
        return os.read(self._ask(select.POLLIN, flags), bufsize)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read some bytes into memory."""
        return os.readv(self._ask(select.POLLIN, flags), (buffer,))

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Write some bytes."""
        return os.write(self._ask(select.POLLOUT, flags), data)

    def sendmsg(self, buffers: Any, ancdata: Any = (), flags: int = 0, /) -> int:
        """Write some bytes of several buffers."""
        return os.writev(self._ask(select.POLLOUT, flags), buffers)


def poll_one(fd: int, event: int, seconds: float) -> bool:
    """Wait for an event of one descriptor; whether it came.

    Args:
        fd: the descriptor.
        event: POLLIN, POLLOUT or both.
        seconds: how long to wait.
    """
    poller = select.poll()
    poller.register(fd, event)
    return bool(poller.poll(seconds * 1000))


def adopt_stream(fd: int) -> Stream:
    """The object that owns a descriptor from now on.

    Raises:
        OSError: the descriptor is not open.
        ValueError: it is negative.
    """
    if fd < 0:
        raise ValueError(f"a descriptor is not negative: {fd}")
    try:
        # SOCK_NONBLOCK, or a type that the constructor does not know, keeps it from
        # applying the default time-out of the socket module, which would set O_NONBLOCK
        # on a description that others hold.  The family is asked of the kernel.
        kind = _socket.SOCK_STREAM | getattr(_socket, "SOCK_NONBLOCK", 0)
        return _socket.socket(-1, kind, -1, fd)
    except OSError as error:
        if error.errno != errno.ENOTSOCK:
            raise
    return Descriptor(fd)
