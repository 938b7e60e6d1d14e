"""`wait` by select(2) where it can, else by poll(2), which knows no largest number.

On Linux the same list the next time is waited for by epoll(7).
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import errno
import select
from itertools import compress
from time import monotonic

from mp_connection._channel import keeping
from mp_connection._connection import Connection

if sys.platform == "linux":
    from mp_connection._watchlist_linux import FEWEST, wait_again

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any, TypeVar

    from mp_connection._wait import Waitable

    T = TypeVar("T", bound=Waitable)

#: Channels over a lower layer (TLS), of which the kernel does not say what is ready.
layered: set[Any] = set()
#: Seconds that the system can be told to wait at a time.
_LONGEST = 86_400.0


def wait(object_list: Iterable[T], timeout: float | None = None) -> list[T]:
    """Wait until one of several objects is ready (manual, "Listeners and Clients").

    A connection or socket is ready when a read would not block, end-of-file included;
    a sentinel is when its process has ended.  Signals do not cut the wait short,
    unless their handler raises.  Any thread may wait for any object; that another
    thread closes one meanwhile may go unnoticed.

    Args:
        object_list: descriptors, connections, sockets, or anything with ``fileno``.
        timeout: seconds; None waits for ever, a negative one not at all.

    Returns:
        Those that are ready, in the order given; empty at the time-out.

    Raises:
        ChannelClosedError: a connection is closed (an OSError).
        OSError: one of the descriptors is not open.
        ValueError: a descriptor is negative, as that of a closed socket.
    """
    objects: list[Any] = list(object_list)
    if sys.platform == "linux" and len(objects) >= FEWEST and not keeping:
        ready = wait_again(objects, timeout)
        if ready is not None:
            return ready
    return _wait(objects, timeout)


def _wait(objects: list[Any], timeout: float | None) -> list[Any]:
    deadline = None if timeout is None else monotonic() + timeout
    fds = [o._fileno() if type(o) is Connection else number_of(o) for o in objects]
    if -1 in fds:
        _refuse(objects[fds.index(-1)])
    # Half a message stands in this process already, and not in the kernel.
    kept = {channel.fileno() for channel in list(keeping) if channel.pending}
    kept.intersection_update(fds)
    layers: dict[int, Any] = {}
    if layered:
        layers = {c.fileno(): c for c in list(layered) if c.fileno() in fds}
        kept.update(fd for fd, channel in layers.items() if channel.readable())
    if kept:
        deadline = monotonic()
    while True:
        seconds = _LONGEST
        if deadline is not None:
            seconds = min(max(0.0, deadline - monotonic()), _LONGEST)
        ready = _ready(fds, seconds)
        if layers:
            ready = [f for f in ready if f not in layers or layers[f].readable()]
        if ready or (deadline is not None and monotonic() >= deadline):
            break
    return list(compress(objects, map(kept.union(ready).__contains__, fds)))


def _ready(fds: list[int], seconds: float) -> Collection[int]:
    try:
        # The quickest for a hundred of them, but for numbers below 1024 only.
        return select.select(fds, (), (), seconds)[0]
    except ValueError:
        pass
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    events = poller.poll(seconds * 1000)
    for fd, event in events:
        if event & select.POLLNVAL:
            raise OSError(errno.EBADF, f"descriptor {fd} is not open")
    return [fd for fd, _ in events]


def number_of(item: Waitable) -> int:
    return item if isinstance(item, int) else item.fileno()


def _refuse(item: object) -> None:
    if isinstance(item, Connection):
        item.fileno()
    raise ValueError(f"{item!r} is closed")
