"""`Connection` over a byte stream: what differs from one over packets.

Loaded when the first such connection is made, so that programs which use pipes only do
not pay for it.
"""

from __future__ import annotations

import sys
import time
from errno import EMSGSIZE

from mp_connection import _framing as framing
from mp_connection._channel import SLICE_SECONDS, Received
from mp_connection._connection import Connection, SendT
from mp_connection._cpickle import Pickler, dumps, loads
from mp_connection._endpoint import refuse
from mp_connection._lookout import recent
from mp_connection._pickling import PROTOCOL, pickle_with_handles, unpickle
from mp_connection._receiving import RecvT
from mp_connection._reducers import follow_reducers
from mp_connection._stream import StreamChannel, adopt_stream
from mp_connection._stream_framing import TooLongError
from mp_connection.errors import (
    AuthenticationError,
    FramingError,
    HandleError,
    TimeoutError,
)
from mp_connection.handles import Handle, ReceivedHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from typing_extensions import Buffer

    from mp_connection._allowing import AllowList
    from mp_connection._framing import Message

follow_reducers(globals())

_CHALLENGE = b"#CHALLENGE#"
#: Bytes of a pickle above which the pickler hands out large parts uncopied.
_BULKY = 65536

#: The stream class of each class that users have derived from `Connection`.
_classes: dict[type[Connection[Any, Any]], type[StreamConnection[Any, Any]]] = {}


#: An object with attributes, as `types.SimpleNamespace`, without the import.
_Namespace: Any = type(sys.implementation)


def explain(data: Buffer, error: Exception) -> None:
    """Say what a message is that cannot be unpickled.

    Raises:
        AuthenticationError: the far end's demand for a key.
    """
    if memoryview(data)[: len(_CHALLENGE)] == _CHALLENGE:
        raise AuthenticationError(
            "the far end demands a key, and this end was made without one"
        ) from error


def deadline_of(timeout: float | None) -> float | None:
    """The time of `time.monotonic` at which a time-out ends."""
    return None if timeout is None else time.monotonic() + timeout


