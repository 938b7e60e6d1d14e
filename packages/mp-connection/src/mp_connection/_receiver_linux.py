"""Packets to messages: one state machine, which may stop at any packet."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import os
from array import array
from errno import EAGAIN

from mp_connection import _framing as framing
from mp_connection._backend import native
from mp_connection._framing import MAX_HANDLES, Assembler, Head
from mp_connection._packets_linux import (
    CLOEXEC,
    CTRUNC,
    DONTWAIT,
    PACKET_SIZE,
    SLICE_SECONDS,
    TRUNC,
    adoptions,
    close_handles,
    close_spent,
    forget_private,
    handles_of,
    is_announced,
    is_of_handler,
    note_private,
    packets,
    pipe_ends,
    ready_to_read,
)
from mp_connection.errors import FramingError, HandleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO

    from typing_extensions import Buffer

    from mp_connection._native import Control, Packet
    from mp_connection._packets_linux import Spent

_NOTHING: Control = ((0, 0, b""),)  # beside a packet whose descriptor was lost
_ONE_HANDLE = _socket.CMSG_SPACE(array("i").itemsize)

_LOST = (
    "descriptors that were sent with a message were lost, because this process may not"
    " open more files (RLIMIT_NOFILE)"
)


class Received:
    """A message as it arrived.

    It owns its descriptors until they are taken: whoever takes them clears `handles`,
    and what is left is closed when the message is dropped.

    Attributes:
        parts: the buffers; bytes where they are raw or a pickle, bytearrays of their
            own or parts of the packet where they came out of band.
        handles: the descriptors.
        pickled: whether the first part is a pickle.
        placed: whether the bytes went to the memory that the receiver had offered.
    """

    __slots__ = ("handles", "parts", "pickled", "placed")

    def __init__(
        self, parts: Sequence[Buffer], handles: list[int], pickled: bool
    ) -> None:
        self.parts = list(parts)
        self.handles = handles
        self.pickled = pickled
        self.placed = False

    def close(self) -> None:
        """Close the descriptors."""
        closing = map(os.close, self.handles)
        # Until all are closed no signal handler can raise.
        self.handles = []
        list(closing)

    def __del__(self) -> None:
        if getattr(self, "handles", None):  # a signal handler may have come first
            self.close()


class Receiver:
    """Makes messages of one socket's packets; half a message waits between calls.

    An exception that a signal handler raises may come at any point of `step`.  It
    loses nothing: what was received stands in an attribute before a handler can run
    (see `packets`), and leaves it only in assignments that no call interrupts.

    Args:
        sock: the socket, which stays the caller's.
        shared: others read there too, so that no message comes in fragments.
        into: where the bytes of a message go, if it fits and did not come inline.
        spent: takes the end of a private pair that was read if the announcement of the
            next one is here, to be closed when that has been received.  The kernel
            looks for descriptors that nobody can reach, for 40 µs, when such a socket
            is closed while any is on its way.

    Attributes:
        packet: a packet that was received and not looked at yet.
        received: a message that was received by another receiver, and put back.
    """

    __slots__ = (
        "_assembler",
        "_awaited",
        "_control",
        "_file",
        "_head",
        "_into",
        "_left",
        "_lost",
        "_pipe",
        "_place",
        "_private",
        "_shared",
        "_sock",
        "_spare",
        "_spent",
        "packet",
        "received",
    )

    def __init__(
        self,
        sock: _socket.socket,
        shared: bool = False,
        into: memoryview | None = None,
        spent: Spent | None = None,
    ) -> None:
        self._sock = sock
        self._shared = shared
        self._into = into
        self._spent = spent
        self.packet: Packet | None = None
        self.received: Received | None = None
        self._head: Head | None = None
        self._awaited = 0  # descriptors that have still to come
        self._lost = False  # some of those that came could not be opened
        self._control: Sequence[tuple[int, int, bytes]] = []
        self._private: _socket.socket | None = None  # where the rest of it comes
        self._pipe: FileIO | None = None  # or that
        self._spare = -1  # the file that came with the pipe
        self._assembler: Assembler | None = None
        self._file = -1  # what the sender has left of it
        self._place = 0  # how far that was read
        self._left: Control = ()  # what that came in, until it is looked at

    @property
    def started(self) -> bool:
        """Whether part of a message is here."""
        return (
            self.packet is not None
            or self._head is not None
            or self.received is not None
        )

    def fileno(self) -> int:
        """The descriptor that the next packet comes from."""
        if self._pipe is not None:
            return -1 if self._pipe.closed else self._pipe.fileno()
        sock = self._sock if self._private is None else self._private
        return sock.fileno()

    def step(self, flags: int = 0) -> Received | None:
        """Receive one packet; the message that it completes, if it does.

        None also for a message whose sender died, when nothing but that is lost.

        Args:
            flags: MSG_DONTWAIT, or 0 to block for the packet.

        Raises:
            BlockingIOError: no packet was there, or a slice of waiting is over.
            EOFError: the far end is closed, and all that it sent has been received.
            FramingError: what arrived is no message.
            HandleError: the descriptors of the message were lost.
        """
        try:
            return self._step(flags)
        except BlockingIOError:
            raise
        except EOFError:
            alone = self._private is not None or self._pipe is not None
            self.close()
            if alone:
                return None
            raise
        except (FramingError, HandleError):
            self.close()
            raise
        except OSError as error:
            if (self._private or self._pipe) is None or is_of_handler(error):
                raise
            self.close()
            raise FramingError(f"the channel of a message failed: {error}") from error

    def _step(self, flags: int) -> Received | None:
        if self.received is not None:
            received, self.received = self.received, None
            return received
        if self._head is None:
            if self.packet is None:
                self._fetch(self._sock, flags)
            return self._first()
        sock = self._sock if self._private is None else self._private
        if self._assembler is not None:
            return self._fragment(sock, self._head, self._assembler, flags)
        if self.packet is None:
            if not self._awaited:
                return self._body(self._head)
            self._fetch(sock, flags)
        return self._more_handles(self._head)

    def _fetch(self, sock: _socket.socket, flags: int) -> None:
        try:
            for self.packet in packets(sock, flags):
                pass
        except ConnectionResetError:
            # The far end was closed while it had packets unread.  The kernel reports
            # that once, before what the far end had sent; after that come its packets.
            for self.packet in packets(sock, flags):
                pass

    def _first(self) -> Received | None:
        assert self.packet is not None
        packet, control, flags, parts = self.packet
        if parts.__class__ is list:  # it was in its pipe already
            received = Received(parts, [], packet[1] == 1)
            self.packet = None
            return received
        if not packet:
            raise EOFError("the far end of the connection is closed")
        if flags & TRUNC:
            raise FramingError(f"a packet is longer than {PACKET_SIZE} bytes")
        if packet[0] != framing.HEAD:
            received = whole(packet)
            close_handles(handles_of(control))
            self.packet = None
            return received
        head, rest = Head.decode(packet)
        if flags & CTRUNC and head.transport != framing.FRAGMENTS:
            raise HandleError(_LOST)
        if head.transport == framing.INLINE:
            handles = handles_of(control)
            if len(handles) != head.handles:
                raise FramingError(
                    f"{head.handles} descriptors belong to a message and"
                    f" {len(handles)} came"
                )
            received = Received(framing.split_inline(head, rest), [], head.pickled)
            received.handles, self.packet = handles, None
            return received
        if head.transport in (framing.PRIVATE, framing.PIPE):
            ends = handles_of(control)
            piped, spare = head.transport == framing.PIPE, -1
            try:
                if piped:
                    spare = self._open_pipe(ends)
                else:
                    self._open_private(ends)
            except FramingError:
                raise
            except OSError as error:
                if is_of_handler(error):
                    raise
                kind = "pipe" if piped else "socket"
                raise FramingError(f"the channel of a message is no {kind}") from error
            if piped:
                assembler = Assembler(head.lengths, self._into, head.as_bytes)
                assembler.add(rest[: head.handles])
                self._spare, self._assembler, self._head = spare, assembler, head
                self.packet = None
                return self._finish(head, assembler)
            self._awaited, self._head, self.packet = head.handles, head, None
        elif self._shared:
            raise FramingError("a message in fragments came over a shared channel")
        else:
            self._awaited, self._head = head.handles, head
            return self._more_handles(head)
        return self._body(head)

    def _open_private(self, handles: Sequence[int]) -> None:
        if len(handles) != 1:
            raise FramingError("the channel of a message is missing")
        if self._private is None:
            for self._private in adoptions(handles):
                pass
        assert self._private is not None
        note_private(self._private)
        if self._spent:
            close_spent(self._spent)

    def _open_pipe(self, handles: Sequence[int]) -> int:
        """See to the pipe; the descriptor of the file that came along, or -1."""
        if len(handles) not in (1, 2):
            raise FramingError("the channel of a message is missing")
        if self._pipe is None:
            for self._pipe in pipe_ends(handles[:1]):
                pass
        assert self._pipe is not None
        if os.get_blocking(self._pipe.fileno()):
            raise FramingError("the pipe of a message would block")
        note_private(self._pipe)
        return handles[1] if len(handles) == 2 else -1

    def _more_handles(self, head: Head) -> Received | None:
        assert self.packet is not None
        packet, control, flags, _ = self.packet
        awaited, first = self._awaited, packet[:1] == b"\1"
        rest = awaited - MAX_HANDLES if awaited > MAX_HANDLES else 0
        # Nothing is called in these assignments, as in others of several attributes.
        self._lost, self._awaited = self._lost or flags & CTRUNC != 0, rest
        self._control, self.packet = [*self._control, *control], None
        if not packet:
            raise EOFError("the sender of a message died while sending it")
        if not first and (packet[0] != framing.HANDLES or not awaited):
            raise FramingError("descriptors of a message are missing")
        return self._body(head)

    def _body(self, head: Head) -> Received | None:
        """Turn to the fragments once all descriptors are here."""
        if self._awaited:
            return None
        count = len(handles_of(self._control))
        if count != head.handles and not self._lost:
            raise FramingError(
                f"{head.handles} descriptors belong to a message and {count} came"
            )
        self._assembler = Assembler(head.lengths, self._into, head.as_bytes)
        return self._finish(head, self._assembler)

    def _fragment(
        self, sock: _socket.socket, head: Head, assembler: Assembler, flags: int
    ) -> Received | None:
        if assembler.complete():  # and an exception prevented what follows
            return self._finish(head, assembler)
        with assembler.wanted() as view:
            room = len(view)
            try:
                count = self._receive_into(sock, view, flags, assembler)
            except ConnectionResetError:  # as in `_fetch`
                count = self._receive_into(sock, view, flags, assembler)
        if count is None:
            return None
        if not count:
            raise EOFError("the sender of a message died while sending it")
        if count > room:
            raise FramingError(f"a fragment of {count} bytes exceeds its part")
        return self._finish(head, assembler)

    def _receive_into(
        self, sock: _socket.socket, view: memoryview, flags: int, assembler: Assembler
    ) -> int | None:
        """Receive packets into *view*; None if a file came, with all that follows.

        A sender that nobody listens to leaves the rest of its message in a file (see
        `Handover`), but on a channel that is not shared.

        Returns:
            Their length; the real one, because of MSG_TRUNC: more than the view has
            room for if a packet was too long for it.
        """
        count = 0
        if self._left:  # and an exception prevented what follows
            self._take_file()
            return None
        if self._file != -1:
            # Read and counted in one go, here as below: see `packets`.
            for count in map(os.preadv, (self._file,), ((view,),), (self._place,)):
                assembler.filled += count
                self._place += count
            return count
        if self._pipe is not None:
            for got in map(self._pipe.readinto, (view,)):
                assembler.filled += got or 0
            if got is None and not flags & DONTWAIT:
                ready_to_read(self._pipe.fileno(), SLICE_SECONDS)
                for got in map(self._pipe.readinto, (view,)):
                    assembler.filled += got or 0
            if got is None:
                raise BlockingIOError(EAGAIN, "the rest is still to come")
            if got or self._spare == -1:
                return got
            # The sender has left what is missing in the file.
            self._file, self._spare = self._spare, -1
            return None
        if native is not None:
            alone, rest = self._private is not None, assembler.reserve()
            asked = (sock.fileno,), (view,), (rest,), (flags,), (alone,)
            for count, came in map(native.receive_fragments, *asked):
                assembler.filled += count
                if came is None:
                    return count  # type: ignore[no-any-return]
                self._left = came or _NOTHING
        elif self._private is None:
            for count in map(sock.recv_into, (view,), (0,), (flags | TRUNC,)):
                assembler.filled += count
            return count
        else:
            arguments = ((view,),), (_ONE_HANDLE,), (flags | TRUNC | CLOEXEC,)
            for count, control, got, _ in map(sock.recvmsg_into, *arguments):
                if not control and not got & CTRUNC:
                    assembler.filled += count
                    return count
                self._left = control or _NOTHING
        self._take_file()
        return None

    def _take_file(self) -> None:
        files = handles_of(self._left)
        self._file, self._left = files[0] if files else -1, ()
        close_handles(files[1:])
        if self._file == -1:
            raise HandleError(_LOST)

    def _finish(self, head: Head, assembler: Assembler) -> Received | None:
        if not assembler.complete():
            return None
        if self._lost:
            # The message had to be received, lest its fragments be taken for others.
            raise HandleError(_LOST)
        if self._private is not None:
            if self._spent is not None and is_announced(self._sock):
                self._spent[self._private] = None
            else:
                forget_private(self._private)
        elif self._pipe is not None:
            forget_private(self._pipe)  # which tells the sender that all of it is here
        self._close_file()
        received = Received(assembler.parts(), [], head.pickled)
        received.placed = assembler.placed
        handles = handles_of(self._control)
        received.handles, self._control = handles, []
        self._head = self._assembler = self._private = self._pipe = None
        return received

    def leave(self) -> None:
        """Take the half message out of memory that the caller has lent."""
        self._into = None
        if self._assembler is not None:
            self._assembler.leave()

    def close(self) -> None:
        """Drop the half message, and close its descriptors.

        A sender that is not through with it finds out, and sends it again.
        """
        received, self.received = self.received, None
        if received is not None:
            received.close()
        private, self._private = self._private, None
        pipe, self._pipe = self._pipe, None
        packet, self.packet = self.packet, None
        control, self._control = self._control, []
        self._head = self._assembler = None
        self._awaited, self._lost = 0, False
        if private is not None:
            forget_private(private)
        elif pipe is not None:
            forget_private(pipe)
            if packet is not None:  # a handler came before it was done with
                close_handles(handles_of(packet[1])[1:])
        elif packet is not None:
            close_handles(handles_of(packet[1]))
        close_handles(handles_of(control))
        self._close_file()

    def _close_file(self) -> None:
        file, self._file = self._file, -1
        spare, self._spare = self._spare, -1
        left, self._left = self._left, ()
        if file != -1:
            os.close(file)
        if spare != -1:
            os.close(spare)
        close_handles(handles_of(left))


def whole(packet: bytes) -> Received:
    """The message that is one packet and has no head.

    Raises:
        FramingError: it is no message.
    """
    if packet[0] == framing.PICKLE:
        return Received([packet], [], True)
    if packet[0] == framing.BYTES:
        return Received([packet[1:]], [], False)
    raise FramingError(f"not the beginning of a message: {packet[:12]!r}")
