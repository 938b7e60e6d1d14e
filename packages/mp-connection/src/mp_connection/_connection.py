"""`Connection`: the object of the manual's section "Connection objects".

The usual small message takes one system call and no other Python frame than the
method's own.  Everything else, failures included, goes through the channel.
"""

from __future__ import annotations

import time
from errno import EMSGSIZE
from sys import is_finalizing

from mp_connection import _framing as framing
from mp_connection._channel import (
    CLOEXEC,
    NOSIGNAL,
    Received,
    adopt,
    arrivals,
    is_packet_socket,
    keeping,
    packet_pair,
    senders,
    slice_reads,
    slice_writes,
)
from mp_connection._cpickle import PickleBuffer, UnpicklingError, dumps, loads
from mp_connection._endpoint import CLOSED, Endpoint, refuse
from mp_connection._framing import BYTES, INLINE_LIMIT, PICKLE, Message
from mp_connection._lookout import recent
from mp_connection._pickling import (
    PROTOCOL,
    message_of,
    message_of_bytes,
    pickle_with_handles,
    unpickle,
)
from mp_connection._reducers import follow_reducers
from mp_connection.errors import BufferTooShort, FramingError, TimeoutError
from mp_connection.handles import Handle, ReceivedHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic, NoReturn, TypeVar

    from typing_extensions import Buffer, TypeVar as TypeVarWithDefault

    from mp_connection._allowing import Allow, AllowList

    SendT = TypeVar("SendT", contravariant=True)
    RecvT = TypeVar("RecvT", covariant=True)

    #: For functions: what the caller says of the result, and Any if it says nothing.
    SentT = TypeVarWithDefault("SentT", default=Any)
    ReceivedT = TypeVarWithDefault("ReceivedT", default=Any)
else:
    from mp_connection._generic import Generic

    SendT = RecvT = None

follow_reducers(globals())

#: Objects that are sent as they are when they are large.
_RAW = (bytes, bytearray)

#: Where an unpickler is called: an EOFError from there is the end of the pickle.
_UNPICKLING = (
    "mp_connection._aio_linux",
    "mp_connection._allowing",
    "mp_connection._connection",
    "mp_connection._pickling",
    "mp_connection._stream_connection",
)


