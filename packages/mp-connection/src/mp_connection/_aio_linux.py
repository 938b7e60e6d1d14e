"""Connections for tasks of an event loop: the channels' own steps, never waiting.

What a channel can do without waiting is done in the task itself, between two awaits, so
that a task which is cancelled has either not received a message or returned it.  Large
messages are moved for `TURN_SECONDS` at a time.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import asyncio
import select
import time
from errno import EBADF, EMSGSIZE

from mp_connection import _framing as framing
from mp_connection._aio_wait import (
    TURN_SECONDS,
    look_again,
    pause,
    ready,
    turn_ends,
    wake,
    writable,
)
from mp_connection._channel import DONTWAIT, SLICE_SECONDS, PacketChannel, Received
from mp_connection._cpickle import loads
from mp_connection._cutting import cut
from mp_connection._framing import Head, Message
from mp_connection._outgoing_posix import Outgoing
from mp_connection._packets_linux import (
    InFlightError,
    closed_error,
    forget_private,
    fragment_size,
    load_handles,
    moment,
    private_pair,
    send_packet,
)
from mp_connection._pickling import pickle_message, unpickle
from mp_connection._stream_connection import StreamConnection, explain
from mp_connection.errors import TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import Any, TypeVar

    from typing_extensions import Buffer

    from mp_connection._allowing import AllowList
    from mp_connection._connection import Connection
    from mp_connection._listener import Listener
    from mp_connection._receiver_linux import Receiver

    SendT = TypeVar("SendT")
    RecvT = TypeVar("RecvT")

#: A time that has passed: whatever takes a deadline does not wait at all.
_NOW = float("-inf")
#: Seconds to wait for what no event tells of.
_MOMENT = 0.002


# ------------------------------------------------------------------------- sending


async def send(connection: Connection[SendT, RecvT], obj: SendT) -> None:
    """See `Connection.asend`."""
    if isinstance(connection, StreamConnection):
        await _send_stream(connection, *connection._outgoing(obj))
    else:
        await _send_packets(connection, pickle_message(obj))


async def send_bytes(connection: Connection[SendT, RecvT], data: memoryview) -> None:
    """See `Connection.asend_bytes`."""
    if isinstance(connection, StreamConnection):
        await _send_stream(connection, [data], ())
    else:
        await _send_packets(connection, Message([data], pickled=False))


async def _send_stream(
    connection: StreamConnection[Any, Any],
    parts: Sequence[Buffer],
    handles: Sequence[int],
) -> None:
    connection._check_writable()
    channel = connection._channel
    if handles:
        channel.check_handles()
    out = Outgoing(parts, handles)
    left: object = None
    ticket: int | None = None
    await pause()
    try:
        while True:
            connection._check_writable()
            try:
                if channel.send_some(out, turn_ends()):
                    return
            except BlockingIOError:
                await asyncio.sleep(_MOMENT)  # a thread is sending
                continue
            if time.monotonic() >= turn_ends():
                await pause()
                continue
            before, left = left, (len(out.views), *map(len, out.views[:1]))
            if before == left:
                # Ready all the time, perhaps: too many descriptors are in flight.
                await asyncio.sleep(_MOMENT)
            ticket = await writable(channel, ticket=ticket)
    except BaseException:
        channel.leave_out(out)
        raise


async def _send_packets(connection: Connection[Any, Any], message: Message) -> None:
    connection._check_writable()
    await pause()
    sock = connection._channel.sock
    if framing.fits_inline(message):
        packet = framing.inline_packet(message)
        try:
            return await _send_packet(connection, sock, packet, message.handles)
        except OSError as error:
            if error.errno != EMSGSIZE:  # the system's default is small
                raise
    else:
        cut(message)
    attempt = 0
    while not await _send_privately(connection, message, attempt):
        attempt += 1


async def _send_packet(
    connection: Connection[Any, Any],
    sock: _socket.socket,
    buffers: Sequence[Buffer],
    handles: Sequence[int],
    patient: bool = True,
) -> None:
    """Send one packet.

    Raises:
        InFlightError: too much is in flight; if *patient*, wait until it is not.
    """
    channel = connection._channel
    ticket: int | None = None
    while True:
        connection._check_writable()
        try:
            return send_packet(sock, buffers, handles, DONTWAIT)
        except InFlightError:
            if not patient:
                raise
            await asyncio.sleep(_MOMENT)
        except BlockingIOError:
            fd = None if sock is channel.sock else sock.fileno()
            ticket = await writable(channel, fd=fd, ticket=ticket)


async def _send_privately(
    connection: Connection[Any, Any], message: Message, attempt: int
) -> bool:
    """As `PacketChannel._send_privately`; what is torn is as if it was never sent."""
    mine, theirs = private_pair()
    announced = False
    try:
        packets = framing.fragment_packets(
            message, framing.PRIVATE, fragment_size(mine)
        )
        load_handles(mine, packets, message, attempt)
        await _send_packet(
            connection,
            connection._channel.sock,
            [Head.of(message, framing.PRIVATE).encode()],
            [theirs.fileno()],
            patient=False,
        )
        announced = True
        forget_private(theirs)
        for packet in packets:
            await _send_packet(connection, mine, *packet)
            await pause()
    except InFlightError:
        connection._check_writable()
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
        await asyncio.sleep(moment(attempt))
    return False


# ----------------------------------------------------------------------- receiving


async def recv(connection: Connection[SendT, RecvT]) -> RecvT:
    """See `Connection.arecv`."""
    stream = isinstance(connection, StreamConnection)
    if isinstance(connection, StreamConnection):
        received = await _receive_stream(connection, None, objects=True)
    else:
        received = await _receive_packets(connection)
    # As in `recv`: no signal handler comes before the next line.
    handles = received.handles
    allow: AllowList | None = getattr(connection, "_allow", None)
    try:
        if allow is not None:
            from mp_connection._allowing import unpickle_listed  # few programs want it

            return unpickle_listed(received, allow)  # type: ignore[no-any-return]
        if stream or received.pickled:
            return unpickle(received)  # type: ignore[no-any-return]
        return loads(received.parts[0])  # type: ignore[no-any-return]
    except EOFError as error:
        connection._raise_unpickling(error)
    except Exception as error:
        if stream:
            explain(received.parts[0], error)
        raise
    except BaseException:
        if received.handles is handles:  # nobody has taken them
            connection._give_back(received)
        raise


async def recv_bytes(
    connection: Connection[SendT, RecvT], maxlength: int | None
) -> bytes:
    """See `Connection.arecv_bytes`."""
    if maxlength is not None and maxlength < 0:
        raise ValueError(f"maxlength {maxlength} is negative")
    if isinstance(connection, StreamConnection):
        received = await _receive_stream(connection, maxlength, objects=False)
    else:
        received = await _receive_packets(connection)
    data = bytes(connection._bytes_of(received))
    if maxlength is not None and len(data) > maxlength:
        connection._refuse_length(len(data), maxlength)
    return data


async def _receive_stream(
    connection: StreamConnection[Any, Any], limit: int | None, objects: bool
) -> Received:
    channel = connection._channel
    ticket: int | None = None
    connection._check_readable()
    await pause()
    while True:
        patience = max(0.0, turn_ends() - time.monotonic())
        try:
            return connection._receive(None, _NOW, limit, objects, patience)
        except TimeoutError:
            pass
        except OSError:
            look_again(channel)  # it may not be readable any more
            raise
        if channel.receiving:
            await asyncio.sleep(_MOMENT)  # by a thread
        elif time.monotonic() >= turn_ends():
            await pause()
        else:
            ticket = await ready(channel, ticket=ticket)


async def _receive_packets(connection: Connection[Any, Any]) -> Received:
    channel = connection._channel
    receiver: Receiver | None = None
    ticket: int | None = None
    connection._check_readable()
    await pause()
    try:
        while True:
            connection._check_readable()
            if receiver is None or not receiver.started:
                receiver = channel._next_receiver(None)
            received = _step(channel, receiver)
            if received is not None:
                return received
            if time.monotonic() >= turn_ends():
                await pause()
                continue
            fd: int | None = receiver.fileno()
            if fd == channel.fileno():
                fd = None
            ticket = await ready(channel, fd=fd, ticket=ticket)
    except BaseException:
        if connection._fileno() != -1:
            channel._keep(receiver)
        elif receiver is not None:
            receiver.close()
        raise


def _step(channel: PacketChannel, receiver: Receiver) -> Received | None:
    """A message, if it can be had without waiting, before this task's turn ends."""
    try:
        until = turn_ends()
        while True:
            received = receiver.step(DONTWAIT)
            if received is not None or time.monotonic() >= until:
                return received
    except BlockingIOError:
        return None
    except OSError as error:
        if channel.fileno() == -1 and error.errno == EBADF:
            raise closed_error() from None
        raise


