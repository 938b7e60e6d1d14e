"""`Listener`: the side that waits (manual, "Listeners and Clients")."""

from __future__ import annotations

import _thread
import time
from _weakref import ref
from errno import EBADF

from mp_connection._addresses import Door, family_of
from mp_connection._channel import SLICE_SECONDS, poller
from mp_connection._connection import Connection, allow_list
from mp_connection._guests import Guest, Guests
from mp_connection._handshake import check_key
from mp_connection._stream import StreamChannel
from mp_connection._stream_connection import StreamConnection, deadline_of
from mp_connection._wait import wait
from mp_connection.errors import AuthenticationError, ChannelClosedError, TimeoutError
from mp_connection.lifecycle import at_exit, close_after_fork, generation

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Sequence
    from types import TracebackType
    from typing import Any, Generic, NoReturn, Self, TypeVar

    from mp_connection._addresses import Address
    from mp_connection._allowing import Allow
    from mp_connection._stream import Stream

    SendT = TypeVar("SendT", contravariant=True)
    RecvT = TypeVar("RecvT", covariant=True)
else:
    from mp_connection._generic import Generic

    SendT = RecvT = None

#: Strangers whose handshake may be under way at a time; one more replaces the oldest.
_MOST_GUESTS = 64
#: With so many strangers about, the next one does not get it to itself: whoever opens
#: thousands of silent connections shall not hold up those who know the key.
_CROWD = 8