class StreamConnection(Connection[SendT, RecvT]):
    """A connection over a byte stream."""

    __slots__ = ()

    _channel: StreamChannel  # type: ignore[assignment]
    #: The class that was asked for.
    _kind: type[Connection[Any, Any]] = Connection

    @classmethod
    def _over(
        cls,
        channel: StreamChannel,
        readable: bool = True,
        writable: bool = True,
        allow: AllowList | None = None,
    ) -> Self:
        """The connection over a channel."""
        self = cls.__new__(cls)
        self._open_stream(channel, readable, writable)
        if allow is not None:
            allow.restrict(self)
        return self

    def _open_stream(
        self, channel: StreamChannel, readable: bool, writable: bool
    ) -> None:
        self._channel = channel
        self._pollers = []
        self._readable = readable
        self._writable = writable
        kept: list[Any] = channel.kept
        self._kept = kept
        self._lookout = self._ready = None
        self._fileno = channel.sock.fileno
        self._arrivals, self._send, self._send_bytes = (), refuse, refuse

    def __reduce__(self) -> tuple[object, ...]:
        channel = self._channel
        handle = Handle(self.fileno())
        if not channel.idle:
            raise HandleError(
                "a connection in the middle of a message cannot go to another process"
            )
        return rebuild, (
            self._kind, handle, self._readable, self._writable, channel.own
        )  # fmt: skip

    @staticmethod
    def _outgoing(obj: object) -> tuple[list[Any], list[int]]:
        """A message as `StreamChannel.send_parts` takes it: parts and descriptors."""
        # A file that keeps what the pickler writes in the pieces it comes in: large
        # bytes and buffers come by themselves, and uncopied.
        chunks: list[Any] = []
        try:
            Pickler(_Namespace(write=chunks.append), PROTOCOL).dump(obj)
        except Exception:
            message = pickle_with_handles(obj, "object")
            if not message.handles:
                raise  # a signal handler's, as nothing in the object has caused it
            return StreamChannel.whole(message), message.handles
        return [framing.flat(chunk) for chunk in chunks], []

    def send(self, obj: SendT) -> None:
        channel = self._channel
        if channel.bulky:
            return self._send_in_pieces(obj)
        try:
            data = dumps(obj, PROTOCOL)
        except Exception:
            message = pickle_with_handles(obj, "object")
            if not message.handles:
                raise  # as above
            self._send_message(message)
            return
        if self._writable and channel.send_small(data):
            recent.sent = True
            return
        # Who sends much mostly does so again: the next one is not to be copied.
        channel.bulky = len(data) > _BULKY
        self._send_parts([data])

    def _send_in_pieces(self, obj: SendT) -> None:
        parts, handles = self._outgoing(obj)
        self._channel.bulky = len(parts) > 1
        self._send_parts(parts, handles)

    def _send_parts(self, parts: Sequence[Any], handles: Sequence[int] = ()) -> None:
        self._check_writable()
        self._channel.send_parts(parts, handles)
        recent.sent = True

    def send_bytes(
        self, buffer: Buffer, offset: int = 0, size: int | None = None
    ) -> None:
        if type(buffer) is bytes and offset == 0 and size is None:
            if self._writable and self._channel.send_small(buffer):
                recent.sent = True
                return
            part = memoryview(buffer)
        else:
            part = framing.section(framing.flat(buffer), offset, size)
        self._send_parts([part])

    def _send_message(self, message: Message) -> None:
        self._send_parts(StreamChannel.whole(message), message.handles)

    def recv(self, timeout: float | None = None) -> RecvT:
        data: Buffer | None = None
        if timeout is None and self._readable:
            if recent.sent and not self._kept:
                (self._lookout or self._begin_looking()).look()
            data = self._channel.recv_small()
        if data is not None:
            received = None
        else:
            received = self._receive(deadline=deadline_of(timeout))
            data = received.parts[0]
        handles = None if received is None else received.handles
        try:
            if received is None:
                return loads(data)  # type: ignore[no-any-return]
            return unpickle(received)  # type: ignore[no-any-return]
        except EOFError as error:
            self._raise_unpickling(error)
        except Exception as error:
            explain(data, error)
            raise
        except BaseException:
            if received is None:
                received = Received([data], [], True)
                handles = received.handles
            if received.handles is handles:  # nobody has taken them
                self._give_back(received)
            raise

    def _give_back(self, received: Received) -> None:
        self._channel.keep(received)

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        if maxlength is not None and maxlength < 0:
            raise ValueError(f"maxlength {maxlength} is negative")
        return bytes(self._receive_bytes(None, maxlength))

    def _receive_bytes(
        self, into: memoryview | None, limit: int | None = None
    ) -> bytes | memoryview:
        if self._readable and limit is None:
            if recent.sent and not self._kept:
                (self._lookout or self._begin_looking()).look()
            data = self._channel.recv_small()
            if data is not None:
                return data
        received = self._receive(into, None, limit, objects=False)
        try:
            return self._bytes_of(received)
        except BaseException:  # of a signal handler
            self._give_back(received)
            raise

    def _receive(
        self,
        into: memoryview | None = None,
        deadline: float | None = None,
        limit: int | None = None,
        objects: bool = True,
        patience: float = SLICE_SECONDS,
    ) -> Received:
        self._check_readable()
        try:
            return self._channel.recv(deadline, into, limit, objects, patience)
        except BlockingIOError:
            raise TimeoutError("no whole message arrived in time") from None
        except FramingError as error:
            self._stop_reading()
            if isinstance(error, TooLongError):
                raise OSError(EMSGSIZE, str(error)) from None
            raise


_classes[Connection] = StreamConnection
StreamConnection.__qualname__ = StreamConnection.__name__ = "Connection"
StreamConnection.__module__ = "mp_connection"


def stream_class(kind: type[Connection[Any, Any]]) -> type[StreamConnection[Any, Any]]:
    """The class of a stream connection that was asked for as a *kind*."""
    stream = _classes.get(kind)
    if stream is None:
        names = {"__slots__": (), "__module__": kind.__module__, "_kind": kind}
        stream = type(kind.__name__, (kind, StreamConnection), names)
        stream = _classes.setdefault(kind, stream)
    return stream


def open_stream(
    connection: Connection[Any, Any], handle: int, readable: bool, writable: bool
) -> None:
    """Make a half-built connection one over a stream.

    Raises:
        OSError: the descriptor is not open.
        ValueError: it is negative.
    """
    stream = adopt_stream(handle)
    connection.__class__ = stream_class(type(connection))
    assert isinstance(connection, StreamConnection)
    connection._open_stream(StreamChannel(stream), readable, writable)


def rebuild(
    kind: type[Connection[Any, Any]],
    handle: ReceivedHandle,
    readable: bool,
    writable: bool,
    own: bool,
) -> Connection[Any, Any]:
    """A connection that has travelled."""
    channel = StreamChannel(adopt_stream(handle.take()), own)
    return stream_class(kind)._over(channel, readable, writable)
