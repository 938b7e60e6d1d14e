"""`Client`: the side that connects (manual, "Listeners and Clients")."""

from __future__ import annotations

from mp_connection._addresses import connect, family_of
from mp_connection._authentication import converse
from mp_connection._connection import Connection, allow_list
from mp_connection._handshake import Handshake, check_key
from mp_connection._stream import StreamChannel
from mp_connection._stream_connection import StreamConnection, deadline_of
from mp_connection.errors import TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

    from mp_connection._addresses import Address
    from mp_connection._allowing import Allow, AllowList
    from mp_connection._connection import ReceivedT, SentT
    from mp_connection._stream import Stream


def Client(
    address: Address,
    family: str | None = None,
    authkey: bytes | None = None,
    *,
    timeout: float | None = None,
    allow: Allow | None = None,
    ssl_context: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
) -> Connection[SentT, ReceivedT]:
    """A connection to a listener (manual, "Listeners and Clients").

    Args:
        address: where it listens.
        family: as for `Listener`.
        authkey: the key that both ends have to know; None for no authentication.
        timeout: seconds for connecting and authentication; None waits for ever, also
            for a listener that does not get to accept.
        allow: what may be unpickled from the listener's end, as for `Connection`.
        ssl_context: for TLS, with TCP only; the context is a client's.
        server_hostname: who the listener's certificate has to be for; None for the host
            of the address.

    Raises:
        AuthenticationError: the listener does not know the key, or refuses ours; or the
            TLS handshake failed, by a wrong certificate for example, and the cause is
            an `ssl.SSLError`.
        TimeoutError: it did not answer in time.
        ValueError: no such family on this platform, an address of no family, or a
            family without TLS.
        TypeError: the key is not bytes, the context is no context, or *allow* is no
            list.
        OSError: nobody listens there.
    """
    deadline = deadline_of(timeout)
    allowed = allow_list(allow)
    if authkey is not None:
        check_key(authkey)
    family = family_of(address, family)
    if ssl_context is not None:
        return _tls_client(
            address, family, authkey, deadline, ssl_context, server_hostname, allowed
        )
    sock = connect(family, address, deadline)
    if authkey is not None:
        _prove(sock, sock, authkey, deadline)
    return StreamConnection._over(StreamChannel(sock, own=True), allow=allowed)


def _tls_client(
    address: Any,
    family: str,
    authkey: bytes | None,
    deadline: float | None,
    context: ssl.SSLContext,
    server_hostname: str | None,
    allow: AllowList | None,
) -> Connection[Any, Any]:
    from mp_connection._tls import check_context, connection_over, open_client

    check_context(context, family, server=False)
    name = str(address[0]) if server_hostname is None else server_hostname
    sock = connect(family, address, deadline)
    try:
        channel = open_client(sock, context, name, deadline)
    except BlockingIOError:
        raise TimeoutError("the listener did not answer in time") from None
    if authkey is not None:
        _prove(channel.sock, channel, authkey, deadline)
    return connection_over(channel, allow)


def _prove(
    sock: Stream,
    owner: Stream | StreamChannel,
    authkey: bytes,
    deadline: float | None,
) -> None:
    """A client's part of the handshake; the owner is closed if that fails."""
    try:
        converse(sock, Handshake(authkey, listening=False), deadline)
    except BlockingIOError:
        owner.close()
        raise TimeoutError("the listener did not authenticate in time") from None
    except BaseException:
        owner.close()
        raise


Client.__module__ = "mp_connection"