class Listener(Generic[SendT, RecvT]):
    """Waits for connections at an address (manual, "Listeners and Clients").

    Any number of threads may accept at the same time, and so may forked processes.
    Only the process that made the listener removes its socket file, when the listener
    is closed, dropped, or the process exits.

    Args:
        address: where to listen: (host, port), a path, or an abstract name that begins
            with a null byte; None for an address of its own.
        family: ``"AF_INET"``, ``"AF_INET6"`` or ``"AF_UNIX"``; None to tell by the
            address.
        backlog: connections that may wait for `accept`.
        authkey: the key that both ends have to know; None for no authentication.
        handshake_timeout: seconds that a client has to prove it, TLS included.
        allow: what may be unpickled from clients, as for `Connection`.
        ssl_context: for TLS, with TCP only; the context is a server's, with a
            certificate, and may demand one of the clients.

    Raises:
        ValueError: no such family on this platform, an address of no family, or a
            family without TLS.
        TypeError: the key is not bytes, the context is no context, or *allow* is no
            list.
        OSError: the address cannot be used, or the context is for clients
            (`ssl.SSLError`).
    """

    __slots__ = (
        "__weakref__", "_allow", "_authkey", "_cancel", "_context", "_door",
        "_generation", "_guests", "_last", "_patience", "_turn",
    )  # fmt: skip

    def __init__(
        self,
        address: Address | None = None,
        family: str | None = None,
        backlog: int = 1,
        authkey: bytes | None = None,
        *,
        handshake_timeout: float = 10.0,
        allow: Allow | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if authkey is not None:
            check_key(authkey)
        self._allow = allow_list(allow)
        family = family_of(address, family)
        if ssl_context is not None:
            from mp_connection._tls import check_context

            check_context(ssl_context, family, server=True)
        self._context = ssl_context
        self._authkey = authkey
        self._patience = handshake_timeout
        self._guests = Guests()
        close_after_fork(self._guests)
        self._last: Any = None
        self._generation = generation.number  # of forks
        self._turn = _thread.allocate_lock()
        self._door = Door(family, address, backlog)
        reference = ref(self)

        def close() -> None:
            listener = reference()
            if listener is not None:
                listener.close()

        self._cancel = at_exit(close)

    @property
    def address(self) -> Any:
        """The address, with the port that the system has chosen."""
        return self._door.address

    @property
    def last_accepted(self) -> Any:
        """Where the last accepted connection came from; None if that has no address."""
        return self._last

    def fileno(self) -> int:
        """The descriptor, ready to read when a client waits; -1 when closed."""
        return self._door.fileno()

    def close(self) -> None:
        """Stop listening.  A second call does nothing.

        Connections that were accepted stay open; an `accept` in another thread ends
        within 200 ms.
        """
        self._cancel()
        self._door.close()
        self._guests.close()

    def __del__(self) -> None:
        if hasattr(self, "_cancel"):
            self.close()

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
        state = "closed" if self.fileno() == -1 else f"at {self.address!r}"
        return f"<mp_connection.Listener {state}>"

    def accept(self, timeout: float | None = None) -> Connection[SendT, RecvT]:
        """The next connection; blocks until there is one.

        Handshakes with several clients go on side by side, so that one who says nothing
        does not keep the others waiting.

        Args:
            timeout: seconds for connecting and authentication; None waits for ever.

        Raises:
            AuthenticationError: a client did not prove that it knows the key, or that
                the listener does did not satisfy it.  Call again for the next client.
            TimeoutError: no client connected and proved it in time.
            ChannelClosedError: the listener is closed (an OSError).
        """
        deadline = deadline_of(timeout)
        self._renew_turn()
        if deadline is None:
            with self._turn:
                return self._accept(None)
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimeoutError("no client connected in time")
        try:
            return self._accept(deadline)
        finally:
            self._turn.release()

    def _renew_turn(self) -> None:
        """In a forked child: a thread of the parent may be accepting."""
        if self._generation != generation.number:
            self._generation, self._turn = generation.number, _thread.allocate_lock()
            close_after_fork(self._guests)  # for this process's own children

    def _accept(self, deadline: float | None) -> Connection[SendT, RecvT]:
        ready: Collection[object] = list(self._guests) or self._wait(deadline)
        while True:
            connection = self._next(ready)
            if connection is None and len(self._guests) == 1 and deadline is None:
                connection = self._attend(self._guests[0])
            if connection is not None:
                return connection
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError("no client connected and proved its key in time")
            ready = self._wait(deadline)

    def _next(self, ready: Collection[object]) -> Connection[Any, Any] | None:
        """A connection, if one can be had without waiting."""
        if self._guests:
            guest = self._serve_guests(ready)
            if guest is not None:
                return self._admit(guest.sock, guest.address, guest.channel)
            if not self._free():
                return None
        return self._let_in()

    def _attend(self, guest: Guest) -> Connection[Any, Any] | None:
        """Wait for a lone guest, who mostly answers at once, as long as its grace."""
        try:
            poll = poller(guest.sock.fileno())
        except ValueError:
            self._refuse()  # another thread has closed the listener
        while (seconds := guest.grace - time.monotonic()) > 0:
            if poll(seconds * 1000) and self._serve(guest):
                return self._admit(guest.sock, guest.address, guest.channel)
        return None

    async def aaccept(self) -> Connection[SendT, RecvT]:
        """As `accept`, for a task of an event loop: other tasks go on meanwhile.

        Any number of tasks may accept at the same time.  One that is cancelled loses no
        client: whoever accepts next goes on with its handshake.

        Raises:
            AuthenticationError: as `accept`.
            ChannelClosedError: the listener is closed, perhaps meanwhile (an OSError).
            NotImplementedError: the event loop has no ``add_reader``.
        """
        from mp_connection._aio import accept

        return await accept(self)

    def _attempt(
        self, ready: Collection[object]
    ) -> tuple[Connection[Any, Any] | None, Sequence[object], float]:
        """A connection, if one can be had without waiting.

        Returns:
            The connection or None; what to wait for otherwise, nothing if a thread is
            accepting; and seconds to wait at most.
        """
        self._renew_turn()
        if not self._turn.acquire(False):
            return None, (), 0.0
        try:
            connection = self._next(ready)
            return (
                (None, *self._awaited(None))
                if connection is None
                else (connection, (), 0.0)
            )
        finally:
            self._turn.release()

    def _admit(
        self, sock: Stream, address: object, channel: StreamChannel | None = None
    ) -> Connection[Any, Any]:
        self._last = address
        if channel is None:
            channel = StreamChannel(sock, own=True)
            return StreamConnection._over(channel, allow=self._allow)
        from mp_connection._tls import connection_over

        return connection_over(channel, self._allow)

    def _free(self) -> bool:
        """Whether all guests have had their time alone."""
        now = time.monotonic()
        return all(guest.grace <= now for guest in self._guests)

    def _serve_guests(self, ready: Collection[object]) -> Guest | None:
        """The first guest who is welcome; of those who may have said something."""
        now = time.monotonic()
        for guest in list(self._guests):
            if guest not in ready and guest.expires > now and not guest.stalled:
                continue
            if self._serve(guest):
                return guest
        return None

    def _serve(self, guest: Guest) -> bool:
        """Whether a guest is welcome; it is a guest no more then, or when refused."""
        try:
            if guest.step():
                self._guests.remove(guest)
                return True
            if guest.expires <= time.monotonic():
                raise AuthenticationError("a client did not prove its key in time")
        except BaseException:  # Ctrl-C too: a message of the exchange may be lost
            self._dismiss(guest)
            raise
        return False

    def _dismiss(self, guest: Guest) -> None:
        guest.close()
        if guest in self._guests:
            self._guests.remove(guest)

    def _let_in(self) -> Connection[Any, Any] | None:
        """Take a connection: it is returned, or becomes a guest."""
        try:
            line, address = self._door.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError:
            if self._door.fileno() == -1:
                self._refuse()
            raise
        sock: Stream = line
        channel = None
        if self._context is not None:
            from mp_connection._tls import tls_channel

            channel = tls_channel(line, self._context)
            sock = channel.sock
        elif self._authkey is None:
            return self._admit(sock, address)
        guest = Guest(sock, address, self._authkey, self._patience, channel)
        self._guests.append(guest)
        if len(self._guests) > _CROWD:
            guest.grace = 0.0
        if len(self._guests) > _MOST_GUESTS:
            self._dismiss(self._guests[0])
            raise AuthenticationError(
                "too many clients are silent: the one that had been so for longest was"
                " turned away"
            )
        return self._admit(sock, address, channel) if self._serve(guest) else None

    def _wait(self, deadline: float | None) -> Sequence[object]:
        """Wait for something to happen, a slice of time at most; where it did."""
        objects, seconds = self._awaited(deadline)
        try:
            if objects != [self._door]:
                return wait(objects, seconds)
            self._door.wait(seconds)
            return ()
        except (OSError, ValueError):
            if self._door.fileno() == -1:
                self._refuse()
            raise

    def _awaited(self, deadline: float | None) -> tuple[list[Guest | Door], float]:
        """What to wait for, and for how many seconds at most."""
        if self._door.fileno() == -1:
            self._refuse()
        seconds = SLICE_SECONDS
        if deadline is None and not self._guests:
            return [self._door], seconds
        now = time.monotonic()
        if deadline is not None:
            seconds = min(seconds, deadline - now)
        objects: list[Guest | Door] = [*self._guests]
        alone = False
        for guest in self._guests:
            seconds = min(seconds, guest.expires - now)
            if guest.grace > now:
                alone = True
                seconds = min(seconds, guest.grace - now)
        if not alone:
            objects.append(self._door)
        return objects, max(0.0, seconds)

    @staticmethod
    def _refuse() -> NoReturn:
        raise ChannelClosedError(EBADF, "the listener is closed")


Listener.__module__ = "mp_connection"
