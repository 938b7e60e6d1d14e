"""A pipe by which a child learns, or is made to feel, that its parent is gone.

The parent holds the only write end, and never writes.  When it ends, however it ends,
the kernel closes that end.  A child that must not outlive its parent arms the read end:
the kernel then sends it SIGKILL by itself (fcntl(2), F_SETSIG and O_ASYNC), also when
it sits in a C loop that never lets Python run.  PR_SET_PDEATHSIG will not do: it fires
when the *thread* that forked ends, and under the fork server the parent is the server.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from mp_connection.channel import ready_to_read
from mp_process._descriptor import Descriptor, no_fork, pipe

_SIGKILL = 9


class Lifeline:
    """The parent's side: the write end, and until it is handed over the read end."""

    __slots__ = ("child_end", "parent_end")

    def __init__(self) -> None:
        with no_fork:
            self.child_end, self.parent_end = pipe()
            # A sibling that held the write end would outlive us and keep it open.
            self.parent_end.private()

    def close(self) -> None:
        """Let go; an armed child that still runs is killed."""
        self.child_end.close()
        self.parent_end.close()


def arm(end: Descriptor) -> None:
    """Have this process killed when the parent ends.

    Args:
        end: the read end.  It has a description of its own: the signal's target is a
            property of the description, which forked children share.
    """
    import fcntl  # most children are not armed

    fd = end.fileno()
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETSIG, _SIGKILL)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    if parent_is_gone(end):  # it ended before the signal was armed
        os.kill(os.getpid(), _SIGKILL)


def parent_is_gone(end: Descriptor, seconds: float | None = 0) -> bool:
    """Whether the parent has ended, or ends within *seconds* (None: wait for it)."""
    return ready_to_read(end.fileno(), seconds)
