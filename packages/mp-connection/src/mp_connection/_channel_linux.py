"""Messages over packets: any size, any number of descriptors, whole or not at all."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import errno
import os
import time

from mp_connection import _framing as framing
from mp_connection._framing import Message
from mp_connection._packets_linux import (
    CLOEXEC as CLOEXEC,
    CONTROL_SIZE as CONTROL_SIZE,
    DONTWAIT as DONTWAIT,
    NOSIGNAL as NOSIGNAL,
    PACKET_SIZE as PACKET_SIZE,
    SLICE_SECONDS as SLICE_SECONDS,
    InFlightError,
    adopt as adopt,
    close_handles,
    close_spent,
    closed_error,
    handles_of,
    is_packet_socket as is_packet_socket,
    packet_pair as packet_pair,
    poller as poller,
    ready_to_read as ready_to_read,
    send_packet as send_packet,
    slice_reads as slice_reads,
    slice_writes as slice_writes,
)
from mp_connection._receiver_linux import Received as Received, Receiver
from mp_connection._sender_linux import Sender, cut_large
from mp_connection._wire_linux import (
    arrivals as arrivals,
    peeker as peeker,
    receiver as receiver,
    senders as senders,
)
from mp_connection.lifecycle import after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from typing_extensions import Buffer

    from mp_connection._native import Control, Packet
    from mp_connection._packets_linux import Spent

#: Channels with half a message that no `poll` shows: see `PacketChannel.pending`.
keeping: set[PacketChannel] = set()
#: Called with a channel that keeps something which tasks of an event loop may have to
#: go on with.  Empty unless a program uses such loops.
notified: list[Callable[[object], object]] = []


def deadline_error() -> BlockingIOError:
    """The error of a receive call that was given a deadline."""
    return BlockingIOError(errno.EAGAIN, "the deadline passed")


class PacketChannel:
    """One end of a packet pair, for messages of any size with descriptors.

    Args:
        sock: the socket, which the channel owns from now on.
        shared: other processes or threads may read or write here as well.  A large
            message then takes a way of its own, see `_alone_linux`.

    A shared channel may be used by any number of threads and processes at once; one
    that is not has one reader and one writer at a time, and both of its ends are not
    shared.

    Attributes:
        sock: the socket.
        shared: as above.
        kept: messages that an exception or a deadline interrupted half-way: a first
            packet, a receiver or a message.  The next `recv` goes on with one.
    """

    __slots__ = (
        "__weakref__", "_receiver", "_sender", "_spent", "kept", "shared", "sock",
    )  # fmt: skip

    def __init__(self, sock: _socket.socket, shared: bool = False) -> None:
        self.sock = sock
        self.shared = shared
        self.kept: list[Packet | Receiver | Received] = []
        self._receiver: Receiver | None = None
        self._sender: Sender | None = None
        self._spent: Spent = {}  # see `Receiver`

    def fileno(self) -> int:
        """The descriptor, or -1 when closed."""
        return self.sock.fileno()

    def close(self) -> None:
        """Close the descriptor.  A second call does nothing.

        A call that blocks on a shared channel in another thread ends within
        `SLICE_SECONDS`, with `ChannelClosedError`.
        """
        self.sock.close()
        self._drop()

    def detach(self) -> int:
        """Give the descriptor to the caller; the channel is closed."""
        fd = self.sock.detach()
        self._drop()
        return fd

    def _drop(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.close()
        close_spent(self._spent)
        while self.kept:
            entry = self.kept.pop()
            if isinstance(entry, tuple):
                close_handles(handles_of(entry[1]))
            else:
                entry.close()
        keeping.discard(self)

    @property
    def pending(self) -> bool:
        """Whether half a message is here, which no `poll` of the descriptor shows."""
        if self._receiver is not None and self._receiver.started:
            return True
        return bool(self.kept)

    # ---------------------------------------------------------------- sending

    def push(self, message: Message) -> None:
        """Queue a message for `flush` (not on a shared channel)."""
        if self._sender is None:
            self._sender = Sender(self.sock)
        self._sender.push(message)

    def flush(self) -> bool:
        """Send queued packets without blocking; whether none is left.

        Raises:
            BrokenPipeError: the far end is closed.
        """
        return self._sender is None or self._sender.flush(DONTWAIT)

    def send(self, message: Message) -> None:
        """Send a message; blocks while the kernel's buffer is full.

        Raises:
            BrokenPipeError: the far end is closed.
            ChannelClosedError: this end is, perhaps by another thread meanwhile.
        """
        if not self.shared:
            self.push(message)
            assert self._sender is not None
            self._sender.flush()
            return
        if framing.fits_inline(message):
            try:
                packet = framing.inline_packet(message)
                return self.send_waiting(self.sock, packet, message.handles)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:  # the system's default is small
                    raise
        else:
            cut_large(message)
        from mp_connection._alone_linux import send_alone  # start-up time of children

        send_alone(self, message)

    def send_waiting(
        self,
        sock: _socket.socket,
        buffers: Sequence[Buffer],
        handles: Sequence[int] = (),
        patient: bool = True,
    ) -> None:
        """Send one packet.

        Raises:
            InFlightError: too much is in flight; if *patient*, wait until it is not.
        """
        while True:
            try:
                return send_packet(sock, buffers, handles)
            except BlockingIOError as error:
                # A slice is over, or too much is in flight, or somebody made the
                # description O_NONBLOCK.
                if not patient and isinstance(error, InFlightError):
                    raise
                if self.sock.fileno() == -1:
                    raise closed_error() from None
                time.sleep(0.001)

    # -------------------------------------------------------------- receiving

    def recv(
        self, deadline: float | None = None, into: memoryview | None = None
    ) -> Received:
        """Receive one message.

        Args:
            deadline: a time of `time.monotonic` in seconds, for the whole message;
                None waits for ever.
            into: memory for the bytes of a message of one part; `Received.placed`
                says whether it was used.

        Raises:
            EOFError: the far end is closed and nothing is left.
            BlockingIOError: the deadline passed.  What has arrived of a message is
                kept for the next call.
            ChannelClosedError: the channel is closed, perhaps by another thread
                meanwhile.
            FramingError: what arrived is no message.
            HandleError: the descriptors of the message were lost.
        """
        receiver = received = None
        try:
            while received is None:
                receiver = self._next_receiver(into)
                received = self._steps(receiver, deadline)
            return received
        except OSError as error:
            if self.sock.fileno() == -1 and error.errno == errno.EBADF:
                if receiver is not None:
                    receiver.close()
                raise closed_error() from None
            self._keep(receiver)
            raise
        except BaseException:
            self._keep(receiver)
            raise

    def try_recv(self) -> Received | None:
        """A message, if one can be had without waiting; else None.

        Raises:
            EOFError: as `recv`, and so on.
        """
        try:
            return self.recv(float("-inf"))
        except BlockingIOError:
            return None

    def received(
        self,
        packet: bytes,
        control: Sequence[tuple[int, int, bytes]],
        control_flags: int,
        deadline: float | None = None,
        into: memoryview | None = None,
    ) -> Received:
        """The message that begins with a packet which the caller received itself.

        Raises:
            EOFError: as `recv`, and so on.
        """
        self.keep(packet, control, control_flags)
        return self.recv(deadline, into)

    def go_on(self, deadline: float) -> Received | None:
        """Go on with something that was kept; on a shared channel.

        Returns:
            None if nothing is left of it, as its sender died.

        Raises:
            BlockingIOError: the deadline passed, and what has arrived is kept again;
                or nothing is kept any more.
            EOFError: as `recv`, and so on.
        """
        receiver = None
        try:
            receiver = self._next_receiver(None)
            if not receiver.started:  # another thread was faster
                raise deadline_error()
            while True:
                try:
                    received = receiver.step(self._flags(deadline))
                except BlockingIOError:
                    self._wait(receiver, deadline)
                else:
                    if received is not None or not receiver.started:
                        return received
        except BaseException:
            self._keep(receiver)
            raise

    def keep(self, packet: bytes, control: Control, control_flags: int) -> None:
        """Let the next receive call begin with a packet that the caller received."""
        first = packet, control, control_flags, None
        if self.shared:
            self.put_back(first)
        else:
            self._next_receiver(None).packet = first

    def put_back(self, entry: Packet | Receiver | Received) -> None:
        """Let the next receive call go on with something (on a shared channel)."""
        kept, channels = self.kept, keeping
        # Operators and no calls: no signal handler comes between, nor a thread.
        kept += (entry,)
        channels |= {self}
        for notify in notified:
            notify(self)

    def _keep(self, receiver: Receiver | None) -> None:
        if receiver is None or not receiver.started:
            return
        receiver.leave()
        if self.shared:
            self.put_back(receiver)
        if self.sock.fileno() == -1:
            self._drop()

    def _next_receiver(self, into: memoryview | None) -> Receiver:
        if not self.shared:
            if self._receiver is None:
                self._receiver = Receiver(self.sock)
            return self._receiver
        fresh = Receiver(self.sock, True, into, self._spent)
        kept, channels = self.kept, keeping
        if kept:
            # Operators and no calls, as above.
            entry: Any = kept[-1]
            del kept[-1]
            if not kept:
                channels -= {self}
            if entry.__class__ is Receiver:
                return entry
            if entry.__class__ is Received:
                fresh.received = entry
            else:
                fresh.packet = entry
        return fresh

    def _steps(self, receiver: Receiver, deadline: float | None) -> Received | None:
        """A message; or None if there is one to go on with that somebody has kept."""
        latest = float("inf")
        if deadline is not None:
            # What is here already is taken also when the deadline has passed.
            latest = max(deadline, time.monotonic() + SLICE_SECONDS)
        while True:
            try:
                received = receiver.step(self._flags(deadline))
            except BlockingIOError:
                self._wait(receiver, deadline)
                if self.kept and not receiver.started:
                    return None
            else:
                if received is not None:
                    return received
                if deadline is not None and time.monotonic() > latest:
                    raise deadline_error()

    def _flags(self, deadline: float | None) -> int:
        """Block as long as there is time for a whole slice."""
        if deadline is None:
            return 0
        if self.shared and deadline - time.monotonic() > 1.5 * SLICE_SECONDS:
            return 0
        return DONTWAIT

    def _wait(self, receiver: Receiver, deadline: float | None) -> None:
        """Between two attempts: see whether to go on, and wait where that is due."""
        fd = receiver.fileno()
        if self.sock.fileno() == -1 or fd == -1:
            receiver.close()
            raise closed_error() from None
        if self._flags(deadline) & DONTWAIT:
            assert deadline is not None
            seconds = min(deadline - time.monotonic(), SLICE_SECONDS)
            if seconds <= 0:
                raise deadline_error() from None
            ready_to_read(fd, seconds)
        elif not os.get_blocking(fd):
            # Not the end of a slice: somebody made the description O_NONBLOCK.
            ready_to_read(fd, SLICE_SECONDS)


def _drop_kept() -> None:
    """In a forked child: the parent goes on with its half messages."""
    for channel in list(keeping):
        channel._drop()


after_fork(_drop_kept)
