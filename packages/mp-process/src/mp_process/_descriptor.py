"""Ownership of a plain descriptor."""

from __future__ import annotations

import os
from _thread import RLock, get_ident

from mp_connection.handles import Handle, ReceivedHandle
from mp_connection.lifecycle import close_after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Closeable(Protocol):
        """Anything that can be closed."""

        def close(self) -> None: ...


class Descriptor:
    """Owns a descriptor and closes it once.

    Args:
        fd: the descriptor.
    """

    __slots__ = ("__weakref__", "_fd")

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor, or -1 when closed."""
        return self._fd

    def take(self) -> int:
        """The descriptor, which is the caller's from now on."""
        fd, self._fd = self._fd, -1
        return fd

    def private(self) -> Descriptor:
        """Have it closed first thing in forked children; returns itself."""
        close_after_fork(self)
        return self

    def close(self) -> None:
        """Close it; a second call does nothing."""
        # The number is forgotten first: it may be another file's right after close.
        fd, self._fd = self._fd, -1
        if fd != -1:
            os.close(fd)

    __del__ = close

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (Handle(self._fd),)


class Lent:
    """A descriptor that stays its owner's; it arrives as a `Descriptor`.

    Args:
        fd: the descriptor, which has to stay open until the message is sent.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (Handle(self._fd),)


def _rebuild(handle: ReceivedHandle) -> Descriptor:
    return Descriptor(handle.take())


def pipe() -> tuple[Descriptor, Descriptor]:
    """Both ends of a pipe: reading, writing."""
    reading, writing = os.pipe()
    return Descriptor(reading), Descriptor(writing)


#: Containers with more elements than this are not searched for owners.
_FEW = 1000


def owns_descriptor(value: object) -> bool:
    """Whether this is a connection, a socket or a file, or a container of some."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return len(value) <= _FEW and any(hasattr(type(x), "fileno") for x in value)
    if isinstance(value, dict):
        return owns_descriptor(list(value.values()))
    return hasattr(type(value), "fileno")


#: Held while descriptors are made and registered as private: nobody forks then.
#:
#: The system call that makes a descriptor lets other threads run.  One that forked
#: before it is registered would give its child a write end of somebody's lifeline, or
#: a start-up socket: then a death would be noticed by nobody.  A signal handler may
#: come in between and start a process itself, so the lock is a recursive one.
#:
#: Nobody calls `os.fork` with it held: what other packages have registered to be done
#: before a fork may wait for a lock, whose holder waits for this one.
no_fork = RLock()


def close_for_good(owner: Closeable) -> None:
    """Close what a child now has the only other end of, or copy.

    A thread that forked just between the end of `owner`'s knowing of its descriptor and
    that of the descriptor would give its child one that nobody closes.
    """
    with no_fork:
        owner.close()


class OwnForkOnly:
    """Has descriptors closed in forked children, but not in those of this thread.

    Args:
        owners: what is to be closed.  They have to live as long as this object.
    """

    __slots__ = ("__weakref__", "_owners", "_thread")

    def __init__(self, *owners: Closeable) -> None:
        self._owners = owners
        self._thread = get_ident()
        close_after_fork(self)

    def close(self) -> None:
        """Called in every forked child."""
        if get_ident() != self._thread:
            for owner in self._owners:
                owner.close()


if hasattr(os, "register_at_fork"):
    # Methods of C, because an exception from a signal handler could break into a
    # function of ours before it comes to the release.
    os.register_at_fork(
        before=no_fork.acquire,
        after_in_parent=no_fork.release,
        after_in_child=no_fork.release,
    )
