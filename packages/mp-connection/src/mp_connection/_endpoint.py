"""What every connection has, whatever it carries: a descriptor, directions, `poll`."""

from __future__ import annotations

import time
from errno import EBADF
from sys import is_finalizing

from mp_connection._channel import SLICE_SECONDS, PacketChannel, peeker, poller
from mp_connection._lookout import Lookout
from mp_connection.errors import ChannelClosedError
from mp_connection.lifecycle import outlive_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, NoReturn, Self

    from mp_connection._allowing import AllowList
    from mp_connection._lookout import Poll

#: The sockets of all connections that are alive.  When a connection in a reference
#: cycle is collected, its socket would be finalized first and warn that nobody closed
#: it; being referred to from here, it waits for the connection's finalizer.  The value
#: is the list that `wait` remembers with it.
sockets: dict[object, Any] = {}
outlive_modules(sockets)  # or the same would happen at the end of the interpreter

#: What closes the channel of a connection that tasks of an event loop may wait for: the
#: loop must let go of the descriptor first.  Empty unless a program uses such loops.
closers: list[Callable[[Any], object]] = []


#: What `refuse` returns.
CLOSED: object = object()


def refuse(*_: object) -> object:
    """Stands for a function that sends, before the first use and after the last.

    It raises nothing: making an exception and finding out whose it is would cost a
    forked child, which copies each page that it touches, more than its first message.

    Returns:
        `CLOSED`, as nothing was sent.
    """
    return CLOSED


def raised_by_handler(error: OSError) -> bool:
    """Whether it comes from a signal handler, and not from the call that raised it."""
    if is_finalizing():  # when no handler runs, and nothing can be imported
        return False
    from mp_connection._signals import is_of_handler  # start-up time of children

    return is_of_handler(error)


class Endpoint:
    """One end of a connection; see `Connection`, which it is the base of."""

    __slots__ = (
        "__weakref__",
        "_allow",  # set where there is a list: see `_allowing`
        "_arrivals",
        "_channel",
        "_fileno",
        "_kept",
        "_lookout",
        "_pollers",
        "_readable",
        "_ready",
        "_send",
        "_send_bytes",
        "_writable",
    )

    _allow: AllowList
    _lookout: Lookout | None

    def _open(self, sock: _socket.socket, readable: bool, writable: bool) -> None:
        self._channel = channel = PacketChannel(sock, True)
        sockets[sock] = None
        self._readable = readable
        self._writable = writable
        self._pollers: list[Poll] = []
        self._kept = channel.kept
        self._lookout = None
        self._fileno = sock.fileno
        # The common case calls the system at once: direction and state are checked by
        # what stands in these slots.  They are filled at the first use, as an end is
        # often made for another process.
        self._ready: Callable[[], bool] | None = None
        self._arrivals: Iterable[Any] = ()
        self._send: Any = refuse
        self._send_bytes: Any = refuse

    @classmethod
    def _adopt(cls, sock: _socket.socket, readable: bool, writable: bool) -> Self:
        """The connection over a packet socket that is known to be one."""
        self = cls.__new__(cls)
        self._open(sock, readable, writable)
        return self

    def fileno(self) -> int:
        """The descriptor.

        Raises:
            ChannelClosedError: the connection is closed.
        """
        fd = self._fileno()
        return fd if fd != -1 else self._refuse("closed")

    def close(self) -> None:
        """Close the connection, as dropping the last reference to it does.

        A second call does nothing.  The far end sees end-of-file once every process
        that holds this end has closed it.
        """
        self._arrivals, self._send, self._send_bytes = (), refuse, refuse
        channel = self._channel
        for close in closers:
            close(channel)
        sockets.pop(channel.sock, None)
        channel.close()
        self._pollers.clear()

    # At the end of the interpreter the global name may be gone before the class.
    def __del__(self, forget: Callable[..., object] = sockets.pop) -> None:
        try:
            if self._fileno() == -1:
                return
        except AttributeError:
            return  # it could not be made
        forget(self._channel.sock, None)
        self._channel.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._fileno() == -1

    @property
    def readable(self) -> bool:
        """Whether messages can be received."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether messages can be sent."""
        return self._writable

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"fd {self._fileno()}"
        return f"<{type(self).__module__}.{type(self).__qualname__} {where}>"

    @staticmethod
    def _refuse(state: str) -> NoReturn:
        raise ChannelClosedError(EBADF, f"the connection is {state}")

    def _check_readable(self) -> None:
        if self._fileno() == -1:
            self._refuse("closed")
        if not self._readable:
            self._refuse("not readable")

    def _check_writable(self) -> None:
        if self._fileno() == -1:
            self._refuse("closed")
        if not self._writable:
            self._refuse("not writable")

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something to receive; end-of-file counts.

        With several readers, another one may be faster all the same.

        Args:
            timeout: seconds to wait for it; None waits for ever, a negative one not at
                all.

        Raises:
            ChannelClosedError: the connection is closed or not readable (an OSError).
        """
        ready = self._ready
        if ready is not None and timeout == 0 and not self._kept:
            try:
                return ready()
            except OSError:
                pass  # closed: that is said below
        # A poll object serves one thread at a time: each takes one of its own.
        try:
            poll = self._pollers.pop()
        except IndexError:
            poll = poller(self.fileno())
        if timeout == 0 or self._kept:
            events = poll(0)
        else:
            events = self._poll_until(poll, timeout)
        self._pollers.append(poll)
        # Only now: a number that another thread closed meanwhile may stand for
        # something else already.
        if self._fileno() == -1 or not self._readable:
            self._check_readable()
        if ready is None:
            self._ready = peeker(self._fileno)
        return bool(events) or bool(self._kept and self._channel.pending)

    def _begin_looking(self) -> Lookout:
        """Make what looks for a message before this sleeps until one comes."""
        lookout = self._lookout = Lookout(self._fileno, pollers=self._pollers)
        return lookout

    def _poll_until(
        self,
        poll: Poll,
        timeout: float | None,
    ) -> list[tuple[int, int]]:
        self._check_readable()
        seconds = SLICE_SECONDS
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if deadline is not None:
                seconds = min(max(0.0, deadline - time.monotonic()), SLICE_SECONDS)
            events = poll(seconds * 1000)
            if events or self._kept or self._fileno() == -1:
                return events
            if deadline is not None and time.monotonic() >= deadline:
                return events
