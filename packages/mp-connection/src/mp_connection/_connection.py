"""`Connection`: the object of the manual's section "Connection objects".

How it receives stands in `_receiving`.  The usual small message takes one system call
and no other Python frame than the method's own.  Everything else, failures included,
goes through the channel.
"""

from __future__ import annotations

from mp_connection import _framing as framing
from mp_connection._channel import (
    NOSIGNAL,
    adopt,
    is_packet_socket,
    packet_pair,
    senders,
    slice_writes,
)
from mp_connection._cpickle import PickleBuffer, dumps
from mp_connection._endpoint import CLOSED, raised_by_handler, refuse
from mp_connection._framing import INLINE_LIMIT, Message
from mp_connection._lookout import recent
from mp_connection._pickling import (
    PROTOCOL,
    message_of,
    message_of_bytes,
    pickle_with_handles,
)
from mp_connection._receiving import Receiver, RecvT
from mp_connection._reducers import follow_reducers
from mp_connection.handles import Handle, ReceivedHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic, TypeVar

    from typing_extensions import Buffer, TypeVar as TypeVarWithDefault

    from mp_connection._allowing import Allow, AllowList

    SendT = TypeVar("SendT", contravariant=True)

    #: For functions: what the caller says of the result, and Any if it says nothing.
    SentT = TypeVarWithDefault("SentT", default=Any)
    ReceivedT = TypeVarWithDefault("ReceivedT", default=Any)
else:
    from mp_connection._generic import Generic

    SendT = None

follow_reducers(globals())

#: Objects that are sent as they are when they are large.
_RAW = (bytes, bytearray)