# ----------------------------------------------------------------------- accepting


async def accept(listener: Listener[SendT, RecvT]) -> Connection[SendT, RecvT]:
    """See `Listener.aaccept`."""
    found: list[object] = list(listener._guests)
    while True:
        await pause()
        connection, objects, seconds = listener._attempt(found)
        if connection is not None:
            return connection
        if objects:
            found = await _any_of(objects, seconds)
        else:
            await asyncio.sleep(TURN_SECONDS)  # a thread is accepting


async def _any_of(objects: Sequence[Any], seconds: float) -> list[object]:
    """Those that are ready to be read, when one is, or the time is over.

    One descriptor of our own stands for all of them with the loop, so that a listener
    may close them meanwhile.
    """
    loop = asyncio.get_running_loop()
    with select.epoll(len(objects)) as watcher:
        by_fd = {fd: item for item in objects if (fd := item.fileno()) != -1}
        try:
            for fd in by_fd:
                watcher.register(fd, select.EPOLLIN)
        except OSError:  # closed by another thread meanwhile
            return list(objects)
        future = loop.create_future()
        loop.add_reader(watcher.fileno(), wake, future)
        timer = loop.call_later(min(max(0.0, seconds), SLICE_SECONDS), wake, future)
        try:
            await future
        finally:
            timer.cancel()
            if not loop.is_closed():
                loop.remove_reader(watcher.fileno())
        return [by_fd[fd] for fd, _ in watcher.poll(0)]
