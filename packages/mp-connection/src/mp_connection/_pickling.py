"""Objects to messages and back: out-of-band buffers, and handles beside the bytes."""

from __future__ import annotations

import sys
from io import BytesIO

from mp_connection._cpickle import Pickler, PicklingError, Unpickler, dumps, loads
from mp_connection._framing import INLINE_LIMIT, MAX_PARTS, Message
from mp_connection._reducers import follow_reducers, reductions
from mp_connection.errors import UnpicklableError
from mp_connection.handles import Handle, ReceivedHandle, _again

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pickle import PickleBuffer
    from typing import Any, NoReturn, Protocol, TypeVar

    from typing_extensions import Buffer

    from mp_connection._channel import Received

    class MessagePickler(Protocol):
        """A pickler of one message, which has gathered the descriptors in it."""

        handles: list[int]

        def dump(self, obj: Any, /) -> object: ...

    #: What is called with each out-of-band buffer.
    Take = Callable[[PickleBuffer], object]
    MakePickler = Callable[[BytesIO, Take | None], MessagePickler]
    P = TypeVar("P", MessagePickler, Pickler)

PROTOCOL = 5

follow_reducers(globals())


class _HandlePickler(Pickler):
    """Pickles a message that may carry descriptors.

    It calls Python for every object that it meets, so it is used only after the plain
    pickler has failed.
    """

    def __init__(
        self, file: BytesIO, buffer_callback: Callable[[PickleBuffer], object] | None
    ) -> None:
        super().__init__(file, PROTOCOL, buffer_callback=buffer_callback)
        self.handles: list[int] = []
        self.dispatch_table = message_reductions()

    def persistent_id(self, obj: object) -> int | None:
        if type(obj) is not Handle:
            return None
        self.handles.append(obj.fd)
        return len(self.handles) - 1


def message_reductions() -> dict[type, Callable[[Any], Any]]:
    """The dispatch table of a pickler whose message may carry descriptors."""
    table = reductions()
    # Whoever holds a socket has imported the module; this one does not.
    module = sys.modules.get("socket")
    if module is not None:
        # Not of subclasses: an SSLSocket is more than its descriptor.
        table.setdefault(module.socket, _reduce_socket)
    return table


class HandleUnpickler(Unpickler):
    """Unpickles a message that carries descriptors."""

    def __init__(
        self,
        file: BytesIO,
        buffers: Sequence[Buffer],
        handles: list[ReceivedHandle],
        fix_imports: bool = True,
    ) -> None:
        super().__init__(file, fix_imports=fix_imports, buffers=buffers)
        self._handles = handles

    def persistent_load(self, pid: Any) -> ReceivedHandle:
        handle: ReceivedHandle = self._handles[pid]
        return handle


def _reduce_socket(sock: socket.socket) -> tuple[object, ...]:
    handle = Handle(sock.fileno())
    return _rebuild_socket, (
        handle, int(sock.family), int(sock.type), sock.proto, sock.gettimeout()
    )  # fmt: skip


def _rebuild_socket(
    handle: ReceivedHandle, family: int, kind: int, proto: int, timeout: float | None
) -> socket.socket:
    import socket

    if timeout is not None or socket.getdefaulttimeout() is not None:
        # Without this the constructor would apply the default time-out of this
        # process, and set O_NONBLOCK on a description that the sender still holds.
        kind |= getattr(socket, "SOCK_NONBLOCK", 0)
    sock = socket.socket(family, kind, proto, handle.take())
    if sock.gettimeout() != timeout:
        # Sets O_NONBLOCK to what the sender's time-out has made it already.
        sock.settimeout(timeout)
    return sock


def message_of_bytes(data: bytes | bytearray) -> Message:
    """The message of an object that need not be pickled: nothing of it is copied.

    Not of a subclass, whose objects are more than their bytes.
    """
    # PROTO 5, NEXT_BUFFER, MEMOIZE, STOP: the object is what the buffer becomes.  With
    # the third, which says nothing here, the whole is what the pickler would write.
    message = Message([b"\x80\x05\x97\x94.", data])
    if type(data) is bytes:
        message.as_bytes = [1]
    return message


def pickle_message(obj: object, name: str = "object") -> Message:
    """Pickle an object for one message.

    Args:
        obj: what to send.
        name: what an error calls it.

    Raises:
        UnpicklableError: part of it cannot be pickled; the error says which.
        Exception: what a ``__reduce__`` of the user's raised, with a note that says
            where in the object it sits.
    """
    buffers: list[PickleBuffer] = []
    try:
        data = dumps(obj, PROTOCOL, buffer_callback=buffers.append)
    except Exception:
        message = pickle_with_handles(obj, name)
        if not message.handles:
            raise  # a signal handler's, as nothing in the object has caused it
        return message
    return message_of(obj, data, buffers)