class Connection(Receiver[RecvT], Generic[SendT, RecvT]):
    """One end of a connection that carries whole messages, in order.

    Any number of threads and processes may use an end at the same time; each message
    reaches one of its readers, whole.  After a fork both processes hold the end, and
    the far end sees end-of-file only when both have closed it.  Another thread may
    close it while one sends or receives: that call ends within 200 ms, with
    `ChannelClosedError` unless it was through.

    Over a byte stream (a TCP socket, a FIFO, what `Listener` and `Client` make) only
    one process may receive at an end, and only one send; threads still may at will.

    Args:
        handle: a descriptor, owned by the connection from now on.  A packet socket gets
            the protocol of `Pipe`; blocking calls on its description end every 200 ms
            from now on, with EAGAIN for whoever else uses it.  Anything else is a byte
            stream, and gets that of the standard library.
        readable: whether `recv` and its like are allowed.
        writable: whether `send` and its like are allowed.
        allow: what `recv` may unpickle besides plain data: classes and functions, or
            a function that takes the module and the qualified name of one and returns
            True if it is allowed.  None for anything.

    Raises:
        ValueError: neither readable nor writable, or the descriptor is negative.
        TypeError: *allow* is neither.
        OSError: the descriptor is not open.
    """

    __slots__ = ()

    def __init__(
        self,
        handle: int,
        readable: bool = True,
        writable: bool = True,
        *,
        allow: Allow | None = None,
    ) -> None:
        if not readable and not writable:
            raise ValueError("a connection is readable or writable, or both")
        allowed = allow_list(allow)
        if is_packet_socket(handle):
            self._open(adopt(handle), readable, writable)
        else:
            from mp_connection._stream_connection import open_stream

            open_stream(self, handle, readable, writable)
        if allowed is not None:
            allowed.restrict(self)

    def __reduce__(self) -> tuple[object, ...]:
        handle = Handle(self.fileno())
        return _rebuild, (type(self), handle, self._readable, self._writable)

    # ---------------------------------------------------------------- sending

    def send(self, obj: SendT) -> None:
        """Send an object, which has to be picklable, to the far end.

        Connections, sockets and other owners of descriptors may be part of it: the
        receiver gets duplicates.  Blocks while the kernel's buffer is full, which holds
        some 200 kB of small messages, or one of up to 400 kB.

        Args:
            obj: the object.  Nothing of it is used any more after the call.

        Raises:
            UnpicklableError: part of the object cannot be pickled.
            HandleError: a descriptor in it was pickled by something else than this
                call, in a ``__reduce__`` for example.
            BrokenPipeError: every holder of the far end has closed it or died.
            ChannelClosedError: the connection is closed or not writable (an OSError).
            Exception: whatever a ``__reduce__`` of the user's raises, with a note that
                says where in the object it sits.
        """
        if type(obj) in _RAW and len(obj) > INLINE_LIMIT:  # type: ignore[arg-type]
            self._send_message(message_of_bytes(obj))  # type: ignore[arg-type]
            return
        buffers: list[PickleBuffer] = []
        try:
            data = dumps(obj, PROTOCOL, buffer_callback=buffers.append)
        except Exception:
            message = pickle_with_handles(obj, "object")
            if not message.handles:
                raise  # a signal handler's, as nothing in the object has caused it
        else:
            while not buffers and len(data) <= INLINE_LIMIT:
                try:
                    if self._send(data, NOSIGNAL) is not CLOSED:
                        recent.sent = True
                        return
                except OSError as error:
                    # Nothing was sent: the channel tries again, and says why.
                    if raised_by_handler(error):
                        raise
                    break
                self._begin_sending()
            message = message_of(obj, data, buffers)
        self._send_message(message)

    def send_bytes(
        self, buffer: Buffer, offset: int = 0, size: int | None = None
    ) -> None:
        """Send bytes as one message.  Blocks as `send` does.

        Args:
            buffer: any object with the buffer protocol.
            offset: where the message begins in it, in bytes.
            size: bytes to send; None for all that follow.

        Raises:
            ValueError: offset or size is negative or beyond the end of the buffer.
            BrokenPipeError: every holder of the far end has closed it or died.
            ChannelClosedError: the connection is closed or not writable (an OSError).
        """
        part: bytes | memoryview
        if type(buffer) is bytes and offset == 0 and size is None:
            part = buffer
        else:
            part = framing.section(framing.flat(buffer), offset, size)
        while len(part) <= INLINE_LIMIT:
            try:
                if self._send_bytes(part, NOSIGNAL) is not CLOSED:
                    recent.sent = True
                    return
            except OSError as error:
                if raised_by_handler(error):
                    raise
                break
            self._begin_sending()
        self._send_message(Message([part], pickled=False))

    def _begin_sending(self) -> None:
        """Fill the slots for sending, if this may be done.

        Raises:
            ChannelClosedError: it may not.
        """
        self._check_writable()
        sock: Any = self._channel.sock
        slice_writes(sock)
        self._send, self._send_bytes = senders(sock)

    def _send_message(self, message: Message) -> None:
        if self._send is refuse:
            self._begin_sending()
        self._channel.send(message)
        recent.sent = True

    # ---------------------------------------------------------------- asyncio

    # Imported where it is used: a child process would pay for what it does not need.

    async def asend(self, obj: SendT) -> None:
        """As `send`, for a task of an event loop: other tasks go on meanwhile.

        A task that is cancelled while it waits has either sent nothing, or, over a
        byte stream, the beginning of the message; whatever is sent next sends the rest
        of it first.  (The object is pickled before anything is sent, in one go.)

        Args:
            obj: the object; not to be changed before the call is through.

        Raises:
            NotImplementedError: the event loop has no ``add_writer``.
            Exception: as `send`.
        """
        from mp_connection._aio import send

        await send(self, obj)

    async def asend_bytes(
        self, buffer: Buffer, offset: int = 0, size: int | None = None
    ) -> None:
        """As `send_bytes`, for a task of an event loop; see `asend`.

        Args:
            buffer: any object with the buffer protocol; not to be changed before the
                call is through.
            offset: where the message begins in it, in bytes.
            size: bytes to send; None for all that follow.

        Raises:
            NotImplementedError: the event loop has no ``add_writer``.
            Exception: as `send_bytes`.
        """
        from mp_connection._aio import send_bytes

        await send_bytes(self, framing.section(framing.flat(buffer), offset, size))

    async def arecv(self) -> RecvT:
        """As `recv`, for a task of an event loop: other tasks go on meanwhile.

        Any number of tasks, of any number of loops, may receive at the same time, and
        threads beside them.  A task that is cancelled while it waits loses nothing:
        what has arrived is kept, and the next call, also of `recv`, goes on with it.
        (The object is unpickled in one go.)

        As long as a task waits, the descriptor must not be registered with the same
        loop by anything else.

        Raises:
            ChannelClosedError: the connection is not readable, or closed, perhaps by
                another task or thread meanwhile.
            NotImplementedError: the event loop has no ``add_reader``.
            Exception: as `recv`.
        """
        from mp_connection._aio import recv

        return await recv(self)

    async def arecv_bytes(self, maxlength: int | None = None) -> bytes:
        """As `recv_bytes`, for a task of an event loop; see `arecv`.

        Args:
            maxlength: the longest message to accept, in bytes.

        Raises:
            NotImplementedError: the event loop has no ``add_reader``.
            Exception: as `recv_bytes`.
        """
        from mp_connection._aio import recv_bytes

        return await recv_bytes(self, maxlength)


def allow_list(allow: Allow | None) -> AllowList | None:
    """What a connection may unpickle; None for anything.

    Raises:
        TypeError: it is no such list.
    """
    if allow is None:
        return None
    from mp_connection._allowing import AllowList  # few programs want it

    return AllowList(allow)


def _rebuild(
    kind: type[Connection[Any, Any]],
    handle: ReceivedHandle,
    readable: bool,
    writable: bool,
) -> Connection[Any, Any]:
    return kind._adopt(adopt(handle.take()), readable, writable)


def Pipe(
    duplex: bool = True,
) -> tuple[Connection[SentT, ReceivedT], Connection[ReceivedT, SentT]]:
    """Two connections, each the far end of the other (manual, "Pipes and queues").

    Args:
        duplex: whether both ends send and receive; otherwise the first can only
            receive and the second only send.

    Raises:
        OSError: no more descriptors.
        NotImplementedError: the platform has no packet channel yet.
    """
    first, second = packet_pair(shared=False)
    return (
        Connection._adopt(first, True, duplex),
        Connection._adopt(second, duplex, True),
    )


Connection.__module__ = "mp_connection"
