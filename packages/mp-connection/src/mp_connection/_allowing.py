"""What may be unpickled from a peer: an allow-list, and connections that keep to it.

A pickle gets at code only through the globals that it names; the pickler asks
`find_class` for each.  (One way leads around that: an extension code of `copyreg` that
was used before comes out of a cache.)  What is listed is given out as it is, without
an import and without looking up attributes, so that no name leads from it to anything
else.

Loaded when the first connection with a list is made.
"""

from __future__ import annotations

import copyreg
import sys
from io import BytesIO

from mp_connection import _pickling, _stream_connection
from mp_connection._connection import Connection, _rebuild
from mp_connection._cpickle import UnpicklingError
from mp_connection._pickling import HandleUnpickler, own_buffers
from mp_connection._stream_connection import StreamConnection, deadline_of
from mp_connection.errors import NotAllowedError, ProcessError, _revive
from mp_connection.handles import ReceivedHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    from typing_extensions import Buffer

    from mp_connection._channel import Received

    SendT = TypeVar("SendT", contravariant=True)
    RecvT = TypeVar("RecvT", covariant=True)

    #: Classes and functions, or whether a name (module, qualified name) is allowed.
    Allow = Iterable[type | Callable[..., object]] | Callable[[str, str], bool]
else:
    SendT = RecvT = None

#: Plain data of which some protocol makes a global; the rest has opcodes of its own.
_PLAIN = (bytearray, complex, frozenset, range, set, slice)
_Named = dict[tuple[str, str], object]
_REVIVE = (_revive.__module__, _revive.__qualname__)
_EXTENSIONS = ("EXT1", "EXT2", "EXT4")


def _revive_without_cause(
    kind: type[ProcessError], args: tuple[object, ...], pickled: object, cause: str
) -> ProcessError:
    """In place of `_revive`, which unpickles the cause without a list."""
    return _revive(kind, args, None if pickled is None else b"", cause)


def _key(thing: object) -> tuple[str, str]:
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None)
    if not callable(thing) or not isinstance(module, str) or not isinstance(name, str):
        raise TypeError(f"neither a class nor a function: {thing!r}")
    return module, name


def _companions(thing: object) -> _Named:
    """What objects of a listed class have to name besides."""
    if thing is _revive:
        return {_REVIVE: _revive_without_cause}
    if not isinstance(thing, type):
        return {}
    if issubclass(thing, Connection):
        return {_key(f): f for f in (_rebuild, _stream_connection.rebuild)}
    if issubclass(thing, ProcessError):
        return {_REVIVE: _revive_without_cause}
    socket = sys.modules.get("socket")
    if socket is not None and thing is socket.socket:
        return {_key(_pickling._rebuild_socket): _pickling._rebuild_socket}
    return {}


class AllowList:
    """What a peer may name in a pickle.

    Args:
        allow: classes and functions; or a function of module and qualified name that
            returns True for what is allowed.

    Raises:
        TypeError: it is neither.
    """

    __slots__ = ("_given", "_named", "_predicate")

    def __init__(self, allow: Allow) -> None:
        self._predicate: Callable[[str, str], bool] | None = None
        self._named: _Named = {_key(kind): kind for kind in _PLAIN}
        self._named["builtins", "Ellipsis"] = ...
        self._named["builtins", "NotImplemented"] = NotImplemented
        if isinstance(allow, type):
            raise TypeError(f"not a list of classes: {allow!r}")
        if callable(allow):
            self._given: object = allow
            self._predicate = allow
            return
        self._given = things = tuple(allow)
        for thing in things:
            self._named[_key(thing)] = thing
        for thing in things:
            self._named |= _companions(thing)

    def __reduce__(self) -> tuple[object, ...]:
        return AllowList, (self._given,)

    def restrict(self, connection: Connection[Any, Any]) -> None:
        """Let a connection, which nobody uses yet, unpickle only what is listed."""
        connection._allow = self
        connection.__class__ = _restricted_class(type(connection))

    def listed(self, module: str, name: str) -> tuple[object, ...]:
        """The object of this name, if it is listed; in a tuple."""
        named = self._named
        return (named[module, name],) if (module, name) in named else ()

    def accepts(self, module: str, name: str) -> bool:
        """Whether the predicate lets a name through."""
        # Nothing but True: the coroutine of an asynchronous one is true as well.
        return self._predicate is not None and self._predicate(module, name) is True


def _belongs(found: object, module: str, name: str) -> bool:
    """Whether an object is what its name says, and not only reached by it.

    A module sees what it has imported: ``messages.os.system`` is not of ``messages``.
    """
    if isinstance(found, type(sys)):
        return False
    home = getattr(found, "__module__", None)
    own = getattr(found, "__qualname__", None)
    if isinstance(own, str):
        return own == name and home in (module, None)
    return "." not in name  # a constant


