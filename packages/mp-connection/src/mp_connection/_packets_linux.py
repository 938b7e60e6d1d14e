"""Packets on Linux: ``AF_UNIX`` pairs of type ``SOCK_SEQPACKET`` (unix(7)).

One system call sends a small message and one receives it; a packet is whole or not
there at all, whoever else reads, writes or is killed; and descriptors travel with it.

An end is an open-file description that other processes hold as well.  Setting
``O_NONBLOCK`` on it would change theirs, so nothing here does: what must not block
says MSG_DONTWAIT.  The C socket type is used as it is, because importing ``socket``
costs a child process more than everything else in this package.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import errno
import os
import select
from array import array
from io import FileIO

from mp_connection import _framing as framing
from mp_connection._backend import native
from mp_connection.errors import ChannelClosedError
from mp_connection.lifecycle import after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import NoReturn, Protocol

    from typing_extensions import Buffer

    from mp_connection._framing import Message
    from mp_connection._native import Control, Packet

    #: Ends of private pairs that are to be closed; a set that threads can share.
    Spent = dict[_socket.socket, None]

    class Closing(Protocol):
        """An end of a channel of one message."""

        def close(self) -> object: ...


#: What `recvmsg` is asked for: a whole small packet and all descriptors it can carry,
#: which must not leak into programs that other threads start meanwhile.
PACKET_SIZE = framing.INLINE_LIMIT + framing.HEAD_LIMIT
CONTROL_SIZE = _socket.CMSG_SPACE(framing.MAX_HANDLES * array("i").itemsize)
CLOEXEC = _socket.MSG_CMSG_CLOEXEC
DONTWAIT = _socket.MSG_DONTWAIT
#: A far end that is gone is an error and not a signal, also in a program that has set
#: SIGPIPE back to its default.
NOSIGNAL = _socket.MSG_NOSIGNAL
TRUNC = _socket.MSG_TRUNC
CTRUNC = _socket.MSG_CTRUNC

#: A waiter on a socket that others read too may miss its wake-up, if the process that
#: was woken instead of it is killed before it takes the packet.  So it looks again.
SLICE_SECONDS = 0.2

_KIND = _socket.SOCK_SEQPACKET | _socket.SOCK_NONBLOCK
_LARGEST_FRAGMENT = 200_000
_PEEK = _socket.MSG_PEEK | DONTWAIT

_timevals: dict[float, bytes] = {}
_private: set[Closing] = set()


def _timeval(sock: _socket.socket, seconds: float) -> bytes:
    """A time as a ``struct timeval`` of this kernel and C library."""
    # Two numbers of 4 or 8 bytes: on 32-bit systems SO_RCVTIMEO is one option or
    # another, depending on the C library's time_t.  The kernel tells by what it
    # returns (socket(7)).
    size = len(sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, 16)) // 2
    fields = divmod(int(seconds * 1e6), 1_000_000)
    value = b"".join(n.to_bytes(size, sys.byteorder) for n in fields)
    _timevals[seconds] = value
    return value


def slice_reads(sock: _socket.socket) -> None:
    """Let blocking receives return every `SLICE_SECONDS` with BlockingIOError.

    A time-out of the kernel's, which belongs to the description: every holder gets the
    slices without asking, and nothing has to be done for a call.
    """
    value = _timevals.get(SLICE_SECONDS) or _timeval(sock, SLICE_SECONDS)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, value)


def slice_writes(sock: _socket.socket, seconds: float = SLICE_SECONDS) -> None:
    """Let blocking sends return every so many seconds with BlockingIOError."""
    value = _timevals.get(seconds) or _timeval(sock, seconds)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, value)


def packet_pair(shared: bool) -> tuple[_socket.socket, _socket.socket]:
    """Two connected ends, both blocking and closed by exec.

    Args:
        shared: an end may have several readers or writers.  Blocking calls on it
            then return every `SLICE_SECONDS` with BlockingIOError: call again.

    Raises:
        OSError: no more descriptors.
    """
    ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    for end in ends:
        if end.gettimeout() is not None:  # socket.setdefaulttimeout is not for us
            end.setblocking(True)
        if shared:
            slice_reads(end)
            slice_writes(end)
    return ends


def adopt(fd: int) -> _socket.socket:
    """The socket object that owns a packet descriptor from now on."""
    # SOCK_NONBLOCK keeps the constructor from applying the default time-out of the
    # socket module, which would set O_NONBLOCK on a description that others hold.
    # It only fills in what the object believes; the kernel's flag stays as it is.
    return _socket.socket(_socket.AF_UNIX, _KIND, 0, fd)


def is_packet_socket(fd: int) -> bool:
    """Whether a descriptor is one that `adopt` may have."""
    try:
        sock = adopt(fd)
    except OSError:  # not a socket, or not open
        return False
    try:
        kind: int = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE)
        family: int = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_DOMAIN)
    except OSError:
        return False
    finally:
        sock.detach()  # it is the caller's still
    return (family, kind) == (_socket.AF_UNIX, _socket.SOCK_SEQPACKET)


# ------------------------------------------------------------ pairs of one message


def private_pair() -> tuple[_socket.socket, _socket.socket]:
    """A pair for one message: the sender's end and the receiver's.

    Neither end may survive in a forked child, where it would hide the death of the
    process that uses it: give both to `forget_private` in the end.
    """
    after_fork(_close_private, once=True)  # most processes never have such a pair
    mine, theirs = packet_pair(shared=False)
    try:
        slice_writes(mine)
        slice_reads(theirs)
        _private.update((mine, theirs))
    except BaseException:  # of a signal handler
        forget_private(mine)
        forget_private(theirs)
        raise
    return mine, theirs


def note_private(end: Closing) -> None:
    """Note an end of a channel of one message, for children to close."""
    after_fork(_close_private, once=True)
    _private.add(end)


def forget_private(end: Closing) -> None:
    """Close an end of a channel of one message.  A second call does nothing."""
    end.close()
    _private.discard(end)


def close_spent(spent: Spent) -> None:
    """Close ends of private pairs, and forget them."""
    for sock in list(spent):
        forget_private(sock)
        spent.pop(sock, None)  # after it: a signal handler may raise in between


def is_announced(sock: _socket.socket) -> bool:
    """Whether the next packet is here, and announces a message over a private pair."""
    try:
        return framing.is_announcement(sock.recv(framing.TELLING, _PEEK))
    except OSError as error:
        if is_of_handler(error):
            raise
        return False


def _close_private() -> None:
    for end in _private:
        end.close()
    _private.clear()


# ----------------------------------------------------------------------- receiving


def packets(sock: _socket.socket, flags: int) -> map[Packet]:
    """An iterator that receives one packet: (bytes, ancillary data, flags, address).

    ``for x in packets(…)`` receives and stores, and no signal handler can come in
    between: the interpreter runs handlers when a function begins, when a call returns
    and when a loop jumps back, but not between an iterator's C code and the assignment.
    A handler that raises (KeyboardInterrupt) would otherwise lose the packet that it
    interrupts.

    Beside such a loop stands no ``try``: the compiler of CPython 3.13 leaves the jump
    at the end of a loop out of the handlers around it.  They are in the caller.
    """
    return map(sock.recvmsg, (PACKET_SIZE,), (CONTROL_SIZE,), (CLOEXEC | flags,))


def adoptions(handles: Sequence[int]) -> map[_socket.socket]:
    """As `adopt`, for a loop that stores: see `packets`."""
    rest = (_socket.AF_UNIX,), (_KIND,), (0,)
    return map(_socket.socket, *rest, handles)


def pipe_ends(handles: Sequence[int]) -> map[FileIO]:
    """The objects that own ends of pipes from now on, for a loop as well."""
    return map(FileIO, handles)


def handles_of(control: Control) -> list[int]:
    """The descriptors in what `recvmsg` returned beside the bytes."""
    fds = array("i")
    for level, kind, data in control:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds.tolist()


def close_handles(handles: Sequence[int]) -> None:
    """Close descriptors that arrived and that nobody took."""
    for fd in handles:
        os.close(fd)


# ------------------------------------------------------------------------- sending


def fragment_size(sock: _socket.socket) -> int:
    """Bytes that certainly pass in one packet; the send buffer bounds them."""
    buffer: int = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF)
    return max(1024, min(_LARGEST_FRAGMENT, buffer - buffer // 16))


#: Packets of a byte for which the pair's buffer surely has room.
_MOST_PACKETS = 100
#: How often to try to have all descriptors of a message in flight at once.
_PATIENT_ATTEMPTS = 50


class InFlightError(BlockingIOError):
    """Too many descriptors of this user are in flight (ETOOMANYREFS, unix(7)).

    Whoever receives some of them makes room; the kernel has no event for it.
    """


def ancillary(handles: Sequence[int]) -> list[tuple[int, int, array[int]]]:
    """Descriptors as `sendmsg` takes them."""
    if not handles:
        return []
    return [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", handles))]


def send_error(sock: _socket.socket, error: OSError) -> OSError:
    """What a failed send means.

    Returns:
        BrokenPipeError: the far end is closed.
        ChannelClosedError: this end is.
        InFlightError: try again in a moment.
        OSError: the error as it was, for anything else.
    """
    if isinstance(error, ConnectionResetError):
        # The far end was closed while it had packets unread: reported once.
        return BrokenPipeError(errno.EPIPE, "the far end is closed")
    if error.errno == errno.ETOOMANYREFS:
        return InFlightError(errno.EAGAIN, "too many descriptors in flight")
    return error if sock.fileno() != -1 else closed_error()


def send_packet(
    sock: _socket.socket,
    buffers: Sequence[Buffer],
    handles: Sequence[int] = (),
    flags: int = 0,
) -> None:
    """Send one packet whole, or raise and send nothing.

    Raises:
        BlockingIOError: the kernel's buffer is full (with MSG_DONTWAIT), or a slice
            of waiting is over; or an `InFlightError`.
        BrokenPipeError: the far end is closed.
        ChannelClosedError: this end is.
    """
    try:
        if len(buffers) == 1 and not handles:
            sock.send(buffers[0], flags | NOSIGNAL)
        else:
            sock.sendmsg(buffers, ancillary(handles), flags | NOSIGNAL)
    except BlockingIOError:
        raise
    except OSError as error:
        _raise_meaning(sock, error)


def _raise_meaning(sock: _socket.socket, error: OSError) -> NoReturn:
    meaning = send_error(sock, error)
    try:
        if meaning is error:
            raise error
        raise meaning from error
    finally:
        del meaning, error  # they refer to this frame, and keep the callers'


def send_fragments(
    sock: _socket.socket, part: memoryview, start: int, fragment: int, flags: int = 0
) -> int:
    """Send packets of *fragment* bytes from a place on; where the next one begins.

    Raises:
        BlockingIOError, BrokenPipeError, ChannelClosedError: as `send_packet`, if
            nothing was sent.
    """
    try:
        if native is None:
            return start + sock.send(part[start : start + fragment], flags | NOSIGNAL)
        done: int = native.send_fragments(
            sock.fileno, part, start, fragment, flags | NOSIGNAL
        )
        return done
    except BlockingIOError:
        raise
    except OSError as error:
        _raise_meaning(sock, error)


def load_handles(
    mine: _socket.socket,
    packets: Iterator[tuple[list[Buffer], Sequence[int]]],
    message: Message,
    attempt: int,
) -> None:
    """Put the descriptors of a message into its pair, before it is announced.

    Once a message is announced its receiver waits for it, and takes nothing of others.
    If these had used up what may be in flight, and the message needed some of it still,
    nobody would ever go on.  For the same reason nothing stays in flight while this
    waits for room: when it fails, the caller gives up the pair and makes another one.

    More than a packet of them may never fit, where the limit is low.  So after some
    attempts all but the first packet go the old way, behind the announcement.

    Args:
        mine: the sender's end.
        packets: those of `fragment_packets`; the ones that are sent are taken out.
        message: the message.
        attempt: how often this was tried before.

    Raises:
        InFlightError: there is no room.
    """
    most = _MOST_PACKETS if attempt < _PATIENT_ATTEMPTS else 1
    count = -(-len(message.handles) // framing.MAX_HANDLES)
    for _ in range(min(count, most)):
        send_packet(mine, *next(packets), flags=DONTWAIT)


def moment(attempt: int) -> float:
    """Seconds to wait for room, not the same for everybody who waits."""
    return 0.001 + (os.getpid() + attempt) % 4 * 0.0005


# ------------------------------------------------------------------------- waiting


def closed_error() -> ChannelClosedError:
    """The error of an operation on a channel that this process has closed."""
    return ChannelClosedError(errno.EBADF, "the connection is closed")


def poller(fd: int) -> Callable[[float | None], list[tuple[int, int]]]:
    """A poll object's method for reading from one descriptor; it takes milliseconds.

    Raises:
        ValueError: the descriptor is negative.
    """
    object_ = select.poll()
    object_.register(fd, select.POLLIN)
    return object_.poll


def ready_to_read(fd: int, seconds: float | None) -> bool:
    """Whether a read would not block; end-of-file counts.

    Args:
        fd: any descriptor.
        seconds: how long to wait for it; None for ever.

    Raises:
        ValueError: the descriptor is negative.
    """
    return bool(poller(fd)(None if seconds is None else seconds * 1000))


def is_of_handler(error: OSError) -> bool:
    """As of `_signals`, which is not imported before the first error."""
    if sys.is_finalizing():  # when no handler runs, and nothing can be imported
        return False
    from mp_connection._signals import is_of_handler as decide

    return decide(error)
