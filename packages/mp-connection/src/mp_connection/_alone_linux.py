"""Large messages on a shared channel: each goes over a channel of its own.

Others write and read there too, and would take pieces of one message for those of
another.  So the end of a private channel travels in the announcement; whoever receives
that receives the message, and if its receiver dies it is announced again.

The private channel is a pair of sockets, or a pipe of pages (``native/pages.c``) where
that takes less time.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import time
from errno import EMFILE, EPIPE

from mp_connection import _framing as framing
from mp_connection._backend import native
from mp_connection._framing import Head
from mp_connection._packets_linux import (
    NOSIGNAL,
    SLICE_SECONDS,
    InFlightError,
    closed_error,
    forget_private,
    fragment_size,
    is_of_handler,
    load_handles,
    moment,
    note_private,
    private_pair,
    send_error,
    send_fragments,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Iterator, Sequence

    from typing_extensions import Buffer

    from mp_connection._channel_linux import PacketChannel
    from mp_connection._framing import Message
    from mp_connection._native import Pages

#: Bytes in the shortest message that takes a pipe, which is not through before it is
#: received: a pair takes two packets while nobody receives, and `send` returns.
PIPE_FROM = 400_001
#: Less room than this, and a pipe is slower than a pair.
_LEAST_ROOM = 1 << 18
_PAGE = os.sysconf("SC_PAGESIZE")
_MOST_AHEAD = 1 << 14
_SLICE = int(SLICE_SECONDS * 1000)

_revocable: bool | None = None

#: Messages that could not be taken back.
_lent: list[Message] = []


def pages_for(message: Message) -> Pages | None:
    """A pipe for a message; None for one that goes over a pair.

    It is to be given to `forget_private` in the end.
    """
    size = message.size
    if native is None or message.handles or size < PIPE_FROM:
        return None
    parts = message.parts
    if message.pickled and parts[0][0] != framing.PICKLE:
        return None  # its receiver goes by that
    try:
        pages: Pages = native.Pages(size + 2 * _PAGE * len(parts))
    except OSError as error:
        if is_of_handler(error):
            raise
        return None  # of descriptors there are none, and a pair needs them as well
    try:
        note_private(pages)
        # What a user may have in all is bounded (pipe(7), pipe-user-pages-soft).
        if pages.room() >= _LEAST_ROOM and _is_revocable(pages):
            return pages
    except BaseException:  # of a signal handler
        forget_private(pages)
        raise
    forget_private(pages)
    return None


def _is_revocable(pages: Pages) -> bool:
    """Whether what is lent to a pipe can be taken back here, which needs /proc."""
    global _revocable
    if _revocable is not None:
        return _revocable
    try:
        pages.withdraw()
    except OSError as error:
        if is_of_handler(error):
            raise
        if error.errno != EMFILE:
            _revocable = False
        return False
    _revocable = True
    return True


def keep(message: Message) -> None:
    """Keep the memory of a message that somebody may receive at any time."""
    _lent.append(message)


def send_alone(channel: PacketChannel, message: Message) -> None:
    """Send a message on a shared channel; blocks while nobody receives it.

    Raises:
        BrokenPipeError: the far end is closed.
        ChannelClosedError: this end is, perhaps by another thread meanwhile.
    """
    attempt = 0
    while True:
        sent = _by_pipe(channel, message)
        if sent is None:
            sent = _by_pair(channel, message, attempt)
        if sent:
            return
        attempt += 1


def _by_pipe(channel: PacketChannel, message: Message) -> bool | None:
    """Send a message through a pipe of its own.

    Returns:
        False to try again, as its receiver went away; None for one that cannot go so.
    """
    pages = pages_for(message)
    if pages is None:
        return None
    announced = False
    try:
        ahead, rest = begin(message, pages.room())
        head = Head.of(message, framing.PIPE, sum(map(len, ahead))).encode()
        # As much as there is room for before anybody is told: it is read at one go.
        rest = lend(pages, rest, 0)
        packet = b"".join((head, *ahead)) if ahead else head
        _announce(channel, pages, packet)
        announced = True
        while rest:
            try:
                rest = lend(pages, rest, _SLICE)
            except BlockingIOError:
                _check(channel)
        while not is_through(pages, _SLICE):
            _check(channel)
    except BrokenPipeError:
        if not announced:
            raise
        return False
    else:
        return True
    finally:
        if not pages.close():  # no function of Python's, where a handler may run
            keep(message)
        forget_private(pages)


def _announce(channel: PacketChannel, pages: Pages, packet: bytes) -> None:
    while True:
        try:
            return pages.announce(channel.sock.fileno, packet, NOSIGNAL)
        except OSError as error:
            if is_of_handler(error):
                raise
            # In a moment there is room, or fewer descriptors are in flight.
            meaning = send_error(channel.sock, error)
            if not isinstance(meaning, BlockingIOError):
                raise meaning from None
            _check(channel)
            time.sleep(0.001)


def is_through(pages: Pages, milliseconds: int) -> bool:
    """Wait until all of a message that was lent is received; whether it is.

    Mostly the receiver closes its end then.  But a child that its process has forked
    when that had just arrived has it too; so in the end it is enough that all is read.

    Raises:
        BrokenPipeError: the receiver is gone, and has not read all.
    """
    unread = pages.taken(milliseconds)
    if unread:
        raise BrokenPipeError(EPIPE, "the receiver is gone")
    return unread == 0 or not pages.unread()


def begin(
    message: Message, room: int
) -> tuple[Sequence[memoryview], Sequence[memoryview]]:
    """What of a message goes ahead, with its announcement, and what through the pipe.

    Nothing goes ahead, unless the message lies on one page more than there is room for
    because it begins or ends within one: then its receiver would have to wait for that.

    Args:
        message: the message.
        room: that of the pipe, in bytes.
    """
    parts = message.parts
    for index, part in enumerate(parts):
        if len(part) > _PAGE:
            offset = native.Pages.offset(part)  # type: ignore[union-attr]
            if offset + len(part) <= room or len(part) > room:
                break
            place = -offset % _PAGE
            ahead = [*parts[:index], part[:place]]
            if sum(map(len, ahead)) <= _MOST_AHEAD:
                return ahead, [part[place:], *parts[index + 1 :]]
            break
    return (), parts


def lend(
    pages: Pages, parts: Sequence[memoryview], milliseconds: int
) -> Sequence[memoryview]:
    """Put parts of a message into its pipe, as there is room; what is left of them.

    Args:
        pages: the pipe.
        parts: the parts.
        milliseconds: how long to wait for room, if there is none; 0 for not at all,
            and for no error.

    Raises:
        BlockingIOError: there was no room.
        BrokenPipeError: the receiver has closed its end.
    """
    for index, part in enumerate(parts):
        place = 0
        while place < len(part):
            try:
                place = pages.send(part, place, milliseconds, True)
            except BlockingIOError:
                if place or index or not milliseconds:
                    return [part[place:], *parts[index + 1 :]]
                raise
    return ()


def _check(channel: PacketChannel) -> None:
    if channel.sock.fileno() == -1:
        raise closed_error()


def _by_pair(channel: PacketChannel, message: Message, attempt: int) -> bool:
    """Send a message over a pair of its own; False to try again.

    That is when its receiver went away, or when too much is in flight.
    """
    mine, theirs = private_pair()
    announced = False
    try:
        size = fragment_size(mine)
        handles = framing.handle_packets(message.handles)
        load_handles(mine, handles, message, attempt)
        head = Head.of(message, framing.PRIVATE).encode()
        # Not patient: what is in flight is to be let go of, see `load_handles`.
        channel.send_waiting(channel.sock, [head], [theirs.fileno()], patient=False)
        announced = True
        forget_private(theirs)
        _send_body(channel, mine, handles, message.parts, size)
    except InFlightError:
        if channel.sock.fileno() == -1:
            raise closed_error() from None
    except BrokenPipeError:
        if not announced:
            raise
    else:
        return True
    finally:
        try:
            mine.close()  # no function of Python's, where a signal handler may run
        finally:
            theirs.close()
        forget_private(mine)
        forget_private(theirs)
    if not announced:
        time.sleep(moment(attempt))
    return False


# By themselves because of what `packets` says on loops.
def _send_body(
    channel: PacketChannel,
    mine: _socket.socket,
    handles: Iterator[tuple[list[Buffer], Sequence[int]]],
    parts: Iterable[memoryview],
    size: int,
) -> None:
    for packet in handles:
        channel.send_waiting(mine, *packet)
    for part in parts:
        _send_part(channel, mine, part, size)


def _send_part(
    channel: PacketChannel, mine: _socket.socket, part: memoryview, size: int
) -> None:
    start = 0
    while start < len(part):
        try:
            start = send_fragments(mine, part, start, size)
        except BlockingIOError:  # a slice is over
            time.sleep(0.001)
        _check(channel)
