"""Pickles for peers that run the standard library, and pickles from them.

A proxy, a token or a namespace travels under the name that its class has there.  The
standard package is never imported here: its names go out as the call that finds them
(``getattr(import_module(module), name)``), and what comes in under them is looked up in
a table.  Learned from the traffic of the standard library's own servers and clients, of
Python 3.8 to 3.13.
"""

from __future__ import annotations

import sys
from _thread import _local
from importlib import import_module
from io import BytesIO

from mp_connection import (
    AuthenticationError,
    BufferTooShort,
    ProcessError,
    TimeoutError,
)
from mp_managers.errors import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pickle import Pickler, Unpickler, UnpicklingError, loads
    from typing import Any, NoReturn
else:
    from _pickle import Pickler, Unpickler, UnpicklingError, loads

#: The protocol of the oldest peer; its own pickles are of this one, too.
_PROTOCOL = 4
_PACKAGE = "multiprocessing"
_ROOT = _PACKAGE.encode()

_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))

#: What has another name there, by module and name: see `register`.
_known: dict[tuple[str, str], object] = {}


class _State(_local):
    speaking = False


_state = _State()


def speaking() -> bool:
    """Whether this thread is pickling for a standard peer."""
    return _state.speaking


class _Module:
    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[object, ...]:
        return import_module, (self._name,)


class Name:
    """A class or function of the standard package, in a pickle.

    Args:
        module: its module.
        name: its name there.
    """

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __call__(self) -> NoReturn:
        """Refuse: it is callable so that the pickler takes it for a constructor."""
        raise TypeError(f"{self._module}.{self._name} is a name only")

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (_Module(self._module), self._name)


class _Error:
    """An exception under its standard name."""

    def __init__(self, name: Name, args: tuple[object, ...]) -> None:
        self._name = name
        self._args = args

    def __reduce__(self) -> tuple[object, ...]:
        return self._name, self._args


#: Names of exceptions there; the first class that fits is it.
_ERRORS: tuple[tuple[type[BaseException], Name], ...] = (
    (RemoteError, Name(f"{_PACKAGE}.managers", "RemoteError")),
    (BufferTooShort, Name(_PACKAGE, "BufferTooShort")),
    (TimeoutError, Name(_PACKAGE, "TimeoutError")),
    (AuthenticationError, Name(_PACKAGE, "AuthenticationError")),
    (ProcessError, Name(_PACKAGE, "ProcessError")),
)


def translated(error: BaseException) -> object:
    """An exception, or what stands for it in a pickle for a standard peer."""
    for kind, name in _ERRORS:
        if isinstance(error, kind):
            return _Error(name, error.args)
    return error


def register(module: str, name: str, thing: object) -> None:
    """Let *name* of *module* of the standard package mean *thing* in pickles."""
    _known[f"{_PACKAGE}.{module}", name] = thing


for _kind, _name in (
    (ProcessError, "ProcessError"),
    (BufferTooShort, "BufferTooShort"),
    (TimeoutError, "TimeoutError"),
    (AuthenticationError, "AuthenticationError"),
):
    register("context", _name, _kind)
register("managers", "RemoteError", RemoteError)


class _Writing(Pickler):
    def reducer_override(self, obj: Any) -> Any:
        """Send errors of this project under the names of their standard equivalents."""
        if isinstance(obj, ProcessError):
            standing: Any = translated(obj)
            return standing.__reduce__()
        if type(obj) in _VIEWS:
            return list, (list(obj),)
        return NotImplemented


class _Reading(Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Look a name up, the standard package's in the table."""
        if module.partition(".")[0] == _PACKAGE:
            found = _known.get((module, name))
            if found is not None:
                return found
            if module not in sys.modules:
                raise UnpicklingError(
                    f"a message names {module}.{name}, which has no counterpart here"
                )
        return super().find_class(module, name)


def dump(obj: object) -> bytes:
    """Pickle *obj* for a standard peer.

    Raises:
        Exception: whatever pickling raises.
    """
    file = BytesIO()
    _state.speaking = True
    try:
        _Writing(file, _PROTOCOL).dump(obj)
    finally:
        _state.speaking = False
    return file.getvalue()


def load(data: bytes) -> Any:
    """The object of a pickle that may come from a standard peer.

    Raises:
        Exception: whatever unpickling raises.
    """
    if _ROOT not in data:
        return loads(data)
    return _Reading(BytesIO(data)).load()
