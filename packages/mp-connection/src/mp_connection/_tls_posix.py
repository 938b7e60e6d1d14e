"""Connections over TLS: what differs from those over other streams."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import select
import ssl
import time
from weakref import WeakSet

from mp_connection._channel import SLICE_SECONDS, Received, notified
from mp_connection._connection import SendT
from mp_connection._receiving import RecvT
from mp_connection._signals import is_of_handler
from mp_connection._stream_connection import StreamConnection
from mp_connection._stream_posix import StreamChannel, closed_error
from mp_connection._tls_stream_posix import TlsStream
from mp_connection._wait_posix import layered
from mp_connection.errors import AuthenticationError, HandleError
from mp_connection.lifecycle import after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any, NoReturn

    from mp_connection._allowing import AllowList
    from mp_connection._connection import Connection
    from mp_connection._outgoing_posix import Outgoing


_ends: WeakSet[TlsChannel] = WeakSet()


class TlsChannel(StreamChannel):
    """One end of a TLS connection, for messages of any size."""

    __slots__ = ()

    sock: TlsStream

    def __init__(self, stream: TlsStream) -> None:
        super().__init__(stream)
        self._prepare()  # before a thread can hold a lock of the stream's
        _ends.add(self)

    def _renew_locks(self) -> None:
        super()._renew_locks()
        self.sock.renew_lock()

    def _drop(self) -> None:
        layered.discard(self)
        super()._drop()

    @property
    def stalled(self) -> bool:
        return self.sock.stalled

    @property
    def buffered(self) -> bool:
        return self.sock.buffered

    def readable(self) -> bool:
        """Whether something can be received: what poll(2) shows may be nothing of it.

        The other way round, messages may be here which it does not show any more.
        """
        if self.kept or self.fileno() == -1 or self.sock.buffered:
            return True
        if not self.sock.fill():
            return False
        self._tell()
        return True

    def _tell(self) -> None:
        """Wake tasks: what was read ahead does not wake them by the descriptor."""
        if self.sock.buffered:
            for notify in notified:
                notify(self)

    def recv_small(self) -> bytes | None:
        return None

    def _recv(
        self,
        deadline: float | None,
        into: memoryview | None,
        limit: int | None,
        objects: bool,
        patience: float = SLICE_SECONDS,
    ) -> Received:
        received = None
        try:
            received = super()._recv(deadline, into, limit, objects, patience)
            self._tell()
            return received
        except BaseException:
            if received is not None:  # a signal handler raised meanwhile
                self.keep(received)
            self._tell()
            raise

    def open(self) -> bool:
        if self.sock.established:
            return True
        try:
            if not self.sock.shake_hands():
                return False
            # Until now the kernel knew what was ready.
            layered.add(self)
            return True
        except OSError as error:
            if self.fileno() == -1:
                raise closed_error() from None
            if is_of_handler(error):
                raise
            raise AuthenticationError(f"the TLS handshake failed: {error}") from error

    def open_until(self, deadline: float | None) -> None:
        """As `open`, but wait for it.

        Raises:
            AuthenticationError: the handshake failed.
            BlockingIOError: the deadline passed.
        """
        while not self.open():
            events = select.POLLIN
            if self.stalled:
                events |= select.POLLOUT
            self._wait(events, deadline)

    def send_small(self, data: bytes) -> bool:
        return False

    def _put_out(self, out: Outgoing, flags: int, until: float | None = None) -> bool:
        try:
            while self.sock.flush():
                if out.count:
                    out.settle()
                if not out.views:
                    return True
                if until is not None and time.monotonic() > until:
                    return False
                self.sock.encrypt(out)
            return False
        except OSError as error:
            if self.fileno() == -1:
                raise closed_error() from None
            if isinstance(error, ConnectionResetError):
                raise BrokenPipeError(error.errno, "the far end is closed") from error
            raise


class TlsConnection(StreamConnection[SendT, RecvT]):
    """A connection over TLS."""

    __slots__ = ()

    _channel: TlsChannel

    def poll(self, timeout: float | None = 0.0) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._check_readable()
            if self._channel.readable():
                self._check_readable()
                return True
            seconds = SLICE_SECONDS
            if deadline is not None:
                seconds = min(seconds, deadline - time.monotonic())
                if seconds <= 0:
                    return False
            poller = select.poll()
            poller.register(self.fileno(), select.POLLIN)
            poller.poll(seconds * 1000)

    def __reduce__(self) -> NoReturn:
        raise HandleError(
            "a TLS connection cannot go to another process: its keys and its state"
            " would stay behind"
        )


TlsConnection.__qualname__ = TlsConnection.__name__ = "Connection"
TlsConnection.__module__ = "mp_connection"


def check_context(context: object, family: str, server: bool) -> None:
    """Refuse what cannot work, and prepare what can.

    A listener's context sends no session tickets any more: nobody here resumes a
    session, and a client that closes without having read a ticket would reset the
    connection, with the loss of what it has sent last.

    Args:
        context: what was given as a context.
        family: of the address.
        server: whether it is for a listener.

    Raises:
        TypeError: it is no `ssl.SSLContext`.
        ValueError: the family carries no TLS.
        ssl.SSLError: the context is for the other side.
    """
    if not isinstance(context, ssl.SSLContext):
        kind = type(context).__name__
        raise TypeError(f"ssl_context is an ssl.SSLContext, not {kind}")
    if family not in ("AF_INET", "AF_INET6"):
        raise ValueError(f"TLS is for AF_INET and AF_INET6, not for {family}")
    if server:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        context.num_tickets = 0


def tls_channel(
    sock: _socket.socket, context: ssl.SSLContext, server_hostname: str | None = None
) -> TlsChannel:
    """A channel whose handshake has still to begin: see `TlsChannel.open`.

    Args:
        sock: the connected socket.
        context: the context.
        server_hostname: who the far end has to be; None for the listener's end.
    """
    server = server_hostname is None
    return TlsChannel(TlsStream(sock, context, server, server_hostname))


def open_client(
    sock: _socket.socket,
    context: ssl.SSLContext,
    server_hostname: str,
    deadline: float | None,
) -> TlsChannel:
    """A client's channel, through with its handshake.

    Raises:
        AuthenticationError: the handshake failed.
        BlockingIOError: the deadline passed.
        ValueError: it is no name of a host.
    """
    try:
        channel = tls_channel(sock, context, server_hostname)
    except BaseException:
        sock.close()
        raise
    try:
        channel.open_until(deadline)
    except BaseException:
        channel.close()
        raise
    return channel


def connection_over(
    channel: StreamChannel, allow: AllowList | None = None
) -> Connection[Any, Any]:
    """The connection over a channel."""
    assert isinstance(channel, TlsChannel)
    return TlsConnection._over(channel, allow=allow)


def _in_forked_child() -> None:
    # Closing one takes a lock of its stream, too.
    for end in list(_ends):
        end._prepare()


after_fork(_in_forked_child)
