"""`BaseProxy`, and proxies that are made on the fly."""

from __future__ import annotations

import sys

from mp_managers import _standard
from mp_managers._protocol import GETVALUE, server_of
from mp_managers._session import Announced, Session
from mp_managers._sessions import session_for
from mp_process import current_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, ClassVar

    from mp_managers._batch import Batch
    from mp_managers._protocol import Kind

_MANAGERS = "multiprocessing.managers"


class Token:
    """What a proxy refers to, and where that is.

    Attributes:
        typeid: the name that its type is registered under.
        address: the address of its server.
        id: its name there.
    """

    __slots__ = ("address", "id", "typeid")

    def __init__(
        self, typeid: str = "", address: object = None, id: object = None
    ) -> None:
        self.typeid: str = typeid
        self.address: Any = address
        self.id: Any = id

    def __setstate__(self, state: tuple[str, object, object]) -> None:
        self.typeid, self.address, self.id = state

    def __reduce__(self) -> tuple[object, ...]:
        kind: object = Token
        if _standard.speaking():
            kind = _standard.Name(_MANAGERS, "Token")
        return kind, (self.typeid, self.address, self.id)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(typeid={self.typeid!r},"
            f" address={self.address!r}, id={self.id!r})"
        )


class BaseProxy:
    """Refers to an object in a manager's process (manual, "Proxy objects").

    A proxy may be used from several threads; each has a connection of its own, and so
    is one thread over there, for the sake of locks.  It may be pickled and sent
    anywhere that the manager can be reached from; what it refers to lives on meanwhile.
    Two proxies are equal only if they are the same.

    A subclass has methods that call `_callmethod`, and lists them in ``_exposed_``;
    ``_method_to_typeid_`` is a mapping from those that return proxies to their types.

    Args:
        token: what to refer to.
        serializer: ``"pickle"`` or ``"xmlrpclib"``.
        manager: the manager that it comes from.
        authkey: the key of the server; None for the manager's, or the process's.
        exposed: the methods of the referent that may be called.
        incref: whether the server does not count this reference yet.
        manager_owned: of no meaning here; the standard library has it.

    Raises:
        ManagerDiedError: the server is gone, or serves no such object any more.
    """

    _exposed_: ClassVar[Sequence[str] | None] = None
    _method_to_typeid_: ClassVar[Mapping[str, str] | None] = None
    #: What makes such proxies in the standard library, where the name differs.
    _standard_name: ClassVar[str | None] = None

    def __init__(
        self,
        token: Token,
        serializer: str = "pickle",
        manager: Any = None,
        authkey: bytes | None = None,
        exposed: Sequence[str] | None = None,
        incref: bool = True,
        manager_owned: bool = False,
    ) -> None:
        session: Session | None = None
        if manager is not None:
            session = manager._session
        if session is None:
            if authkey is None:
                authkey = current_process().authkey
            session = session_for(
                server_of(token.id), token.address, bytes(authkey), None, serializer
            )
        if incref:
            session.my_link().call(None, "incref", (token.id,), {})
        self._attach(token, session, serializer, manager, exposed)
        session.lease(id(self), token.id)

    def _attach(
        self,
        token: Token,
        session: Any,
        serializer: str,
        manager: Any,
        exposed: Sequence[str] | None,
    ) -> None:
        self._token = token
        self._id = token.id
        self._serializer = serializer
        self._manager = manager
        self._exposed = exposed
        self._session = session

    def __del__(self) -> None:
        session = self.__dict__.get("_session")
        if session is not None:
            session.release(id(self))

    def _callmethod(
        self,
        methodname: str,
        args: Sequence[Any] = (),
        kwds: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a method of the referent.

        Args:
            methodname: its name; it has to be exposed.
            args: positional arguments.
            kwds: keyword arguments.

        Returns:
            A copy of the result, or a proxy if the method is registered to return one.

        Raises:
            RemoteError: the method is not exposed, or arguments or result cannot
                travel.
            ManagerDiedError: the manager is gone.
            Exception: what the method has raised, with the traceback there as cause.
        """
        session = self._session
        try:
            link = session.local.link
        except AttributeError:
            link = session.my_link()
        result = link.call(self._id, methodname, args, kwds or {})
        if type(result) is Announced:
            return self._introduce(result)
        return result

    async def _acallmethod(
        self,
        methodname: str,
        args: Sequence[Any] = (),
        kwds: Mapping[str, Any] | None = None,
    ) -> Any:
        """As `_callmethod`, for a task of an event loop: others go on meanwhile.

        The tasks of a process share connections, and none with its threads: what one
        acquires is not held by a thread, and an RLock not by a task.  What a task that
        is cancelled would have acquired is released again.

        Raises:
            Exception: as `_callmethod`.
        """
        from mp_managers._aio import call  # few programs want it

        return await call(self, methodname, args, kwds or {})

    def _callmany(self, methodname: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call one method of the referent many times, in one round trip.

        Args:
            methodname: its name; it has to be exposed, and to return no proxies.
            calls: the positional arguments of each call.

        Raises:
            Exception: what the first call that fails raises; those before it are made.
        """
        session = self._session
        if session.standard or hasattr(session, "entry"):
            return [self._callmethod(methodname, args) for args in calls]
        link = session.my_link()
        return link.call(None, "many", (self._id, methodname, calls), {})  # type: ignore[no-any-return]

    def batch(self) -> Batch:
        """Calls that are made together; see `Batch`."""
        from mp_managers._batch import Batch

        return Batch(self)

    def _introduce(self, announced: Announced) -> BaseProxy:
        """The proxy of an object that a method has returned."""
        token = announced.token
        token.address = self._token.address  # as this process reaches the server
        return make_proxy(
            token, self._session, self._manager, announced.exposed, announced.kind
        )

    def _getvalue(self) -> Any:
        """A copy of the referent.

        Raises:
            RemoteError: it cannot be pickled.
        """
        return self._callmethod(GETVALUE)

    def __reduce__(self) -> tuple[object, ...]:
        kind = kind_name(type(self))
        if _standard.speaking():
            return self._standard_reduce(kind)
        session = self._session
        if isinstance(session, Session):
            from mp_managers._travelling import (
                reduce_remote,  # which imports this module
            )

            return reduce_remote(self, session, kind)
        return session.reduce_proxy(self, kind)  # type: ignore[no-any-return]

    def _standard_reduce(self, kind: Kind) -> tuple[object, ...]:
        """In a pickle for a standard peer, which has classes of its own."""
        name: object
        kwds: dict[str, object] = {}
        if kind is None or self._standard_name == "AutoProxy":
            name = _standard.Name(_MANAGERS, "AutoProxy")
            kwds["exposed"] = tuple(self._exposed or ())
        elif kind[0] == __package__:
            name = _standard.Name(_MANAGERS, kind[1])
        else:
            name = type(self)
        rebuild = _standard.Name(_MANAGERS, "RebuildProxy")
        return rebuild, (name, self._token, self._serializer, kwds)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._getvalue()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} object, typeid {self._token.typeid!r}"
            f" at {id(self):#x}>"
        )

    def __str__(self) -> str:
        """The representation of the referent."""
        try:
            return self._callmethod("__repr__")  # type: ignore[no-any-return]
        except Exception as error:
            return f"{repr(self)[:-1]}; '__str__()' failed: {type(error).__name__}>"


