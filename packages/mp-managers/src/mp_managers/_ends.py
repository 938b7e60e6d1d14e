"""Whether the far end of a connection is gone."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_connection import Connection

#: What poll reports when the peer has closed its end, also while something is unread.
_GONE: int = (
    getattr(select, "POLLHUP", 0)
    | getattr(select, "POLLERR", 0)
    | getattr(select, "POLLNVAL", 0)
    | getattr(select, "POLLRDHUP", 0)
)


def is_at_end(connection: Connection[Any, Any]) -> bool:
    """Whether nobody holds the far end any more.  Nothing is read.

    It tells the end of a connection from an error of the same class that a message
    has raised while it was unpickled.
    """
    if connection.closed:
        return True
    poller: Any = getattr(select, "poll", None)
    if poller is None:  # not POSIX
        return True
    try:
        poll = poller()
        poll.register(connection.fileno(), _GONE)
        return any(events & _GONE for _, events in poll.poll(0))
    except (OSError, ValueError):
        return True
