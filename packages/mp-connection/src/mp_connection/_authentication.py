"""Authentication over sockets and connections (manual, "Authentication keys").

What is said is decided by `_handshake`; this sends and receives it.
"""

from __future__ import annotations

import time

from mp_connection._channel import DONTWAIT, NOSIGNAL, ready_to_read
from mp_connection._handshake import (
    LARGEST_MESSAGE,
    answering,
    challenging,
    check_key,
)
from mp_connection._signals import is_of_handler
from mp_connection._stream import closed_error, deadline_error
from mp_connection.errors import AuthenticationError, ChannelClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Protocol

    from mp_connection._handshake import Handshake
    from mp_connection._stream import Stream

    class BytesConnection(Protocol):
        """Anything that carries messages of bytes, as a `Connection` does."""

        def send_bytes(self, buffer: bytes, /) -> object: ...

        def recv_bytes(self, maxlength: int, /) -> bytes: ...


#: A time that has passed: whatever takes a deadline does not wait at all.
NOW = float("-inf")


def converse(
    sock: Stream, handshake: Handshake, deadline: float | None, turns: bool = False
) -> bool:
    """Exchange messages until both ends have proved that they know the key.

    Args:
        sock: where the far end is.
        handshake: how far the exchange has got.
        deadline: a time of `time.monotonic` in seconds; None waits for ever, and `NOW`
            not at all.
        turns: return when something was sent, as the answer is hardly there yet.

    Returns:
        Whether they have; if not, call again when there is something to receive.

    Raises:
        AuthenticationError: one of them does not know it.
        BlockingIOError: the deadline, which is not `NOW`, passed.
    """
    try:
        while True:
            # What the far end is sending can be answered together.
            if handshake.outgoing and not handshake.partial:
                _send(sock, handshake, deadline)
                if turns:
                    return handshake.done
            if handshake.done:
                return True
            try:
                data = sock.recv(handshake.wanted, 0 if deadline is None else DONTWAIT)
            except BlockingIOError:
                if handshake.outgoing:
                    _send(sock, handshake, deadline)
                if deadline is NOW:
                    return False
                _wait_for(sock, deadline)
                continue
            if not data:
                raise EOFError("the far end of the connection is closed")
            try:
                handshake.receive(data)
            except AuthenticationError:
                if handshake.outgoing:  # tell it so
                    _send(sock, handshake, NOW)
                raise
    except BlockingIOError:
        if deadline is NOW:
            return False
        raise
    except (EOFError, OSError) as error:
        if is_of_handler(error):
            raise
        if sock.fileno() == -1:  # by another thread, with the listener
            raise closed_error() from None
        raise _went_away(error) from error


def _send(sock: Stream, handshake: Handshake, deadline: float | None) -> None:
    """Send what is to be sent: so little that there is room for it at once."""
    flags = NOSIGNAL if deadline is None else NOSIGNAL | DONTWAIT
    while data := handshake.outgoing:
        handshake.outgoing = data[sock.send(data, flags) :]


def _wait_for(sock: Stream, deadline: float | None) -> None:
    """Wait until there is something to receive.

    Raises:
        BlockingIOError: the deadline passes.
    """
    seconds = None if deadline is None else deadline - time.monotonic()
    if seconds is not None and seconds <= 0:
        raise deadline_error()
    ready_to_read(sock.fileno(), seconds)


def _went_away(error: Exception) -> AuthenticationError:
    return AuthenticationError(
        f"the far end gave up, or speaks another protocol: {error}"
    )


def deliver_challenge(
    connection: BytesConnection, authkey: bytes, digest_name: str = "sha256"
) -> None:
    """Let the far end prove that it knows the key; it calls `answer_challenge`.

    Args:
        connection: where the far end is.
        authkey: the key.
        digest_name: the digest to ask for; Python before 3.12 uses MD5 all the same.

    Raises:
        AuthenticationError: it does not know the key.
        TypeError: the key is not bytes.
        ValueError: the standard library knows no such digest.
    """
    _follow(connection, challenging(authkey, digest_name))


def answer_challenge(connection: BytesConnection, authkey: bytes) -> None:
    """Prove to the far end that we know the key; it calls `deliver_challenge`.

    Args:
        connection: where the far end is.
        authkey: the key.

    Raises:
        AuthenticationError: the far end is not satisfied, or sent no challenge.
        TypeError: the key is not bytes.
    """
    check_key(authkey)
    _follow(connection, answering(authkey))


def _follow(
    connection: BytesConnection, steps: Generator[bytes | None, bytes, None]
) -> None:
    try:
        step = next(steps)
        while True:
            if step is None:
                step = steps.send(connection.recv_bytes(LARGEST_MESSAGE))
            else:
                connection.send_bytes(step)
                step = next(steps)
    except StopIteration:
        pass
    except ChannelClosedError:
        raise
    except (EOFError, OSError) as error:
        raise _went_away(error) from error


deliver_challenge.__module__ = answer_challenge.__module__ = "mp_connection"
