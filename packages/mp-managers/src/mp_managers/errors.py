"""What can go wrong between a proxy and its manager."""

from __future__ import annotations

from mp_connection.errors import (
    AuthenticationError as AuthenticationError,
    ProcessError as ProcessError,
    TimeoutError as TimeoutError,
    UnpicklableError as UnpicklableError,
)

__all__ = (
    "AuthenticationError",
    "ManagerDiedError",
    "ProcessError",
    "RemoteError",
    "TimeoutError",
    "UnpicklableError",
)


def traceback_text() -> str:
    """The traceback of the exception that is being handled."""
    from traceback import format_exc  # not needed as long as all goes well

    return format_exc()


_RULE = "-" * 75


class RemoteError(ProcessError):
    """The manager could not do what it was asked (manual, "Proxy objects").

    A method that is not exposed, an argument that it could not unpickle, a result that
    cannot be pickled, an unknown type.  What the referent itself raises arrives as
    what it is, with an error of this class, which shows the traceback there, as cause;
    and what an object raises while it is made, as an error of both classes.

    Attributes:
        text: what happened, mostly a traceback of the manager's process.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{_RULE}\n{self.text.rstrip()}\n{_RULE}"


def as_remote(error: Exception) -> Exception:
    """The error of a manager's process, as a `RemoteError` as well.

    Args:
        error: what was raised there; a `RemoteError` is its cause.

    Returns:
        An error of a class with the same name that derives from that of *error* and
        from `RemoteError`; or *error* itself, where there can be no such class.
    """
    cause = error.__cause__
    assert isinstance(cause, RemoteError)
    try:
        made = _copy(error, _both(type(error)))
    except TypeError:
        return error
    made.__dict__["text"] = cause.text
    made.__cause__ = cause
    return made


def _both(kind: type[Exception]) -> type[Exception]:
    def reduce(self: Exception, _: object) -> tuple[object, ...]:
        return _rebuilt, (_copy(self, kind), self.__dict__["text"])

    return type(
        kind.__name__,
        (kind, RemoteError),
        {
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__,
            "__str__": lambda self: kind.__str__(self),
            "__reduce_ex__": reduce,
        },
    )


def _copy(error: Exception, kind: type[Exception]) -> Exception:
    # Without a constructor of its own, which may want anything.
    made = kind.__new__(kind, *error.args)
    builtin = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    builtin.__init__(made, *error.args)  # type: ignore[misc]
    made.__dict__.update(error.__dict__)
    return made


def _rebuilt(error: Exception, text: str) -> Exception:
    error.__cause__ = RemoteError(text)
    return as_remote(error)


class ManagerDiedError(ProcessError, ConnectionError, EOFError):
    """The manager's process has ended, and its objects with it.

    A proxy raises it at once, for ever after, also when another manager has been
    started at the same address.

    Attributes:
        address: where the manager was.
    """

    def __init__(self, message: str = "", address: object = None) -> None:
        super().__init__(message)
        self.address = address


for _class in (RemoteError, ManagerDiedError):
    # Pickles of errors cross versions: they name the public path.
    _class.__module__ = "mp_managers"
