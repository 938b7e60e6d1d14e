"""Messages over byte streams: sockets, pipes, terminals, any descriptor.

The frames are the standard library's (see `_stream_framing`).  A frame leaves without
being put together first, and arrives in memory where it stays; nothing behind the
message is ever read, so that the descriptor shows what is left of the stream to `poll`
and to other processes.

Between two ends of ours, descriptors travel over ``AF_UNIX`` streams, as SCM_RIGHTS
beside the header of the frame; more than fit there, beside the bytes that follow it.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import _socket
import select
import time

from mp_connection._channel import (
    CLOEXEC,
    CONTROL_SIZE,
    SLICE_SECONDS,
    Received,
    keeping,
    notified,
)
from mp_connection._descriptor_posix import adopt_stream as adopt_stream
from mp_connection._framing import MAX_HANDLES
from mp_connection._pickle_parts import rejoin
from mp_connection._signals import is_of_handler
from mp_connection._stream_end_posix import (
    closed_error as closed_error,
    deadline_error as deadline_error,
    handles_of,
)
from mp_connection._stream_framing import EARLY_LIMIT, SHORT, FrameReader
from mp_connection._stream_sender_posix import StreamSender
from mp_connection.errors import FramingError, HandleError
from mp_connection.lifecycle import generation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from typing_extensions import Buffer

    from mp_connection._descriptor_posix import Stream as Stream
    from mp_connection._pickle_parts import Cuts

_DONTWAIT = _socket.MSG_DONTWAIT
_CTRUNC = _socket.MSG_CTRUNC
# The arguments of calls that receive a header.
_SHORT_SIZE = (SHORT.size,)
_CONTROL_SIZE = (CONTROL_SIZE,)
# Flags: a slice of waiting where the kernel ends it, else none.
_SLICE = (0,)
_AT_ONCE = (_DONTWAIT,)
_HANDLES_SLICE = (CLOEXEC,)
_HANDLES_AT_ONCE = (CLOEXEC | _DONTWAIT,)

_END = "the far end of the connection is closed"
_LOST = (
    "descriptors that were sent with a message were lost, because this process may not"
    " open more files (RLIMIT_NOFILE)"
)


class ReceivedPickle(Received):
    """A message whose large bytes stand by themselves, to be unpickled.

    Attributes:
        cuts: where they belong.
    """

    __slots__ = ("cuts",)

    def __init__(self, parts: Sequence[Buffer], cuts: Cuts) -> None:
        super().__init__(parts, [], True)
        self.cuts = cuts

    def rejoin(self) -> None:
        """Make it a message of one part."""
        self.parts, self.cuts = [rejoin(self.parts, self.cuts)], ()


class StreamChannel(StreamSender):
    """One end of a byte stream, for messages of any size.

    Any number of threads may send and receive at the same time: one message goes out
    and one comes in at a time, each whole.  Of several *processes* that hold the same
    end, only one may receive and only one may send; a stream has no boundaries that the
    kernel would keep.

    Args:
        sock: the stream, which the channel owns from now on.
        own: its description is this project's own, so that the kernel may be told to
            let blocking calls return every `SLICE_SECONDS`.

    Attributes:
        sock: the stream.
        own: as above.
        kept: not empty if a whole message is here that an exception has kept from the
            caller of `recv`; the next call returns it.
        bulky: the last object sent was large; for the connection.
    """

    __slots__ = ()

    def recv(
        self,
        deadline: float | None = None,
        into: memoryview | None = None,
        limit: int | None = None,
        objects: bool = False,
        patience: float = SLICE_SECONDS,
    ) -> Received:
        """Receive one message.

        Args:
            deadline: a time of `time.monotonic` in seconds, for the whole message;
                None waits for ever.
            into: memory for its bytes; `Received.placed` says whether it was used.
            limit: the most bytes to accept.
            objects: it is going to be unpickled; it may come in parts.
            patience: seconds to take what is here already when the deadline has passed.

        Raises:
            EOFError: the far end is closed and nothing, or no whole message, is left.
            BlockingIOError: the deadline passed.  What has arrived of a message stays
                in the channel, and the next call goes on with it.
            ChannelClosedError: the channel is closed, perhaps by another thread
                meanwhile.
            FramingError: what arrives is no message, or a longer one than *limit*
                (`TooLongError`); the stream cannot be read any further.
            HandleError: the descriptors of the message were lost; the next one can be
                received.
        """
        if self._generation != generation.number:
            self._prepare()
        received: Received | None = None
        try:
            if deadline is None:
                with self._reading:
                    received = self._recv(None, into, limit, objects)
                return received
            seconds = max(0.0, deadline - time.monotonic())
            acquired = False
            try:
                for acquired in map(self._reading.acquire, (True,), (seconds,)):  # noqa: B007
                    pass
                if not acquired:
                    raise deadline_error()
                received = self._recv(deadline, into, limit, objects, patience)
            finally:
                if acquired:
                    self._reading.release()
            return received
        except BaseException:
            if received is not None:  # a signal handler raised on the way out
                self.keep(received)
            raise

    def recv_small(self) -> bytes | None:
        """Receive a message the short way, if it is small and nothing is unusual.

        Returns:
            The message; or None, and nothing is lost: call `recv`.

        Raises:
            EOFError: the far end is closed and nothing is left.
        """
        sock, size = self.sock, -1
        head = data = b""
        control: list[tuple[int, int, bytes]] = []
        bits = CLOEXEC
        if self._generation != generation.number:
            self._prepare()
        whole = ended = False
        try:
            with self._reading:
                reader = self._reader
                if self.kept or (reader is not None and reader.filled):
                    return None
                flags = _SLICE if self.own else _AT_ONCE
                try:
                    if self._carries:
                        call: Any = sock
                        asked = _HANDLES_SLICE if self.own else _HANDLES_AT_ONCE
                        calls = map(call.recvmsg, _SHORT_SIZE, _CONTROL_SIZE, asked)
                        for head, control, bits, _ in calls:  # noqa: B007
                            pass
                    else:
                        for head in map(sock.recv, _SHORT_SIZE, flags):  # noqa: B007
                            pass
                    if len(head) == SHORT.size and not control and bits == CLOEXEC:
                        (size,) = SHORT.unpack(head)
                        if 0 < size <= EARLY_LIMIT:
                            for data in map(sock.recv, (size,), flags):  # noqa: B007
                                pass
                    ended = not head and not control
                    whole = len(data) == size
                    if not (whole or ended):
                        self._put(head, data, control, bits)
                except BaseException as error:
                    self._put(head, data, control, bits)
                    if not isinstance(error, OSError) or is_of_handler(error):
                        self._keep_whole()
                        raise
            if ended:
                raise EOFError(_END)
            return data if whole else None
        except BaseException:
            if whole:  # a signal handler raised on the way out
                self.keep(Received([data], [], True))
            raise

    def _put(
        self, head: bytes, data: bytes, control: list[tuple[int, int, bytes]], bits: int
    ) -> None:
        """Let the reader begin with something; once more if that was interrupted."""
        self._control = control
        self._lost = bits & _CTRUNC != 0
        reader = self._reader = FrameReader()
        try:
            reader.put(head + data)
        except FramingError:
            pass  # `recv` finds it again

    def _keep_whole(self) -> None:
        """If a whole message is here that nobody knows of, let `pending` tell."""
        reader = self._reader
        try:
            whole = reader is not None and reader.started and reader.check()
        except FramingError:
            whole = True  # the next call finds it again
        if whole:
            self.kept.append(None)
            keeping.add(self)  # type: ignore[arg-type]

    def keep(self, received: Received) -> None:
        """Give back a message that was received; the next `recv` returns it."""
        if isinstance(received, ReceivedPickle):
            received.rejoin()  # the next call may want the bytes
        if received.placed:  # in memory that was lent for one call
            received.parts = [bytes(part) for part in received.parts]
            received.placed = False
        self.kept.append(received)
        keeping.add(self)  # type: ignore[arg-type]
        for notify in notified:
            notify(self)
        if self.sock.fileno() == -1:
            self._drop()

    def _recv(
        self,
        deadline: float | None,
        into: memoryview | None,
        limit: int | None,
        objects: bool,
        patience: float = SLICE_SECONDS,
    ) -> Received:
        kept, channels = self.kept, keeping
        if kept:
            # Operators and no calls: nothing comes between this and the caller.
            entry = kept[0]
            del kept[0]
            if not kept:
                channels -= {self}
            if entry is not None:
                return entry
        reader = self._reader
        if reader is None:
            reader = self._reader = FrameReader()
        try:
            reader.allow(limit, into, objects)
            if reader.started:
                reader.check()  # a signal handler may have come before it
            waits = self.own and deadline is None
            latest = float("inf")
            if deadline is not None:
                latest = max(deadline, time.monotonic() + patience)
            while not reader.complete:
                try:
                    self._read(reader, 0 if waits else _DONTWAIT)
                except BlockingIOError:
                    self._wait(select.POLLIN, deadline)
                except ConnectionResetError:
                    # The far end was closed with bytes unread.  The kernel reports that
                    # once, before what the far end had sent; after that comes the end.
                    self._read(reader, 0 if waits else _DONTWAIT)
                late = deadline is not None and time.monotonic() > latest
                if late and not reader.complete:
                    raise deadline_error()
            return self._taken(reader, objects)
        except FramingError:
            reader.leave()
            raise
        except BaseException as error:
            if isinstance(error, EOFError) and not is_of_handler(error):
                reader.reset()
                self._close_handles()
                raise
            reader.leave()
            if isinstance(error, OSError) and self.sock.fileno() == -1:
                self._drop()
                raise closed_error() from None
            self._keep_whole()
            raise

    def _taken(self, reader: FrameReader, objects: bool) -> Received:
        if self._lost:
            reader.reset()
            self._close_handles()
            raise HandleError(_LOST)
        received = ReceivedPickle((), ())
        received.placed = reader.placed
        handles = handles_of(self._control) if self._control else []
        received.parts, received.cuts = reader.take_parts()
        # Nothing is called here.
        received.handles, self._control = handles, []
        if received.cuts and not objects:
            try:
                received.rejoin()
            except BaseException:  # of a signal handler
                self.keep(received)
                raise
        return received

    def _read(self, reader: FrameReader, flags: int) -> None:
        """Read some bytes of the message.

        Each loop has one round: see `packets` of the packet channel for why.
        """
        sock, body, count = self.sock, reader.body, 0
        if body is None:
            count = self._read_header(reader, flags)
        elif self._control and len(handles_of(self._control)) % MAX_HANDLES == 0:
            with reader.wanted() as view:
                for count, control, bits, _ in _recvmsg_into(sock, view, flags):
                    body.filled += count
                    self._control = [*self._control, *control]
                    self._lost = self._lost or bool(bits & _CTRUNC)
        elif reader.size <= EARLY_LIMIT and not body.filled and not body.placed:
            for reader.early in map(sock.recv, (reader.size,), (flags,)):  # noqa: B020
                pass
            count = len(reader.early or b"")
            if not count:
                reader.early = None
        else:
            with reader.wanted() as view:
                for count in map(sock.recv_into, (view,), (0,), (flags,)):
                    body.filled += count
        if not count:
            if reader.started:
                raise EOFError("the far end was closed in the middle of a message")
            raise EOFError(_END)
        reader.check()

    def _read_header(self, reader: FrameReader, flags: int) -> int:
        count = 0
        with reader.wanted() as view:
            if not self._carries:
                for count in map(self.sock.recv_into, (view,), (0,), (flags,)):
                    reader.filled += count
                return count
            for count, control, bits, _ in _recvmsg_into(self.sock, view, flags):
                reader.filled += count
                if control:
                    self._control = [*self._control, *control]
                self._lost = self._lost or bool(bits & _CTRUNC)
        return count


def _recvmsg_into(sock: Any, view: memoryview, flags: int) -> Any:
    # Without room for what comes beside it, the kernel would drop a descriptor.
    return map(sock.recvmsg_into, ((view,),), (CONTROL_SIZE,), (flags | CLOEXEC,))
