"""What both directions of a byte stream share: the descriptor, locks, waiting."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import _socket
import _thread
import errno
import os
import time
from array import array

from mp_connection._channel import SLICE_SECONDS, keeping, slice_reads
from mp_connection._descriptor_posix import poll_one
from mp_connection._stream_framing import FrameReader
from mp_connection.errors import ChannelClosedError
from mp_connection.lifecycle import generation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Sequence
    from typing import Any

    from mp_connection._channel import Received
    from mp_connection._descriptor_posix import Stream
    from mp_connection._outgoing_posix import Outgoing

_RIGHTS = _socket.SOL_SOCKET, _socket.SCM_RIGHTS
#: Whether the kernel ends blocking calls after a while, if it is told to.
_SLICES = sys.platform == "linux"

#: Held while an end is prepared; of each generation of forks another one, as a thread
#: of the parent's may have held its own.
_preparing: dict[int, LockType] = {}


def closed_error() -> ChannelClosedError:
    """The error of an operation on a channel that this process has closed."""
    return ChannelClosedError(errno.EBADF, "the connection is closed")


def deadline_error() -> BlockingIOError:
    """The error of a call whose deadline passed."""
    return BlockingIOError(errno.EAGAIN, "the deadline passed")


class StreamEnd:
    """One end of a byte stream; see `StreamChannel`, which it is a part of."""

    __slots__ = (
        "__weakref__",
        "_carries",
        "_control",
        "_generation",
        "_lost",
        "_reader",
        "_reading",
        "_rest",
        "_slices_sends",
        "_writing",
        "bulky",
        "kept",
        "own",
        "sock",
    )

    def __init__(self, sock: Stream, own: bool = False) -> None:
        self.sock = sock
        self.own = own and _SLICES
        #: Blocking sends return after a slice: from the first for which is no room.
        self._slices_sends = False
        self.bulky = False
        self.kept: list[Received | None] = []
        self._generation = -1  # whose threads use the locks; -1: there are none yet
        #: Made for what `recv_small` does not receive.
        self._reader: FrameReader | None = None

    def _prepare(self) -> None:
        """Before the first message: what an end made for another process needs not.

        Also before the first one of a forked child: threads of its parent may have held
        the locks.
        """
        now = generation.number
        with _preparing.setdefault(now, _thread.allocate_lock()):
            if self._generation == -1:
                if self.own:
                    self._slice(slice_reads)
                self._carries = self.carries_handles
                self._control: list[tuple[int, int, bytes]] = []  # of what comes now
                self._lost = False
                #: A message that has left in part.
                self._rest: Outgoing | None = None
            if self._generation != now:
                self._renew_locks()
                self._generation = now

    def _renew_locks(self) -> None:
        self._reading = _thread.allocate_lock()
        self._writing = _thread.allocate_lock()

    @property
    def carries_handles(self) -> bool:
        """Whether descriptors can travel over this stream."""
        sock = self.sock
        return isinstance(sock, _socket.socket) and sock.family == _socket.AF_UNIX

    @property
    def receiving(self) -> bool:
        """Whether a thread is receiving right now."""
        return self._generation == generation.number and self._reading.locked()

    @property
    def idle(self) -> bool:
        """Whether no message stands half-way, in either direction."""
        if self._generation == -1:
            return True
        reader = self._reader
        started = reader is not None and reader.started
        return not (started or self._rest is not None or self.kept)

    @property
    def pending(self) -> bool:
        """Whether a whole message is here that no `poll` of the descriptor shows."""
        return bool(self.kept)

    @property
    def stalled(self) -> bool:
        """Whether bytes of a lower layer wait for room (see `TlsChannel`)."""
        return False

    @property
    def buffered(self) -> bool:
        """Whether a lower layer holds what no `poll` of the descriptor shows."""
        return False

    def open(self) -> bool:
        """Go on with what precedes all messages, without waiting; whether it is over.

        Raises:
            AuthenticationError: it failed.
        """
        return True

    def fileno(self) -> int:
        """The descriptor, or -1 when closed."""
        return self.sock.fileno()

    def close(self) -> None:
        """Close the descriptor.  A second call does nothing.

        A call that waits in another thread ends within `SLICE_SECONDS`, with
        `ChannelClosedError`; but not one that waits for room in a full pipe.
        """
        self.sock.close()
        if self._generation != -1:
            self._drop()

    def detach(self) -> int:
        """Give the descriptor to the caller; the channel is closed."""
        fd = self.sock.detach()
        if self._generation != -1:
            self._drop()
        return fd

    def _drop(self) -> None:
        if self.kept:
            self.kept.clear()
            keeping.discard(self)
        self._rest = None
        if self._control:
            self._close_handles()

    def _close_handles(self) -> None:
        control, self._control, self._lost = self._control, [], False
        for fd in handles_of(control):
            os.close(fd)

    def _slice(self, calls: Callable[[Any], None]) -> None:
        """Let blocking calls of a kind return after a slice, for good."""
        try:
            calls(self.sock)
        except OSError:
            if self.sock.fileno() == -1:
                raise closed_error() from None
            raise

    def _wait(self, event: int, deadline: float | None) -> None:
        """Wait until it is worth another attempt.

        Raises:
            BlockingIOError: the deadline has passed.
            ChannelClosedError: the channel is closed.
        """
        seconds = SLICE_SECONDS
        if deadline is not None:
            seconds = min(deadline - time.monotonic(), SLICE_SECONDS)
            if seconds <= 0:
                raise deadline_error() from None
        fd = self.sock.fileno()
        if fd == -1:
            raise closed_error() from None
        # Where a slice of the kernel's is over this asks once more, which does no harm.
        poll_one(fd, event, seconds)


def handles_of(control: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors in what `recvmsg` returned beside the bytes."""
    fds = array("i")
    for level, kind, data in control:
        if (level, kind) == _RIGHTS:
            fds.frombytes(data[: len(data) // fds.itemsize * fds.itemsize])
    return fds.tolist()
