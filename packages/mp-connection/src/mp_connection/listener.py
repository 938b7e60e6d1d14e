"""Listeners, clients and authentication: the manual's "Listeners and Clients".

The names are in `mp_connection` as well, and loaded when first used.
"""

from __future__ import annotations

from mp_connection._authentication import (
    answer_challenge as answer_challenge,
    deliver_challenge as deliver_challenge,
)
from mp_connection._client import Client as Client
from mp_connection._listener import Listener as Listener
from mp_connection.errors import AuthenticationError as AuthenticationError

__all__ = (
    "AuthenticationError",
    "Client",
    "Listener",
    "answer_challenge",
    "deliver_challenge",
)
