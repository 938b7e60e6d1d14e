"""The error classes that every layer of the project derives from.

They pickle with their attributes and their cause, so that an error which crosses a
process boundary still says what happened and why.
"""

from __future__ import annotations

from mp_connection._cpickle import PicklingError, UnpicklingError, dumps, loads

__all__ = (
    "AuthenticationError",
    "BufferTooShort",
    "ChannelClosedError",
    "FramingError",
    "HandleError",
    "NotAllowedError",
    "ProcessError",
    "TimeoutError",
    "UnpicklableError",
)


class ProcessError(Exception):
    """The base of all exceptions of this project (manual, "Process and exceptions")."""

    def __reduce__(self) -> tuple[object, ...]:
        # The arguments that the standard class next in line would pickle: OSError has
        # some that are not in `args`.
        reduced = super().__reduce__()
        assert isinstance(reduced, tuple)
        state = reduced[2] if len(reduced) > 2 else None
        return _revive, (type(self), reduced[1], *_pack(self.__cause__)), state


def _pack(cause: BaseException | None) -> tuple[bytes | None, str]:
    """A cause as a pickle, if it has one, and as text.

    It is pickled by itself, so that one which cannot be pickled, or not be unpickled
    where the error arrives, costs itself and not the error.
    """
    if cause is None:
        return None, ""
    name = type(cause).__qualname__
    try:
        text = f"{name}: {cause}"
    except Exception:
        text = name
    try:
        return dumps(cause, 5), text
    except Exception:
        return b"", text


def _revive(
    kind: type[ProcessError],
    args: tuple[object, ...],
    pickled_cause: bytes | None,
    cause: str,
) -> ProcessError:
    # Not by calling the class: its __init__ may want other arguments.
    error = kind.__new__(kind, *args)
    if isinstance(error, OSError):
        OSError.__init__(error, *args)
    else:
        error.args = args
    if pickled_cause is not None:
        try:
            error.__cause__ = loads(pickled_cause)
        except Exception:
            error.__cause__ = ProcessError(cause)
    return error


class BufferTooShort(ProcessError):
    """The buffer given to ``recv_bytes_into`` is smaller than the message.

    ``args[0]`` is the whole message as bytes.
    """


class AuthenticationError(ProcessError):
    """The two ends of a connection could not prove that they know the same key.

    The keys differ, only one end has a key, or the far end speaks another protocol,
    went away or kept silent.
    """


class TimeoutError(ProcessError):
    """A deadline passed before the operation was complete.

    Not the built-in class of this name (manual, "Process and exceptions").
    """


class FramingError(ProcessError, OSError):
    """What arrived on a channel is not a message: the far end does not speak this."""


class ChannelClosedError(ProcessError, OSError):
    """The operation needs a connection that is open and goes in this direction."""


class HandleError(ProcessError, RuntimeError):
    """An object that owns a descriptor cannot travel.

    It was pickled where descriptors cannot go along, or the receiver may not open more
    files, so that the descriptor was lost on the way.
    """


class UnpicklableError(ProcessError, PicklingError, AttributeError, TypeError):
    """An object cannot be pickled.

    It is caught by whatever catches the standard pickler's own errors, which are a
    ``PicklingError``, an ``AttributeError`` or a ``TypeError`` depending on the case.

    Attributes:
        path: where the culprit sits in the object that was to be sent, as an
            expression such as ``args[0].callback``.
    """

    def __init__(self, message: str = "", path: str = "") -> None:
        super().__init__(message)
        self.path = path


class NotAllowedError(ProcessError, UnpicklingError):
    """A message names something that the receiver does not allow to be unpickled.

    Attributes:
        module: the module that the message names.
        name: the qualified name in it.
    """

    def __init__(self, message: str = "", module: str = "", name: str = "") -> None:
        super().__init__(message)
        self.module = module
        self.name = name


for _class in (
    ProcessError,
    AuthenticationError,
    BufferTooShort,
    TimeoutError,
    FramingError,
    ChannelClosedError,
    HandleError,
    NotAllowedError,
    UnpicklableError,
):
    # Pickles of errors cross versions: they name the public path.
    _class.__module__ = "mp_connection"
