"""A message on its way into a byte stream, as far as it has got."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import _socket
import os
from array import array

from mp_connection._framing import MAX_HANDLES
from mp_connection._stream_framing import header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from mp_connection._descriptor_posix import Stream

#: IOV_MAX of Linux: buffers in one call.
_MOST_BUFFERS = 1024
#: Up to this many bytes it is cheaper to join than to gather.
JOIN_LIMIT = 16384
_RIGHTS = _socket.SOL_SOCKET, _socket.SCM_RIGHTS


class Outgoing:
    """One frame: its bytes where they lie, and descriptors beside the first of them.

    As many descriptors as fit go with the header, as many with each byte that follows:
    the pickle of a message has more bytes than handles.

    Whatever interrupts a call, a signal handler included, what has left is known: bytes
    are counted before a handler can run.

    Args:
        parts: the bytes of the message, in pieces.
        handles: descriptors that go with it, which stay the caller's.

    Attributes:
        views: what has still to leave.
        count: bytes of it that have left already, and are not taken away yet.
        started: whether any byte has left.
    """

    __slots__ = ("_batches", "_owned", "count", "started", "views")

    def __init__(self, parts: Sequence[Buffer], handles: Sequence[int] = ()) -> None:
        views = [view for part in parts if (view := memoryview(part)).nbytes]
        size = sum(map(len, views))
        head = header(size)
        self.count = 0
        self.started = False
        self._owned: list[int] = []
        #: The descriptors that go with each of the first views.
        self._batches: list[Sequence[int]] = []
        if not handles:
            if size <= JOIN_LIMIT:
                self.views = [memoryview(b"".join((head, *views)))]
            else:
                self.views = [memoryview(head), *views]
            return
        self.views = [memoryview(head)]
        self._batches.append(handles[:MAX_HANDLES])
        rest = handles[MAX_HANDLES:]
        while rest:
            self.views.append(views[0][:1])
            views[0] = views[0][1:]
            if not views[0]:
                del views[0]
            self._batches.append(rest[:MAX_HANDLES])
            rest = rest[MAX_HANDLES:]
        self.views += views

    @classmethod
    def rest_of(cls, data: memoryview) -> Outgoing:
        """What is left of a frame whose beginning somebody else has sent."""
        self = cls(())
        self.views, self.started = [data], True
        return self

    def step(self, sock: Stream, flags: int, most: int | None = None) -> None:
        """One system call.

        Args:
            sock: where to write.
            flags: as for `sendmsg`.
            most: bytes to write, if not all that there are.

        Raises:
            OSError: as the system says; nothing has left then.
        """
        if self.count:
            self.settle()
            if not self.views:
                return
        # Loops, so that no signal handler comes between sending and counting.
        if self._batches and self._batches[0]:
            control = [(*_RIGHTS, array("i", self._batches[0]))]
            some = self.views[:1]
            for self.count in map(sock.sendmsg, (some,), (control,), (flags,)):
                pass
        elif len(self.views) == 1 or self._batches or most is not None:
            view = self.views[0] if most is None else self.views[0][:most]
            for self.count in map(sock.send, (view,), (flags,)):
                pass
        else:
            some = self.views[:_MOST_BUFFERS]
            for self.count in map(sock.sendmsg, (some,), ((),), (flags,)):
                pass
        self.settle()

    def settle(self) -> None:
        """Take away what has left."""
        count, done, batches = self.count, 0, self._batches
        while done < len(self.views) and count >= len(self.views[done]):
            count -= len(self.views[done])
            done += 1
        views = self.views[done:]
        if count:
            views[0] = views[0][count:]
        if batches and self.count:
            batches = batches[1:] if done else [(), *batches[1:]]
        started = self.started or self.count > 0
        # Nothing is called in these assignments.
        self.views, self._batches, self.started, self.count = views, batches, started, 0
        if self._owned and not batches:
            self.close()

    def keep(self) -> None:
        """Depend no more on memory and descriptors of the caller's.

        Raises:
            OSError: no more descriptors.
        """
        if self.count:
            self.settle()
        self.views = [
            # Nobody can change a bytes object, nor take its memory away.
            view if type(view.obj) is bytes else memoryview(view.tobytes())
            for view in self.views
        ]
        if any(self._batches) and not self._owned:
            for number, batch in enumerate(self._batches):
                copies = [os.dup(fd) for fd in batch]
                self._owned += copies
                self._batches[number] = copies

    def close(self) -> None:
        """Close the descriptors that `keep` has made."""
        owned, self._owned = self._owned, []
        for fd in owned:
            os.close(fd)

    def __del__(self) -> None:
        if getattr(self, "_owned", None):  # a signal handler may have come first
            self.close()