def message_of(obj: object, data: bytes, buffers: Sequence[PickleBuffer]) -> Message:
    """The message of an object that the plain pickler has pickled."""
    raw = _raw(buffers)
    if raw is None:
        return Message([dumps(obj, PROTOCOL)])
    if raw and len(data) > INLINE_LIMIT:
        from mp_connection._cutting import large_bytes  # start-up time of children

        if large_bytes(memoryview(data)):  # how they stand between the buffers is not
            return _dump(obj, _plain)[0]  # known yet
    return Message([data, *raw])


def _raw(buffers: Sequence[PickleBuffer]) -> list[memoryview] | None:
    """Out-of-band buffers as they travel; None where they have to be in the pickle."""
    if len(buffers) >= MAX_PARTS:
        return None
    try:
        return [buffer.raw() for buffer in buffers]
    except BufferError:  # neither C nor Fortran contiguous
        return None


def pickle_with_handles(
    obj: object, name: str = "object", make: MakePickler = _HandlePickler
) -> Message:
    """As `pickle_message`, for an object that the plain pickler refuses.

    Args:
        obj: what to send.
        name: what an error calls it.
        make: makes a pickler that writes to a file by protocol 5, and hands buffers to
            a function unless that is None.  Its persistent identifier of a `Handle` is
            an index in the list of descriptors that it gathers.
    """
    _again.depth += 1
    try:
        message, pickler = _dump(obj, make)
    except Exception as error:
        _refuse(obj, name, error, make)
    finally:
        _again.depth -= 1
    message.handles = pickler.handles
    # What a reducer has made for the occasion, and may own a descriptor, lives in the
    # pickler's memo.
    message.owner = pickler
    return message


def _dump(obj: object, make: Callable[[BytesIO, Take | None], P]) -> tuple[Message, P]:
    """The message of an object, and the pickler that has made it."""
    buffers: list[PickleBuffer] = []
    marks: list[int] = []
    file = BytesIO()

    def take(buffer: PickleBuffer) -> None:
        # Large bytes are written at once, and so is all that stands before them.
        marks.append(file.tell())
        buffers.append(buffer)

    pickler = make(file, take)
    pickler.dump(obj)
    raw: list[memoryview] | None = _raw(buffers)
    if raw is None:
        file = BytesIO()
        pickler = make(file, None)
        pickler.dump(obj)
    # Not getbuffer(), though neither copies: a BytesIO that is collected with a buffer
    # exported complains.
    message = Message([file.getvalue(), *(raw or ())])
    message.marks = marks
    return message, pickler


def _plain(file: BytesIO, take: Take | None) -> Pickler:
    return Pickler(file, PROTOCOL, buffer_callback=take)


def _refuse(obj: object, name: str, error: Exception, make: MakePickler) -> NoReturn:
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, RecursionError):
        # Every part on the way down is nested too deeply: there is no culprit.
        raise UnpicklableError(
            f"{name} is nested too deeply to be pickled: {error}", name
        ) from error

    from mp_connection._explain import path_to_culprit  # start-up time of children

    def try_pickle(part: object) -> None:
        make(BytesIO(), None).dump(part)

    path, culprit = path_to_culprit(obj, name, try_pickle)
    where = f"{path} is a {type(culprit).__qualname__} and cannot be pickled"
    if isinstance(error, UnpicklableError):
        # Of a message or a part that a __reduce__ of the user's has pickled itself.
        error.add_note(where)
        raise error
    if isinstance(error, (PicklingError, TypeError, AttributeError)):
        raise UnpicklableError(f"{where}: {error}", path) from error
    # An error of the user's own, from a __reduce__ or __getstate__.
    error.add_note(where)
    raise error


def own_buffers(parts: Sequence[Buffer]) -> list[bytes | bytearray]:
    """Parts as the unpickler takes them.

    Objects may write to their buffers: those that came inline get memory of theirs.
    """
    return [
        part if isinstance(part, (bytes, bytearray)) else bytearray(part)
        for part in parts
    ]


def unpickle(received: Received) -> Any:
    """The object of a pickled message.

    Descriptors that no object took are closed, also when unpickling fails.

    Raises:
        Exception: whatever unpickling raises.
    """
    data, *raw = received.parts
    buffers = own_buffers(raw)
    if not received.handles:
        return loads(data, buffers=buffers)
    handles = [ReceivedHandle(fd) for fd in received.handles]
    received.handles = []
    try:
        return HandleUnpickler(BytesIO(data), buffers, handles).load()
    finally:
        for handle in handles:
            handle.close()
