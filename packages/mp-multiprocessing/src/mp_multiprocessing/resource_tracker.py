"""What third parties use of the standard package's module of this name.

There every process that attaches to a named block has to take it off the tracker's list
again, lest the block go with that process.  Here who attaches never owns a block, and
the tracker is told of a block by its creator alone; so there is nothing to take off.
Pass ``track=False`` for a block that is to outlive all its processes.
"""

from __future__ import annotations

__all__ = ("ResourceTracker", "ensure_running", "register", "unregister")


def ensure_running() -> None:
    """Do nothing: the tracker is started with the first block that needs it."""


def register(name: str, rtype: str) -> None:
    """Do nothing: whoever creates a block has it tracked."""


def unregister(name: str, rtype: str) -> None:
    """Do nothing: whoever attaches to a block is not on the list."""


class ResourceTracker:
    """The same, as methods."""

    def ensure_running(self) -> None:
        """See the function of this name."""
        ensure_running()

    def register(self, name: str, rtype: str) -> None:
        """See the function of this name."""
        register(name, rtype)

    def unregister(self, name: str, rtype: str) -> None:
        """See the function of this name."""
        unregister(name, rtype)
