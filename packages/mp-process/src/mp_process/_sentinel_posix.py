"""Sentinels: a descriptor that becomes readable when a process has ended.

A pidfd (Linux 5.3) does just that, for any process.  Where the kernel or a container's
filter has none, the child holds the write end of a pipe until its end.
"""

from __future__ import annotations

import os
import sys

assert sys.platform != "win32"

import errno

from mp_process._descriptor import Descriptor, close_for_good, no_fork, pipe

if sys.platform == "linux":

    def open_pidfd(pid: int) -> int:
        """A pidfd, which is the caller's; -1 where this system has none.

        Raises:
            ProcessLookupError: the process has ended, and somebody has reaped it.
            OSError: this process, or the system, has no descriptors left.
        """
        try:
            return os.pidfd_open(pid)
        except AttributeError:
            return -1
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESRCH):
                raise
            return -1  # filters answer with ENOSYS, EPERM or what they like

else:

    def open_pidfd(pid: int) -> int:
        """-1: only Linux has them."""
        return -1


def pidfd(pid: int) -> Descriptor | None:
    """As `open_pidfd`, but owned and closed in forked children; or None."""
    with no_fork:
        fd = open_pidfd(pid)
        return None if fd == -1 else Descriptor(fd).private()


_have_pidfds: bool | None = None


def have_pidfds() -> bool:
    """Whether this system has pidfds; asked once."""
    global _have_pidfds
    if _have_pidfds is None:
        probe = pidfd(os.getpid())
        _have_pidfds = probe is not None
        if probe is not None:
            probe.close()
    return _have_pidfds


class Watch:
    """Watches a child that is about to be started.

    Attributes:
        child_end: what the child has to keep open until it ends; None with pidfds.
    """

    __slots__ = ("_reading", "child_end")

    def __init__(self) -> None:
        self._reading: Descriptor | None = None
        self.child_end: Descriptor | None = None
        if not have_pidfds():
            with no_fork:
                self._reading, self.child_end = pipe()
                self._reading.private()

    @property
    def by_pidfd(self) -> bool:
        """Whether the sentinel is a pidfd, through which signals can be sent."""
        return self._reading is None

    def close_child_end(self) -> None:
        """Close what the child has of its own by now."""
        if self.child_end is not None:
            close_for_good(self.child_end)

    def sentinel(self, pid: int) -> Descriptor:
        """The sentinel, once the child has its identifier.

        Raises:
            OSError: this process, or the system, has no descriptors left.
        """
        if self._reading is None:
            try:
                opened = pidfd(pid)
            except ProcessLookupError:
                opened = None
            if opened is not None:
                return opened
            # It has ended, and somebody else's wait() or an ignored SIGCHLD has
            # reaped it: this is readable for ever.
            with no_fork:
                self._reading, writing = pipe()
                self._reading.private()
            writing.close()
        return self._reading
