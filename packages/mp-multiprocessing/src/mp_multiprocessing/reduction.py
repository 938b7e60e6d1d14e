"""Pickling for messages, under the standard package's module name.

The manual does not describe this module; here is what third parties use of it, on top
of `mp_connection.handles`, which new programs should use directly.
"""

from __future__ import annotations

import os
from io import BytesIO

from mp_connection.channel import message_reductions
from mp_connection.handles import Handle, HandleError, register_reducer
from mp_connection.lean import Pickler, loads, reductions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from socket import socket
    from typing import Any, Protocol, TypeVar

    from typing_extensions import Buffer

    from mp_connection import Connection
    from mp_connection.handles import ReceivedHandle

    T = TypeVar("T")

    class Writable(Protocol):
        """Where a pickler writes."""

        def write(self, data: bytes, /) -> object: ...

    #: What a ``__reduce__`` returns.
    Reduced = str | tuple[object, ...]

__all__ = (
    "HAVE_SEND_HANDLE",
    "DupFd",
    "ForkingPickler",
    "dump",
    "recv_handle",
    "register",
    "send_handle",
)

#: Whether descriptors can be sent, which they can on every platform that there is.
HAVE_SEND_HANDLE = True

#: The newest protocol that every supported Python reads.
_PROTOCOL = 5


class ForkingPickler(Pickler):
    """A pickler that knows the registered reducers, and writes to a file.

    Objects that own a descriptor cannot be pickled with it, since a descriptor goes
    beside the bytes: send them through a connection, which needs no pickler.

    Args:
        file: where to write.
        protocol: of the pickle; None for the newest.
    """

    dispatch_table: Mapping[type, Callable[[Any], str | tuple[Any, ...]]]

    def __init__(self, file: Writable, protocol: int | None = None) -> None:
        super().__init__(file, _PROTOCOL if protocol is None else protocol)
        self.dispatch_table = reductions()

    @staticmethod
    def register(type: type[T], reduce: Callable[[T], Reduced]) -> None:
        """See `mp_connection.handles.register_reducer`."""
        register_reducer(type, reduce)

    @classmethod
    def dumps(cls, obj: object, protocol: int | None = None) -> memoryview:
        """The bytes of an object's pickle.

        Raises:
            HandleError: part of the object owns a descriptor.
            Exception: whatever pickling raises.
        """
        file = BytesIO()
        cls(file, protocol).dump(obj)
        return memoryview(file.getvalue())

    @staticmethod
    def loads(data: Buffer, /) -> Any:
        """The object of a pickle.

        Raises:
            Exception: whatever unpickling raises.
        """
        return loads(data)


def register(type: type[T], reduce: Callable[[T], Reduced]) -> None:
    """See `mp_connection.handles.register_reducer`."""
    register_reducer(type, reduce)


def dump(obj: object, file: Writable, protocol: int | None = None) -> None:
    """Write an object's pickle to a file; see `ForkingPickler`."""
    ForkingPickler(file, protocol).dump(obj)


def send_handle(
    conn: Connection[object, Any], handle: int, destination_pid: int | None
) -> None:
    """Send a descriptor, which `recv_handle` receives.

    Args:
        conn: a connection that carries descriptors.
        handle: the descriptor, which stays the caller's.
        destination_pid: of no meaning: the descriptor goes through the connection.

    Raises:
        OSError: as of `Connection.send`.
        HandleError: the connection carries no descriptors.
    """
    conn.send(DupFd(handle))


def recv_handle(conn: Connection[Any, object]) -> int:
    """The descriptor that `send_handle` sent, which is the caller's to close.

    Raises:
        RuntimeError: something else was sent.
        OSError: as of `Connection.recv`.
        EOFError: the other end is closed.
    """
    received = conn.recv()
    if not isinstance(received, DupFd):
        raise RuntimeError(f"not a descriptor but {type(received).__name__} was sent")
    return received.detach()


class DupFd:
    """A duplicate of a descriptor, to be sent within an object.

    Args:
        fd: the descriptor, which stays the caller's and may be closed at once.

    Raises:
        OSError: it is not open, or this process may not open more files.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = -1  # for __del__
        self._fd = os.dup(fd)

    def detach(self) -> int:
        """The descriptor, which is the caller's to close from now on.

        Raises:
            HandleError: it was detached before.
        """
        fd, self._fd = self._fd, -1
        if fd == -1:
            raise HandleError("the descriptor was detached before")
        return fd

    def __reduce__(self) -> tuple[object, ...]:
        if self._fd == -1:
            raise HandleError("a descriptor that was detached cannot be sent")
        return _rebuild, (Handle(self._fd),)

    def __del__(self) -> None:
        if self._fd != -1:
            os.close(self.detach())


def _reduce_socket(sock: socket) -> Reduced:
    # dill imports it by this name, and cannot be imported where it is missing.
    reduced: Reduced = message_reductions()[type(sock)](sock)
    return reduced


def _rebuild(handle: ReceivedHandle) -> DupFd:
    # Without a second duplicate: __init__ makes one.
    arrived = DupFd.__new__(DupFd)
    arrived._fd = -1
    arrived._fd = handle.take()
    return arrived
