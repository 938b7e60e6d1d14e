"""Connections between processes: whole messages, any size, descriptors included."""

from __future__ import annotations

import sys

if sys.implementation.name != "cpython":
    # Every layer imports this one, so it says so for all.
    raise ImportError(
        "mp-connection, and all that needs it, runs on CPython 3.11 or later so far,"
        f" and not on {sys.implementation.name}"
    )

from mp_connection._connection import Connection as Connection, Pipe as Pipe
from mp_connection._version import __version__ as __version__
from mp_connection._wait import wait as wait
from mp_connection.errors import (
    AuthenticationError as AuthenticationError,
    BufferTooShort as BufferTooShort,
    ChannelClosedError as ChannelClosedError,
    FramingError as FramingError,
    HandleError as HandleError,
    NotAllowedError as NotAllowedError,
    ProcessError as ProcessError,
    TimeoutError as TimeoutError,
    UnpicklableError as UnpicklableError,
)
from mp_connection.log import get_logger as get_logger, log_to_stderr as log_to_stderr

TYPE_CHECKING = False

__all__ = (
    "AuthenticationError",
    "BufferTooShort",
    "ChannelClosedError",
    "Client",
    "Connection",
    "FramingError",
    "HandleError",
    "Listener",
    "NotAllowedError",
    "Pipe",
    "ProcessError",
    "TimeoutError",
    "UnpicklableError",
    "__version__",
    "answer_challenge",
    "deliver_challenge",
    "get_logger",
    "log_to_stderr",
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