class _ListUnpickler(HandleUnpickler):
    """Unpickles what the list has."""

    def __init__(
        self,
        file: BytesIO,
        buffers: Sequence[Buffer],
        handles: list[ReceivedHandle],
        allow: AllowList,
    ) -> None:
        # Names are those of Python 3: what is looked at is what is found.
        super().__init__(file, buffers, handles, fix_imports=False)
        self._allow = allow

    def find_class(self, module: str, name: str) -> Any:
        allow = self._allow
        for found in allow.listed(module, name):
            sys.audit("pickle.find_class", module, name)
            return found
        if allow.accepts(module, name):
            if (module, name) == _REVIVE:
                return _revive_without_cause
            found = super().find_class(module, name)
            if _belongs(found, module, name):
                return found
        text = f"a message names {module}.{name}, which is not allowed to be unpickled"
        raise NotAllowedError(text, module, name)

    def persistent_load(self, pid: Any) -> ReceivedHandle:
        if type(pid) is not int or not 0 <= pid < len(self._handles):
            raise UnpicklingError("a descriptor is missing that the message refers to")
        return self._handles[pid]

    def check_extensions(self, data: Buffer) -> None:
        """Look at extension codes, which `find_class` may not get to see."""
        names: dict[int, tuple[str, str]] = vars(copyreg)["_inverted_registry"]
        if not names:
            return
        from pickletools import genops

        try:
            opcodes = list(genops(BytesIO(data)))
        except Exception as error:
            raise UnpicklingError(f"the message is no pickle: {error}") from error
        for opcode, code, _ in opcodes:
            if opcode.name in _EXTENSIONS and code in names:
                self.find_class(*names[code])


def unpickle_listed(received: Received, allow: AllowList) -> Any:
    """As `unpickle`, of what a list allows.

    Raises:
        NotAllowedError: the message names something else, which is neither imported
            nor called.
        Exception: whatever unpickling raises.
    """
    data, *raw = received.parts if received.pickled else received.parts[:1]
    buffers = own_buffers(raw)
    handles = [ReceivedHandle(fd) for fd in received.handles]
    if handles:  # otherwise whoever is interrupted may give the message back
        received.handles = []
    try:
        unpickler = _ListUnpickler(BytesIO(data), buffers, handles, allow)
        unpickler.check_extensions(data)
        return unpickler.load()
    finally:
        for handle in handles:
            handle.close()


class _Restricted(Connection[SendT, RecvT]):
    """A connection with a list; the short ways around it are closed."""

    __slots__ = ()

    #: The class that was asked for.
    _kind: type[Connection[Any, Any]]

    def __reduce__(self) -> tuple[object, ...]:
        reduced: Any = super().__reduce__()
        function, (_, *arguments) = reduced
        return _rebuild_restricted, (self._allow, function, self._kind, *arguments)

    def recv(self, timeout: float | None = None) -> RecvT:
        received = self._receive(None, deadline_of(timeout))
        handles = received.handles
        try:
            return unpickle_listed(received, self._allow)  # type: ignore[no-any-return]
        except EOFError as error:
            self._raise_unpickling(error)
        except Exception as error:
            self._look_for_challenge(received.parts[0], error)
            raise
        except BaseException:
            if received.handles is handles:  # nobody has taken them
                self._give_back(received)
            raise

    def _look_for_challenge(self, data: Buffer, error: Exception) -> None:
        pass


class _RestrictedStream(_Restricted[SendT, RecvT], StreamConnection[SendT, RecvT]):
    __slots__ = ()

    def _look_for_challenge(self, data: Buffer, error: Exception) -> None:
        _stream_connection.explain(data, error)


#: The classes of connections with a list, by those of connections without.
_classes: dict[type[Connection[Any, Any]], type[Connection[Any, Any]]] = {}


def _restricted_class(
    actual: type[Connection[Any, Any]],
) -> type[Connection[Any, Any]]:
    restricted = _classes.get(actual)
    if restricted is None:
        kind, base = actual, _Restricted
        if issubclass(actual, StreamConnection):
            kind, base = actual._kind, _RestrictedStream
        # Behind the methods of a user's class, and before ours; TLS has its own.
        bases: tuple[type, ...] = (base,) if kind is Connection else (kind, base)
        if not issubclass(base, actual) and kind is Connection:
            bases = (base, actual)
        names = {"__slots__": (), "__module__": kind.__module__, "_kind": kind}
        restricted = type(kind.__name__, bases, names)
        restricted = _classes.setdefault(actual, restricted)
    return restricted


def _rebuild_restricted(
    allow: AllowList,
    function: Callable[..., Connection[Any, Any]],
    *arguments: object,
) -> Connection[Any, Any]:
    """A connection with a list that has travelled."""
    connection = function(*arguments)
    allow.restrict(connection)
    return connection
