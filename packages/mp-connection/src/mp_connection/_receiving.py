"""How a `Connection` receives.

The usual small message takes one system call and no other Python frame than the
method's own.  Everything else, failures included, goes through the channel.
"""

from __future__ import annotations

import time
from errno import EMSGSIZE

from mp_connection import _framing as framing
from mp_connection._channel import CLOEXEC, Received, arrivals, keeping, slice_reads
from mp_connection._cpickle import UnpicklingError, loads
from mp_connection._endpoint import Endpoint, raised_by_handler
from mp_connection._framing import BYTES, PICKLE
from mp_connection._lookout import recent
from mp_connection._pickling import unpickle
from mp_connection.errors import BufferTooShort, FramingError, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic, NoReturn, TypeVar

    from typing_extensions import Buffer

    RecvT = TypeVar("RecvT", covariant=True)
else:
    from mp_connection._generic import Generic

    RecvT = None

#: Where an unpickler is called: an EOFError from there is the end of the pickle.
_UNPICKLING = (
    "mp_connection._aio_linux",
    "mp_connection._allowing",
    "mp_connection._pickling",
    "mp_connection._receiving",
    "mp_connection._stream_connection",
)


class Receiver(Endpoint, Generic[RecvT]):
    """The half of a `Connection` that receives, which it is the base of."""

    __slots__ = ()

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
                if raised_by_handler(error):
                    raise
                received = self._receive()
            else:
                # Operators and no calls: no signal handler can come before.
                if arrival.__class__ is not bytes:
                    if arrival is None:
                        self._begin_receiving()
                        return Receiver.recv(self)  # not of a subclass
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
        """Fill the slots for receiving, if this may be done.

        Raises:
            ChannelClosedError: it may not.
        """
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
                if raised_by_handler(error):
                    raise
                received = self._receive(into)
            else:
                if arrival.__class__ is bytes:
                    return arrival
                if arrival is None:
                    self._begin_receiving()
                    return Receiver._receive_bytes(self, into)
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
