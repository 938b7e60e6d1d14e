"""Waiting for the same connections again and again, by epoll(7).

select(2) and poll(2) look at every descriptor at every call.  A program that waits for
a hundred connections mostly waits for the same ones the next time: their descriptors
are handed to the kernel once, and a call then costs what is ready.

A list is known again by the sockets in it, not by numbers, which the system gives out
anew.  What is remembered goes with the first connection of the list: when that is
closed or collected, so is the epoll descriptor.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import select
from time import monotonic

from mp_connection._connection import Connection
from mp_connection._endpoint import sockets
from mp_connection.lifecycle import after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

#: Shorter lists are looked at as quickly by select(2).
FEWEST = 16
#: Seconds that the system can be told to wait at a time.
_LONGEST = 86_400.0


class Watchlist:
    """A list that was waited for.

    Args:
        numbers: the methods that tell the descriptors; each belongs to one socket for
            as long as that lives.
    """

    __slots__ = ("_epoll", "_fds", "_position", "numbers")

    def __init__(self, numbers: list[Callable[[], int]]) -> None:
        self.numbers = numbers
        self._epoll: select.epoll | None = None
        self._fds: list[int] = []
        self._position: dict[int, int] | None = None

    def watch(self) -> bool:
        """Hand the descriptors to the kernel; whether that is possible."""
        if self._position is None:
            after_fork(_in_forked_child, once=True)
            fds = [number() for number in self.numbers]
            self._position = {fd: index for index, fd in enumerate(fds)}
            try:
                if -1 in fds or len(self._position) < len(fds):
                    return False
                epoll = select.epoll(len(fds))
                for fd in fds:
                    epoll.register(fd, select.EPOLLIN)
            except OSError:
                return False  # no descriptor is left, or one that is always ready
            self._fds = fds
            self._epoll = epoll
        return self._epoll is not None

    def wait(self, timeout: float | None) -> list[int] | None:
        """Which are ready, as indices in order; None if the list is not as it was."""
        assert self._epoll is not None
        assert self._position is not None
        deadline = None if timeout is None else monotonic() + timeout
        while [number() for number in self.numbers] == self._fds:
            seconds = _LONGEST
            if deadline is not None:
                seconds = min(max(0.0, deadline - monotonic()), _LONGEST)
            events = self._epoll.poll(seconds, len(self._fds))
            if len(events) == 1:
                return [self._position[events[0][0]]]
            if events or (deadline is not None and monotonic() >= deadline):
                return sorted([self._position[fd] for fd, _ in events])
        return None


def wait_again(objects: Sequence[Any], timeout: float | None) -> list[Any] | None:
    """What `wait` returns, if these objects were waited for before.

    Returns:
        None if not, or if this way is not open to them.
    """
    first = objects[0]
    try:
        numbers = [item._fileno for item in objects]
        sock = first._channel.sock
    except AttributeError:
        return None  # no connections of ours
    known: Watchlist | None = sockets.get(sock)
    if known is None or known.numbers != numbers:
        if all(isinstance(o, Connection) and _is_plain(type(o)) for o in objects):
            sockets[sock] = Watchlist(numbers)
            if first.closed:  # meanwhile, by another thread
                sockets.pop(sock, None)
        return None
    if not known.watch():
        return None
    ready = known.wait(timeout)
    return None if ready is None else [objects[index] for index in ready]


def _is_plain(kind: type[Connection[Any, Any]]) -> bool:
    """Whether nobody has replaced the descriptor of a class."""
    return kind.fileno is Connection.fileno


def _in_forked_child() -> None:
    # The kernel's list is the parent's too: a change here would be one there.
    for sock, known in list(sockets.items()):
        if known is not None:
            sockets[sock] = None
