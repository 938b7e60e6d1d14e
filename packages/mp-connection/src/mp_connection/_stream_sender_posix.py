"""Messages into a byte stream."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import _socket
import errno
import select
import time

from mp_connection._channel import NOSIGNAL, slice_writes
from mp_connection._descriptor_posix import Descriptor
from mp_connection._outgoing_posix import JOIN_LIMIT, Outgoing
from mp_connection._signals import is_of_handler
from mp_connection._stream_end_posix import StreamEnd, closed_error, deadline_error
from mp_connection._stream_framing import SHORT
from mp_connection.errors import HandleError
from mp_connection.lifecycle import generation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from mp_connection._framing import Message

_DONTWAIT = _socket.MSG_DONTWAIT
#: Bytes that a pipe takes without waiting, once it is ready to be written to (pipe(7)).
_PIPE_BUF = select.PIPE_BUF
# Flags: a slice of waiting where the kernel ends it, else none.
_SLICE = (NOSIGNAL,)
_AT_ONCE = (NOSIGNAL | _DONTWAIT,)
#: The errors of a full in-flight table (Linux) and of a full socket buffer (BSD).
_AGAIN = {getattr(errno, "ETOOMANYREFS", -1), errno.ENOBUFS}


class StreamSender(StreamEnd):
    """The sending half of a `StreamChannel`."""

    __slots__ = ()

    def send(self, message: Message, deadline: float | None = None) -> None:
        """Send a message, out-of-band buffers put back into its pickle.

        Raises:
            OSError: as `send_parts`.
            HandleError: as `send_parts`.
        """
        self.send_parts(self.whole(message), message.handles, deadline)

    @staticmethod
    def whole(message: Message) -> list[Buffer]:
        """The parts of a message, out-of-band buffers put back into its pickle."""
        first, *buffers = message.parts
        if not buffers:
            return [first]
        from mp_connection._splice import splice  # not cheap to import

        return [splice(bytes(first), buffers)]

    def send_parts(
        self,
        parts: Sequence[Buffer],
        handles: Sequence[int] = (),
        deadline: float | None = None,
    ) -> None:
        """Send one message; blocks while there is no room.

        An exception from a signal handler that comes half-way does not tear the stream:
        the next call sends the rest first.

        Args:
            parts: the bytes, in pieces, which are sent from where they lie.
            handles: descriptors to go with it.
            deadline: a time of `time.monotonic` in seconds; None waits for ever.

        Raises:
            BrokenPipeError: the far end is closed.
            BlockingIOError: the deadline passed.  If that was half-way, the next call
                sends the rest first.
            ChannelClosedError: this end is closed, perhaps by another thread meanwhile.
            HandleError: descriptors cannot travel over this stream.
        """
        if handles:
            self.check_handles()
        if self._generation != generation.number:
            self._prepare()
        if deadline is None:
            with self._writing:
                return self._send(parts, handles, None)
        acquired = False
        seconds = max(0.0, deadline - time.monotonic())
        try:
            # A loop, so that no signal handler comes between this and the name.
            for acquired in map(self._writing.acquire, (True,), (seconds,)):  # noqa: B007
                pass
            if not acquired:
                raise deadline_error()
            self._send(parts, handles, deadline)
        finally:
            if acquired:
                self._writing.release()

    def check_handles(self) -> None:
        """Refuse to send descriptors where they cannot go.

        Raises:
            HandleError: they cannot travel over this stream.
        """
        if not self.carries_handles:
            raise HandleError(
                "an object that owns a descriptor cannot be sent over this connection:"
                " descriptors travel between processes of one machine, over pipes of"
                " Pipe() and over AF_UNIX, but not over TCP, TLS or a FIFO"
            )

    def send_small(self, data: bytes) -> bool:
        """Send a message the short way, if it is small and nothing is unusual.

        Returns:
            Whether it was sent; if not, nothing was, and `send_parts` says why not.
        """
        if len(data) > JOIN_LIMIT:
            return False
        if self._generation != generation.number:
            self._prepare()
        flags = _SLICE if self._slices_sends else _AT_ONCE
        frame = SHORT.pack(len(data)) + data
        with self._writing:
            if self._rest is not None:
                return False
            count = 0
            try:
                # A loop, so that no signal handler comes between sending and counting.
                for count in map(self.sock.send, (frame,), flags):  # noqa: B007
                    pass
            except BaseException as error:
                if isinstance(error, OSError) and not is_of_handler(error):
                    return False
                if 0 < count < len(frame):
                    self._rest = Outgoing.rest_of(memoryview(frame)[count:])
                raise
            if count < len(frame):
                self._write(Outgoing.rest_of(memoryview(frame)[count:]), None)
            return True

    def _send(
        self, parts: Sequence[Buffer], handles: Sequence[int], deadline: float | None
    ) -> None:
        if self._rest is not None:
            self._write(self._rest, deadline)
        self._write(Outgoing(parts, handles), deadline)

    def _write(self, out: Outgoing, deadline: float | None) -> None:
        """Write all of it; of what has begun to leave, the next call writes the rest.

        Args:
            out: what to write.
            deadline: as for `send_parts`.
        """
        blocks = self.own and deadline is None
        flags = NOSIGNAL if blocks else NOSIGNAL | _DONTWAIT
        try:
            if blocks and not self._slices_sends:
                self._slice(slice_writes)
                self._slices_sends = True
            while not self._put_out(out, flags):
                self._wait(select.POLLOUT, deadline)
            self._rest = None
        except BaseException as error:
            failed = isinstance(error, OSError) and not is_of_handler(error)
            if not failed or isinstance(error, BlockingIOError):
                self._keep_rest(out)
            raise

    def _put_out(self, out: Outgoing, flags: int, until: float | None = None) -> bool:
        """Write what there is room for; whether nothing is left.

        Args:
            out: what to write.
            flags: as for `sendmsg`.
            until: a time of `time.monotonic` in seconds, not to write beyond.

        Raises:
            BrokenPipeError: the far end is closed.
            ChannelClosedError: this end is.
        """
        sock, most = self.sock, None
        if until is not None and isinstance(sock, Descriptor):
            most = _PIPE_BUF
        try:
            while out.views:
                out.step(sock, flags, most)
                if until is not None and time.monotonic() > until:
                    break
        except BlockingIOError:
            return False
        except OSError as error:
            if sock.fileno() == -1:
                raise closed_error() from None
            if isinstance(error, ConnectionResetError):
                raise BrokenPipeError(errno.EPIPE, "the far end is closed") from error
            if error.errno not in _AGAIN:
                raise
            # Too many descriptors are in flight: there is no event for room.
            if until is None:
                time.sleep(0.001)
        return not out.views

    def _keep_rest(self, out: Outgoing) -> None:
        if out.started or out.count:
            self._rest = out
            out.keep()

    def send_some(self, out: Outgoing, until: float) -> bool:
        """Send what there is room for, without waiting; whether all of it has left.

        If not, and if part of it has, whatever is sent next sends its rest first.  Call
        again then, or `leave_out`.

        Args:
            out: the message; the same one in each call.
            until: a time of `time.monotonic` in seconds, not to go on beyond.

        Raises:
            BlockingIOError: a thread is sending right now.
            BrokenPipeError: the far end is closed.
            ChannelClosedError: this end is.
        """
        if out.started and not out.views and self._rest is not out:
            return True  # another sender has done it
        if self._generation != generation.number:
            self._prepare()
        if not self._writing.acquire(False):
            raise BlockingIOError(errno.EAGAIN, "a thread is sending")
        try:
            flags = NOSIGNAL | _DONTWAIT
            rest = self._rest
            if rest is not None and rest is not out:
                if not self._put_out(rest, flags, until):
                    return False
                self._rest = None
            if out.views:
                self._rest = out  # before its first byte can leave
                if not self._put_out(out, flags, until):
                    return False
            self._rest = None
            return True
        finally:
            if self._rest is out and not (out.started or out.count):
                self._rest = None
            self._writing.release()

    def leave_out(self, out: Outgoing) -> None:
        """Give up waiting for a message: the next one that is sent sends its rest."""
        # Else it has not begun, or a thread is sending it.
        if self._generation == generation.number and self._writing.acquire(False):
            try:
                if self._rest is out:
                    out.keep()
            finally:
                self._writing.release()