class Connection(Endpoint, Generic[SendT, RecvT]):
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
        receiver gets duplicates.  Blocks while the kernel's buffer is full.

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
                    if _is_of_handler(error):
                        raise
                    break
                self._begin_sending()
            message = message_of(obj, data, buffers)
        self._send_message(message)

    def send_bytes(
        self, buffer: Buffer, offset: int = 0, size: int | None = None
    ) -> None:
        """Send bytes as one message.  Blocks while the kernel's buffer is full.

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
                if _is_of_handler(error):
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

    # -------------------------------------------------------------- receiving

    def recv(self, timeout: float | None = None) -> RecvT:
        """Receive an object; blocks until one arrives.

        Only receive from processes that are trusted: unpickling can run any code.

        An exception from a signal handler, such as KeyboardInterrupt, loses nothing
        that arrives: the next call returns it.  But an `Exception` that a handler
        raises while the object is unpickled cannot be told from the object's own, and
        an object with descriptors cannot be unpickled again.

        Args:
            timeout: seconds for the whole message; None waits for ever.

        Raises:
            EOFError: every holder of the far end has closed it or died, and nothing
                is left to receive.
            TimeoutError: no whole message arrived in time.  What has arrived of it is
                kept, and the next call goes on with it.
            ChannelClosedError: the connection is closed or not readable (an OSError).
            FramingError: what arrived is no message; the next one can be received.
            HandleError: this process may not open the descriptors that came with the
                message, which is lost.
            NotAllowedError: the message names what is not allowed (see the class).
            Exception: whatever unpickling raises.
        """
        if self._kept or timeout is not None:
            deadline = None if timeout is None else time.monotonic() + timeout
            received = self._receive(None, deadline)
        else:
            if recent.sent:
                (self._lookout or self._begin_looking()).look()
            try:
                # No signal handler gets between the kernel and these names.
                for arrival in self._arrivals:  # noqa: B007
                    break
                else:
                    arrival = None
            except OSError as error:
                if _is_of_handler(error):
                    raise
                received = self._receive()
            else:
                # Operators and no calls: no signal handler can come before.
                if arrival.__class__ is not bytes:
                    if arrival is None:
                        self._begin_receiving()
                        return Connection.recv(self)  # not of a subclass
                    packet, control, flags, _ = arrival
                    plain = not control and flags == CLOEXEC
                    if plain and packet and packet[0] == PICKLE:
                        arrival = packet
                if arrival.__class__ is bytes:
                    try:
                        return loads(arrival)  # type: ignore[no-any-return]
                    except EOFError as error:
                        self._raise_unpickling(error)
                    except Exception:
                        raise
                    except BaseException:
                        self._give_back(Received([arrival], [], True))
                        raise
                kept, channels = self._kept, keeping
                kept += (arrival,)
                channels |= {self._channel}
                received = self._receive()
        handles = received.handles
        try:
            if received.pickled:
                return unpickle(received)  # type: ignore[no-any-return]
            return loads(received.parts[0])  # type: ignore[no-any-return]
        except EOFError as error:
            self._raise_unpickling(error)
        except Exception:
            raise
        except BaseException:
            if not handles:  # otherwise some may be taken
                self._give_back(received)
            raise

    def _give_back(self, received: Received) -> None:
        """Let the next call return a message that a signal handler kept from us."""
        if received.placed:  # in memory that was lent for one call
            received.parts = [bytes(part) for part in received.parts]
            received.placed = False
        self._channel.put_back(received)

    @staticmethod
    def _raise_unpickling(error: EOFError) -> NoReturn:
        """Tell the end of a pickle from the end of the connection."""
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        if traceback is None or traceback.tb_frame.f_globals["__name__"] in _UNPICKLING:
            raise UnpicklingError(f"the message is no pickle: {error}") from None
        raise error  # it comes from a class of the user's

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Receive the bytes of one message; blocks until one arrives.

        What `send` sent is a pickle.  Descriptors that came with it are closed.  An
        exception from a signal handler loses nothing: the next call returns it.

        Args:
            maxlength: the longest message to accept, in bytes.

        Raises:
            EOFError: as `recv`.
            ValueError: *maxlength* is negative.
            OSError: the message is longer than *maxlength*; it is lost, and the
                connection cannot be read any more.
            ChannelClosedError: the connection is closed or not readable (an OSError).
            FramingError: as `recv`.
        """
        if maxlength is not None and maxlength < 0:
            raise ValueError(f"maxlength {maxlength} is negative")
        data: Any = self._receive_bytes(None)  # bytes
        if maxlength is not None:
            try:
                size = len(data)
            except BaseException:  # of a signal handler
                self._give_back(Received([data], [], False))
                raise
            if size > maxlength:
                self._refuse_length(size, maxlength)
        return data  # type: ignore[no-any-return]

    def _refuse_length(self, size: int, maxlength: int) -> NoReturn:
        self._stop_reading()
        text = f"a message of {size} bytes exceeds the {maxlength} allowed"
        raise OSError(EMSGSIZE, text)

    def recv_bytes_into(self, buffer: Buffer, offset: int = 0) -> int:
        """Receive the bytes of one message into a buffer; blocks until one arrives.

        Args:
            buffer: any writable, contiguous object with the buffer protocol.
            offset: where to write in it, in bytes.

        Returns:
            The bytes in the message.

        Raises:
            BufferTooShort: the message does not fit; ``args[0]`` is the message.
            ValueError: the offset is negative or beyond the end of the buffer.
            TypeError: the buffer is read-only or not contiguous.
            EOFError: as `recv`.
            ChannelClosedError: the connection is closed or not readable (an OSError).
            FramingError: as `recv`.
        """
        size = -1
        try:
            # Released at the end: an exception that somebody keeps would keep them too,
            # and the buffer could not be resized.
            with memoryview(buffer) as given:
                if given.readonly or not given.c_contiguous:
                    text = "a buffer to receive into is writable and contiguous"
                    raise TypeError(text)
                with framing.flat(given) as view:
                    length = len(view)
                    if not 0 <= offset <= length:
                        raise ValueError(
                            f"offset {offset} is not within the {length} bytes"
                        )
                    with view[offset:] as room:
                        size = self._receive_into(room)
            return size
        except BaseException:
            if size >= 0:  # of a signal handler
                with memoryview(buffer) as given, framing.flat(given) as view:
                    data = bytes(view[offset : offset + size])
                self._give_back(Received([data], [], False))
            raise

    def _receive_into(self, room: memoryview) -> int:
        data = self._receive_bytes(room)
        too_short = None
        try:
            size = len(data)
            if isinstance(data, bytes):  # otherwise it is there already
                if size > len(room):
                    too_short = BufferTooShort(data)
                else:
                    room[:size] = data
        except BaseException:  # of a signal handler
            self._give_back(Received([bytes(data)], [], False))
            raise
        if too_short is not None:
            raise too_short
        return size

    def _begin_receiving(self) -> None:
        """As `_begin_sending`, for receiving."""
        self._check_readable()
        sock: Any = self._channel.sock
        slice_reads(sock)
        self._arrivals = arrivals(sock, bare=True)

    def _receive(
        self, into: memoryview | None = None, deadline: float | None = None
    ) -> Received:
        if not self._arrivals:
            self._begin_receiving()
        if deadline is None:
            return self._channel.recv(None, into)
        try:
            return self._channel.recv(deadline, into)
        except BlockingIOError:
            raise TimeoutError("no whole message arrived in time") from None

    def _receive_bytes(self, into: memoryview | None) -> bytes | memoryview:
        if self._kept:
            received = self._receive(into)
        else:
            if recent.sent:
                (self._lookout or self._begin_looking()).look()
            try:
                for arrival in self._arrivals:  # noqa: B007
                    break
                else:
                    arrival = None
            except OSError as error:
                if _is_of_handler(error):
                    raise
                received = self._receive(into)
            else:
                if arrival.__class__ is bytes:
                    return arrival
                if arrival is None:
                    self._begin_receiving()
                    return Connection._receive_bytes(self, into)
                packet, control, flags, _ = arrival  # as above
                if packet and not control and flags == CLOEXEC:
                    if packet[0] == BYTES:
                        return packet[1:]  # type: ignore[no-any-return]
                    if packet[0] == PICKLE:
                        return packet  # type: ignore[no-any-return]
                kept, channels = self._kept, keeping
                kept += (arrival,)
                channels |= {self._channel}
                received = self._receive(into)
        try:
            return self._bytes_of(received)
        except FramingError:
            raise
        except BaseException:  # of a signal handler
            self._give_back(received)
            raise

    @staticmethod
    def _bytes_of(received: Received) -> bytes | memoryview:
        """The bytes of a message, pickled or not; a view of memory that was lent."""
        first, *buffers = received.parts
        data: bytes | memoryview
        if buffers:
            from mp_connection._splice import splice  # rare, and not cheap to import

            data = splice(bytes(first), buffers)
        else:
            data = memoryview(first) if received.placed else bytes(first)
        if received.handles:
            received.close()
        return data

    def _stop_reading(self) -> None:
        if self._writable:
            self._readable = False
            self._ready, self._arrivals = None, ()
        else:
            self.close()

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


def _is_of_handler(error: OSError) -> bool:
    if is_finalizing():  # when no handler runs, and nothing can be imported
        return False
    from mp_connection._signals import is_of_handler  # start-up time of children

    return is_of_handler(error)


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
