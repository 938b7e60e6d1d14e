"""Clients that have connected and not proved yet that they know the key."""

from __future__ import annotations

import time

from mp_connection._authentication import NOW, converse
from mp_connection._handshake import Handshake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection._stream import Stream, StreamChannel

#: How long a stranger has the listener for itself, so that one process of several that
#: accept does not take clients which it will not serve at once.
_GRACE = 0.005


class Guest:
    """A client that has connected and not proved yet that it knows the key."""

    __slots__ = ("_handshake", "address", "channel", "expires", "grace", "sock")

    def __init__(
        self,
        sock: Stream,
        address: object,
        authkey: bytes | None,
        patience: float,
        channel: StreamChannel | None = None,
    ) -> None:
        self.sock = sock
        self.address = address
        self.channel = channel
        now = time.monotonic()
        self.grace = now + _GRACE
        self.expires = now + patience
        self._handshake: Handshake | None = None
        if authkey is not None:
            self._handshake = Handshake(authkey, listening=True)

    def fileno(self) -> int:
        """The descriptor, or -1 when closed."""
        return self.sock.fileno()

    def close(self) -> None:
        """Close the connection."""
        (self.channel or self.sock).close()

    @property
    def stalled(self) -> bool:
        """Whether something for it waits for room."""
        return self.channel is not None and self.channel.stalled

    def step(self) -> bool:
        """Go on as far as possible without waiting; whether the client is welcome.

        Raises:
            AuthenticationError: it is not.
        """
        if self.channel is not None and not self.channel.open():
            return False
        if self._handshake is None:
            return True
        # The kernel tells when there is something to receive, but not of a lower layer.
        return converse(self.sock, self._handshake, NOW, turns=self.channel is None)


class Guests(list[Guest]):
    """Those who are there now."""

    __slots__ = ("__weakref__",)

    def close(self) -> None:
        """Close their connections, also in a forked child: the parent goes on."""
        while self:
            self.pop().close()
