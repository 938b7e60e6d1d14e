"""Connections between threads of one process, as `multiprocessing.connection` has them.

Objects are handed over as they are: nothing is pickled.  To close a connection does
nothing, because a program that is written for processes closes the end that it has
given to one, and here that is the same object.  An end that nobody has is closed.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from time import monotonic
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from mp_connection import BufferTooShort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer, TypeVar as TypeVarWithDefault

    SendT = TypeVarWithDefault("SendT", default=Any)
    RecvT = TypeVarWithDefault("RecvT", default=Any)
else:
    SendT = TypeVar("SendT")
    RecvT = TypeVar("RecvT")

__all__ = ("Client", "Connection", "Listener", "Pipe", "families")

#: The families of addresses: there is one, which has no name.
families: Final[list[None]] = [None]

_numbers = itertools.count(1)
_listeners: dict[object, Listener] = {}
_listeners_lock = threading.Lock()


class _Direction:
    """What was sent one way and not received yet."""

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.changed: threading.Condition = threading.Condition()
        self.writer_is_open: bool = True
        self.reader_is_open: bool = True


class Connection(Generic[SendT, RecvT]):
    """One end of a pipe between threads; `Pipe`, `Client` and `Listener` make them.

    Any number of threads may use it.
    """

    def __init__(
        self, incoming: _Direction | None, outgoing: _Direction | None
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    @property
    def readable(self) -> bool:
        """Whether it is for receiving."""
        return self._incoming is not None

    @property
    def writable(self) -> bool:
        """Whether it is for sending."""
        return self._outgoing is not None

    def send(self, obj: SendT) -> None:
        """Hand an object over.

        Raises:
            OSError: it is for receiving only.
            BrokenPipeError: nobody has the other end any more.
        """
        self._put(obj)

    def recv(self) -> RecvT:
        """The next object; waits for it.

        Raises:
            OSError: it is for sending only.
            EOFError: nothing is left, and nobody has the other end any more.
        """
        found: RecvT = self._take()
        return found

    def send_bytes(
        self, buffer: Buffer, offset: int = 0, size: int | None = None
    ) -> None:
        """Hand bytes over.

        Args:
            buffer: where they are.
            offset: where they begin in it, in bytes.
            size: how many; None for all that follow.

        Raises:
            ValueError: they are not within the buffer.
            OSError: as of `send`.
        """
        try:
            data = memoryview(buffer).cast("B")
        except TypeError:
            # Between processes, what `recv_bytes` gets of an object that was sent is
            # its pickle, and can be passed on.  Here it is the object itself.
            if not isinstance(buffer, str):
                self._put(buffer)
                return
            raise
        end = len(data) if size is None else offset + size
        if not 0 <= offset <= end <= len(data):
            raise ValueError("the bytes to send are not within the buffer")
        self._put(bytes(data[offset:end]))

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """The next bytes; waits for them.

        Args:
            maxlength: how many there may be.

        Raises:
            OSError: there are more; or as of `recv`.
            EOFError: as of `recv`.
        """
        received: Any = self._take()
        if maxlength is not None and isinstance(received, bytes):
            size = len(received)
            if size > maxlength:
                raise OSError(f"a message of {size} bytes is longer than {maxlength}")
        data: bytes = received
        return data

    def recv_bytes_into(self, buffer: Buffer, offset: int = 0) -> int:
        """Put the next bytes into a buffer; waits for them.

        Args:
            buffer: where to.
            offset: where to begin in it, in bytes.

        Returns:
            How many bytes they are.

        Raises:
            BufferTooShort: they do not fit; it has them as ``args[0]``.
            ValueError: the offset is not within the buffer.
            OSError: as of `recv`.
            EOFError: as of `recv`.
        """
        place = memoryview(buffer).cast("B")
        if not 0 <= offset <= len(place):
            raise ValueError("the offset is not within the buffer")
        data: bytes = self._take()
        if len(data) > len(place) - offset:
            raise BufferTooShort(data)
        place[offset : offset + len(data)] = data
        return len(data)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something to receive, the end included.

        Args:
            timeout: how long to wait for it, in seconds; None for ever.

        Raises:
            OSError: it is for sending only.
        """
        incoming = self._open(self._incoming, "receiving")
        with incoming.changed:
            return incoming.changed.wait_for(
                lambda: incoming.items or not incoming.writer_is_open, timeout
            ) not in (False, None)

    def close(self) -> None:
        """Do nothing: another thread may have this very object."""

    def _open(self, direction: _Direction | None, purpose: str) -> _Direction:
        if direction is None:
            raise OSError(f"the connection is not for {purpose}")
        return direction

    def _put(self, obj: object) -> None:
        outgoing = self._open(self._outgoing, "sending")
        with outgoing.changed:
            if not outgoing.reader_is_open:
                raise BrokenPipeError("nobody has the other end any more")
            outgoing.items.append(obj)
            outgoing.changed.notify()

    def _take(self) -> Any:
        incoming = self._open(self._incoming, "receiving")
        with incoming.changed:
            while not incoming.items:
                if not incoming.writer_is_open:
                    raise EOFError
                incoming.changed.wait()
            return incoming.items.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # This may interrupt a thread that holds the lock of a condition: that is one
        # that may be taken again.
        if self._incoming is not None:
            with self._incoming.changed:
                self._incoming.reader_is_open = False
                self._incoming.items.clear()
        if self._outgoing is not None:
            with self._outgoing.changed:
                self._outgoing.writer_is_open = False
                self._outgoing.changed.notify_all()


