"""What parent and worker say to one another, and how it is pickled.

A parent sends chunks: one pickle of ``(serial, style, function, arguments, keywords)``.
A worker answers them in order, so that an answer needs no number:

- a pickled message is the value: the result of a `CALL`, a list of them otherwise, for
  all tasks of the chunk that are not resolved yet;
- a message of raw bytes is a `Notice`: a task that failed, or news of the worker.

Small tasks are sent as packs, which are lists: serial number, style, functions and
pieces (see `_packs`), each of these pickled by itself.  Their values come in packets of
their own, some at a time, since a worker must not keep them for long; large ones come
one by one.

A chunk is answered when all its tasks are resolved: each by its value or its failure.
Values before a failure come first, announced by a notice `PART`, if they are `NOTED`;
otherwise they are not wanted, as a map that failed has an exception and no values.  A
parent may have a chunk begun at a later task than its first, after a death: a raw
message before the chunk says which.

A notice is a pickle of plain strings and bytes.  Exceptions lie in it pickled once
more: whoever reads a notice runs no code of the user's.  Values are unpickled only in
the thread that asked for them, since that can take long and can raise.
"""

from __future__ import annotations

from struct import Struct

from mp_connection.channel import Message, message_of, pickle_message
from mp_connection.lean import dumps, follow_reducers, loads
from mp_pool.errors import TaskFailedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pickle import PickleBuffer

    from typing_extensions import Buffer

PROTOCOL = 5

follow_reducers(globals())

#: First bytes of packets that are a whole message: see `mp_connection._framing`.
PICKLE = 0x80
BYTES = 0x00
WHOLE = (PICKLE, BYTES)

#: Bytes of pickle that certainly are one packet.
SMALL = 60_000

#: Bytes of pickle that may be sent ahead, to a worker that still runs something: a few
#: of that size fit into the kernel's buffer, so that all can be taken back.
AHEAD = 8_000

#: Bytes of pickle of a task that may travel in a pack.
LIGHT = 1_500

#: Styles: what to do with function and arguments.
CALL = 0  # function(*arguments, **keywords)
MAP = 1  # [function(argument) for argument in arguments]
STARMAP = 2  # [function(*argument) for argument in arguments]

#: Added to a style: each value is pickled by itself, and noted where it outlives the
#: worker; so that a death, or a value that does not unpickle, takes no other along.
NOTED = 4

#: Added to a style: it is noted when each task begins.
TIMED = 8

#: What remains of a style without those two.
PLAIN = 3

#: What a packet with values of a pack begins with.  The serial number, the first task
#: and the one behind the last follow, and the pickle of a list of pickles.
ANSWERS = b"\0A"

#: All that is before the list.
ANSWER_HEAD = Struct("<2sQII")

#: Kinds of notices.
HELLO = "hello"  # the process runs; its initializer is next
READY = "ready"
REFUSED = "refused"  # the initializer failed
FAILED = "failed"  # a task failed
UNLOADED = "unloaded"  # a whole chunk, as it does not unpickle
DROPPED = "dropped"  # what was not begun of a revoked pack, with this serial number
PART = "part"  # the next message has the values of the tasks before this one


class Notice:
    """What a worker says besides values.

    Args:
        kind: one of the constants above.
        index: a task of the chunk.
        error: its exception, pickled.
        name: the qualified name of the exception's class.
        text: the ``repr`` of the exception.
        traceback: where it was raised.
    """

    __slots__ = ("error", "index", "kind", "name", "text", "traceback")

    def __init__(
        self,
        kind: str,
        index: int = 0,
        error: bytes = b"",
        name: str = "",
        text: str = "",
        traceback: str = "",
    ) -> None:
        self.kind = kind
        self.index = index
        self.error = error
        self.name = name
        self.text = text
        self.traceback = traceback

    def message(self) -> Message:
        """The notice as a message."""
        fields = [getattr(self, name) for name in _FIELDS]
        return Message([dumps(fields, PROTOCOL)], pickled=False)

    @classmethod
    def decode(cls, data: Buffer) -> Notice:
        """The notice in the bytes of a message."""
        return cls(*loads(data))

    def exception(self) -> BaseException:
        """The exception that the task raised, or one that describes it."""
        try:
            error = loads(self.error)
        except Exception as failure:
            why = f"its unpickling raised {safe_repr(failure)}"
            return undeliverable(self.name, self.text, why)
        if not isinstance(error, BaseException):
            why = "its pickle is of something else"
            return undeliverable(self.name, self.text, why)
        return error


_FIELDS = ("kind", "index", "error", "name", "text", "traceback")


def beginning_at(index: int) -> Message:
    """What is sent before a chunk of which only the tasks from this one are to run."""
    return Message([index.to_bytes(8, "little")], pickled=False)


def undeliverable(name: str, text: str, why: str) -> TaskFailedError:
    """What stands for an exception that does not pickle, or not back."""
    message = f"a task raised {text}, which cannot be brought to the caller: {why}"
    return TaskFailedError(message, name, text)


def qualified_name(thing: object) -> str:
    """How messages call a function or a class."""
    name = getattr(thing, "__qualname__", None)
    if not isinstance(name, str):
        return qualified_name(type(thing)) + " object"
    module = getattr(thing, "__module__", None)
    return name if module in (None, "builtins") else f"{module}.{name}"


def safe_repr(thing: object) -> str:
    """The ``repr``, also where that raises."""
    try:
        return repr(thing)
    except Exception:
        return f"<{qualified_name(type(thing))} object whose repr fails>"


def pickle_chunk(
    serial: int,
    style: int,
    function: object,
    arguments: object,
    keywords: Mapping[str, object],
    parts: Callable[[], Iterable[tuple[str, object]]],
    copy: bool,
) -> bytes | Message:
    """A chunk as it is sent: bytes that are one packet, or a message.

    Args:
        serial: its number.
        style: `CALL`, `MAP` or `STARMAP`.
        function: what to call, or what stands for it.
        arguments: a tuple for `CALL`; otherwise a list, one element for each task.
        keywords: keyword arguments of a `CALL`.
        parts: what an error may name, with names; asked only then.
        copy: take copies of buffers, as the caller may change them before they leave.

    Raises:
        UnpicklableError: part of it cannot be pickled; the error says which.
    """
    task = (serial, style, function, arguments, keywords)
    buffers: list[PickleBuffer] = []
    try:
        data = dumps(task, PROTOCOL, buffer_callback=buffers.append)
    except Exception:
        # Because of a descriptor that travels with it, or for good.
        try:
            message = pickle_message(task, "task")
        except Exception:
            for name, part in parts():
                pickle_message(part, name)
            raise
    else:
        if not buffers and len(data) <= SMALL:
            return data
        message = message_of(task, data, buffers)
    if copy:
        message.parts = [_own(part) for part in message.parts]
    return message


def _own(part: memoryview) -> memoryview:
    return part if isinstance(part.obj, bytes) else memoryview(bytes(part))
