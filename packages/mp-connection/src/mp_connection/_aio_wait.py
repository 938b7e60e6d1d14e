"""Tasks that wait for descriptors, by the reader and writer callbacks of their loop.

A loop has one callback for a descriptor: a watch shares it among any number of tasks,
in the order in which they came, and is there only while one waits.

An event loop must let go of a descriptor before that is closed, lest it go on with
whatever gets the number next.  So a connection that is closed says so here first.  The
thread of the loop does it at once.  Another thread must not touch the loop: it takes
the descriptor out of the channel, which is closed then, and lets the loop close it.
"""

from __future__ import annotations

import asyncio
import os
import time
from _thread import RLock, get_ident
from collections import deque
from itertools import count
from weakref import WeakKeyDictionary

from mp_connection._channel import SLICE_SECONDS, notified
from mp_connection._endpoint import closers
from mp_connection.lifecycle import after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Channel(Protocol):
        """What tasks wait for."""

        def fileno(self) -> int: ...

        def detach(self) -> int: ...

        def close(self) -> None: ...


#: Seconds that a task may go on before others of its loop get their turn.
TURN_SECONDS = 0.005

#: The watches of each channel that tasks wait for.
_watched: dict[object, list[Watch]] = {}
#: Held between a look at a channel's descriptor and its registration with a loop, and
#: while a channel is closed.  Recursive, as any call may run a finalizer that closes.
_lock = RLock()
_tickets = count()
#: When a task of the loop has last let others go on, here.
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()


class Watch:
    """One descriptor in one direction, and the tasks of one loop that wait for it."""

    __slots__ = ("_thread", "_waiters", "channel", "fd", "loop", "own", "writing")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: Channel,
        fd: int,
        own: bool,
        writing: bool,
    ) -> None:
        self.loop = loop
        self.channel = channel
        self.fd = fd
        self.own = own  # it is the channel's own descriptor, not that of one message
        self.writing = writing
        self._thread = get_ident()
        #: By the tickets, which say who came first.
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    def begin(self) -> None:
        """Register with the loop."""
        loop = self.loop
        (loop.add_writer if self.writing else loop.add_reader)(self.fd, self._ready)
        _watched.setdefault(self.channel, []).append(self)

    def join(self, ticket: int) -> asyncio.Future[None]:
        """A future that is done when it is worth another attempt."""
        future = self.loop.create_future()
        place = len(self._waiters)
        while place and self._waiters[place - 1][0] > ticket:
            place -= 1
        self._waiters.insert(place, (ticket, future))
        return future

    def _ready(self) -> None:
        if self._waiters:
            wake(self._waiters.popleft()[1])
        if not self._waiters:
            self.end()

    def leave(self, future: asyncio.Future[None]) -> None:
        """A task waits no more."""
        for place, waiter in enumerate(self._waiters):
            if waiter[1] is future:
                del self._waiters[place]
                if not self._waiters:
                    self.end()
                return

    def end(self) -> None:
        """Let go of the descriptor; who waits looks again.  For the loop's thread."""
        with _lock:
            watches = _watched.get(self.channel, [])
            if self not in watches:
                return
            watches.remove(self)
            if not watches:
                del _watched[self.channel]
        loop = self.loop
        if loop.is_closed():  # its tasks will never run again
            self._waiters.clear()
            return
        (loop.remove_writer if self.writing else loop.remove_reader)(self.fd)
        while self._waiters:
            wake(self._waiters.popleft()[1])

    def here(self) -> bool:
        """Whether this thread is that of the loop."""
        return get_ident() == self._thread


def wake(future: asyncio.Future[None]) -> None:
    """Let a future be done, if it is not."""
    if not future.done():
        future.set_result(None)


async def ready(
    channel: Channel,
    *,
    fd: int | None = None,
    writing: bool = False,
    ticket: int | None = None,
    seconds: float | None = None,
) -> int:
    """Wait until it is worth another attempt; perhaps it is not.

    Args:
        channel: what to read from or write to; if it is closed the wait ends.
        fd: a descriptor of one message's, instead of the channel's.
        writing: whether it is to be written to.
        ticket: what an earlier call for the same message has returned, so that the task
            does not lose its place to those who came later.
        seconds: the longest wait.

    Returns:
        The ticket.
    """
    if ticket is None:
        ticket = next(_tickets)
    loop = asyncio.get_running_loop()
    with _lock:
        watched = channel.fileno() if fd is None else fd
        if watched == -1 or channel.fileno() == -1:
            return ticket
        for watch in _watched.get(channel, ()):
            if (watch.loop, watch.fd, watch.writing) == (loop, watched, writing):
                break
        else:
            watch = Watch(loop, channel, watched, fd is None, writing)
            watch.begin()
        future = watch.join(ticket)
    timer = None if seconds is None else loop.call_later(seconds, wake, future)
    try:
        await future
    finally:
        _turns[loop] = time.monotonic()
        watch.leave(future)
        if timer is not None:
            timer.cancel()
    return ticket


async def writable(
    channel: Channel, *, fd: int | None = None, ticket: int | None = None
) -> int:
    """As `ready`, for writing.

    A socket counts as writable when three quarters of its buffer are free, and a
    message fits long before that.
    """
    return await ready(
        channel, fd=fd, writing=True, ticket=ticket, seconds=SLICE_SECONDS
    )


def turn_ends() -> float:
    """The time of `time.monotonic` at which the task of this loop should pause."""
    return _turns.get(asyncio.get_running_loop(), 0.0) + TURN_SECONDS


async def pause() -> None:
    """Let other tasks of the loop go on, if they have not for a while."""
    loop = asyncio.get_running_loop()
    now = time.monotonic()
    if now >= _turns.get(loop, 0.0) + TURN_SECONDS:
        await asyncio.sleep(0)
        _turns[loop] = time.monotonic()


def look_again(channel: object) -> None:
    """Wake all tasks that wait for a channel, from any thread."""
    if channel in _watched:
        with _lock:
            for watch in list(_watched.get(channel, ())):
                if watch.here():
                    watch.end()
                else:
                    _tell(watch, watch.end)


class _Descriptor:
    """Closed when the last loop has let go of it."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __del__(self) -> None:
        os.close(self._fd)


def _close(channel: Channel) -> None:
    """Close a channel, whichever tasks wait for it."""
    with _lock:
        elsewhere = []
        for watch in list(_watched.get(channel, ())):
            if watch.here() or watch.loop.is_closed():
                watch.end()
            else:
                elsewhere.append(watch)
        if not elsewhere:
            channel.close()
            return
        fd = channel.detach()
        descriptor = None if fd == -1 else _Descriptor(fd)
        for watch in elsewhere:

            def end(watch: Watch = watch, _: object = descriptor) -> None:
                watch.end()

            _tell(watch, end)


def _tell(watch: Watch, callback: Callable[[], object]) -> None:
    try:
        watch.loop.call_soon_threadsafe(callback)
    except RuntimeError:  # the loop is closed, and its registrations with it
        pass


def _in_forked_child() -> None:
    # The parent's loops go on with these; what they wait by is shared with it.
    global _lock
    _lock = RLock()
    _watched.clear()


closers.append(_close)
notified.append(look_again)
after_fork(_in_forked_child)