def Pipe(
    duplex: bool = True,
) -> tuple[Connection[SendT, RecvT], Connection[RecvT, SendT]]:
    """Two connections, each of which receives what the other one sends.

    Args:
        duplex: False for a first one that only receives and a second that only sends.
    """
    there, back = _Direction(), _Direction() if duplex else None
    return Connection(there, back), Connection(back, there)


class Listener:
    """Accepts the connections that `Client` makes in other threads.

    Args:
        address: anything that can be a key of a dict; None for a new one.
        family: of no meaning.
        backlog: how many clients may wait to be accepted.

    Raises:
        OSError: another listener has this address.
    """

    def __init__(
        self, address: object = None, family: object = None, backlog: int = 1
    ) -> None:
        self._waiting: deque[Connection[Any, Any]] = deque()
        self._changed = threading.Condition()
        self._backlog = max(1, backlog)
        self._closed = False
        if address is None:
            address = f"dummy-{next(_numbers)}"
        self._address = address
        with _listeners_lock:
            if address in _listeners:
                raise OSError(f"another listener has the address {address!r}")
            _listeners[address] = self

    @property
    def address(self) -> Any:
        """Where clients reach it."""
        return self._address

    @property
    def last_accepted(self) -> None:
        """Always None: clients have no addresses."""
        return

    def accept(self) -> Connection[Any, Any]:
        """The connection to the next client; waits for it.

        Raises:
            OSError: it is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                raise OSError("the listener is closed")
            accepted = self._waiting.popleft()
            self._changed.notify_all()
            return accepted

    def close(self) -> None:
        """Accept no more clients; those that wait are refused."""
        with _listeners_lock:
            if _listeners.get(self._address) is self:
                del _listeners[self._address]
        with self._changed:
            self._closed = True
            refused = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        del refused  # and their clients get an end-of-file

    def _connect(self, theirs: Connection[Any, Any], deadline: float) -> bool:
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: self._closed or len(self._waiting) < self._backlog,
                deadline - monotonic(),
            )
            if self._closed or not has_room:
                return False
            self._waiting.append(theirs)
            self._changed.notify_all()
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


#: How long a client waits for a place among those that wait to be accepted, in seconds.
_CONNECT_SECONDS = 20.0


def Client(address: object) -> Connection[Any, Any]:
    """A connection to the listener of an address.

    Raises:
        ConnectionRefusedError: nobody listens there, or too many wait.
    """
    with _listeners_lock:
        listener = _listeners.get(address)
    ours: Connection[Any, Any]
    theirs: Connection[Any, Any]
    ours, theirs = Pipe()
    deadline = monotonic() + _CONNECT_SECONDS
    if listener is None or not listener._connect(theirs, deadline):
        raise ConnectionRefusedError(f"nobody accepts connections at {address!r}")
    return ours
