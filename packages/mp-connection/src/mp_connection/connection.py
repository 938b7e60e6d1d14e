"""Connections between processes: the manual's "Connection objects" and ``wait``."""

from __future__ import annotations

from mp_connection._connection import Connection as Connection, Pipe as Pipe
from mp_connection._wait import wait as wait

TYPE_CHECKING = False

__all__ = (
    "Client",
    "Connection",
    "Listener",
    "Pipe",
    "answer_challenge",
    "deliver_challenge",
    "wait",
)

if TYPE_CHECKING:
    from mp_connection.listener import (
        Client as Client,
        Listener as Listener,
        answer_challenge as answer_challenge,
        deliver_challenge as deliver_challenge,
    )
else:

    def __getattr__(name):
        """Load what only programs with listeners need, when they ask for it."""
        if name in ("Client", "Listener", "answer_challenge", "deliver_challenge"):
            from mp_connection import listener

            value = globals()[name] = getattr(listener, name)
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