def referent_of(thing: Any) -> Any:
    """In a server: what a proxy of its own refers to; anything else is itself."""
    if isinstance(thing, BaseProxy):
        entry = getattr(thing._session, "entry", None)
        if entry is not None:
            return entry.obj
    return thing


# -------------------------------------------------------------- classes of proxies

_made: dict[tuple[str, tuple[str, ...]], type[BaseProxy]] = {}


def MakeProxyType(name: str, exposed: Iterable[str]) -> type[BaseProxy]:
    """A class of proxies with the methods *exposed*.

    Args:
        name: the name of the class.
        exposed: names of methods.
    """
    exposed = tuple(exposed)
    found = _made.get((name, exposed))
    if found is None:
        body: dict[str, Any] = {m: _method(m) for m in exposed}
        body["_exposed_"] = exposed
        found = _made[name, exposed] = type(name, (BaseProxy,), body)
    return found


def _method(name: str) -> Callable[..., Any]:
    def method(self: BaseProxy, /, *args: Any, **kwds: Any) -> Any:
        return self._callmethod(name, args, kwds)

    method.__name__ = name
    return method


def auto_type(typeid: str, exposed: Iterable[str]) -> type[BaseProxy]:
    """The class of automatic proxies of a type."""
    kind = MakeProxyType(f"AutoProxy[{typeid}]", exposed)
    kind._is_auto = True  # type: ignore[attr-defined]
    return kind


