"""Connections between processes, under the standard package's module name."""

from __future__ import annotations

from mp_connection import (
    AuthenticationError as AuthenticationError,
    BufferTooShort as BufferTooShort,
)
from mp_connection.connection import (
    Client as Client,
    Connection as Connection,
    Listener as Listener,
    Pipe as Pipe,
    answer_challenge as answer_challenge,
    deliver_challenge as deliver_challenge,
    wait as wait,
)

__all__ = (
    "AuthenticationError",
    "BufferTooShort",
    "Client",
    "Connection",
    "Listener",
    "Pipe",
    "answer_challenge",
    "deliver_challenge",
    "wait",
)
