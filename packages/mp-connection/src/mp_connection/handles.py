"""How objects that own a descriptor travel between processes.

Such a type pickles its descriptor as a `Handle`, in its own ``__reduce__`` or in one
that is registered for it (`register_reducer`)::

    def __reduce__(self):
        return rebuild, (Handle(self.fileno()), self.name)

    def rebuild(handle, name):
        return Thing(handle.take(), name)

A message over a packet channel carries the descriptors beside its bytes.  Everywhere
else (``pickle.dumps``, a file, TCP) a `Handle` refuses to be pickled and says why.
The descriptors belong to the pickler of one message: a plain ``pickle.dumps`` within
somebody's ``__reduce__`` is refused as well, although a message is being made.
"""

from __future__ import annotations

import os
from _thread import _local

from mp_connection._reducers import (
    register_reducer as register_reducer,
    unregister_reducer as unregister_reducer,
)
from mp_connection.errors import HandleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = (
    "Handle",
    "HandleError",
    "ReceivedHandle",
    "pickled_before",
    "register_reducer",
    "unregister_reducer",
)


class Handle:
    """A descriptor lent to the message that is being pickled.

    Args:
        fd: the descriptor.  It stays the caller's and has to stay open until the
            message is sent; the receiver gets a duplicate.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd: int = fd

    def __reduce__(self) -> NoReturn:
        raise HandleError(
            "an object that owns a descriptor cannot be pickled to bytes: send it"
            " through a connection, a queue or a pool, or pass it to a process as an"
            " argument, so that the descriptor can travel with it"
        )

    def take(self) -> NoReturn:
        """Refuse: the object is being copied (``copy.copy``), not received.

        Raises:
            HandleError: always.
        """
        raise HandleError("an object that owns a descriptor cannot be copied")


class ReceivedHandle:
    """A descriptor that arrived with a message, owned until it is taken.

    What nobody has taken when the message is unpickled is closed.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def take(self) -> int:
        """The descriptor, which is the caller's to close from now on.

        Raises:
            HandleError: it was taken before, or the message was given up.
        """
        fd, self._fd = self._fd, -1
        if fd == -1:
            raise HandleError("the descriptor of this message was taken before")
        return fd

    def close(self) -> None:
        """Close the descriptor if nobody took it."""
        fd, self._fd = self._fd, -1
        if fd != -1:
            os.close(fd)


class _Again(_local):
    depth = 0


_again = _Again()


def pickled_before() -> bool:
    """Whether this thread pickles what the plain pickler has refused before.

    For a ``__reduce__`` that must not do everything twice.
    """
    return _again.depth > 0


Handle.__module__ = ReceivedHandle.__module__ = "mp_connection.handles"