def AutoProxy(
    token: Token,
    serializer: str = "pickle",
    manager: Any = None,
    authkey: bytes | None = None,
    exposed: Sequence[str] | None = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> BaseProxy:
    """A proxy whose class is made of the methods that are exposed; see `BaseProxy`."""
    if exposed is None:
        key = current_process().authkey if authkey is None else authkey
        session = manager._session if manager is not None else None
        if session is None:
            session = session_for(server_of(token.id), token.address, bytes(key))
        exposed = session.my_link().call(None, "get_methods", (token,), {})
    kind = auto_type(token.typeid, exposed or ())
    return kind(token, serializer, manager, authkey, exposed, incref)


def kind_name(kind: type[BaseProxy]) -> Kind:
    """How a class of proxies is named in messages."""
    if getattr(kind, "_is_auto", False):
        return None
    return kind.__module__, kind.__qualname__


def find_kind(kind: Kind) -> type[BaseProxy] | None:
    """The class of a name, if this process has it."""
    if kind is None:
        return None
    module, name = kind
    try:
        if module not in sys.modules:
            __import__(module)
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    if isinstance(found, type) and issubclass(found, BaseProxy):
        return found
    return None


def make_proxy(
    token: Token,
    session: Session,
    manager: Any,
    exposed: Sequence[str],
    kind: Kind = None,
) -> BaseProxy:
    """A proxy of an object that the server has leased to us with its reply."""
    typeid = token.typeid
    maker: Callable[..., BaseProxy] | None
    if manager is not None and typeid in manager._registry:
        # As it is registered here.
        maker = manager._registry[typeid].proxytype
        if maker is None or maker is AutoProxy:
            maker = auto_type(typeid, exposed)
        return maker(token, manager._serializer, manager, exposed=exposed, incref=False)
    proxy = new_proxy(find_kind(kind) or builtin.get(typeid), typeid, exposed)
    proxy._attach(token, session, "pickle", manager, exposed)
    session.lease(id(proxy), token.id)
    return proxy


#: The classes of the types that every manager has, for proxies without a manager.
builtin: dict[str, type[BaseProxy]] = {}


def new_proxy(kind: object, typeid: str, exposed: Sequence[str]) -> BaseProxy:
    """A proxy that is not attached to anything yet."""
    made: type[BaseProxy]
    if isinstance(kind, type) and issubclass(kind, BaseProxy):
        made = kind
    else:
        made = auto_type(typeid, exposed)
    return made.__new__(made)


for _name, _thing in (
    ("Token", Token),
    ("AutoProxy", AutoProxy),
    ("MakeProxyType", MakeProxyType),
    ("BaseProxy", BaseProxy),
):
    _standard.register("managers", _name, _thing)
for _class in (Token, BaseProxy):
    _class.__module__ = "mp_managers"
