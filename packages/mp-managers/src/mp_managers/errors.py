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
    what it is, with an error of this class, which shows the traceback there, as cause.

    Attributes:
        text: what happened, mostly a traceback of the manager's process.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{_RULE}\n{self.text.rstrip()}\n{_RULE}"


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
