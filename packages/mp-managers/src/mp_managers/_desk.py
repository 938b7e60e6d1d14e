"""What clients may ask of a server itself: to create objects, to count references."""

from __future__ import annotations

import threading

from mp_connection.log import debug
from mp_managers._local import Home, NotExposedError
from mp_managers._proxy import Token, kind_name
from mp_managers._registry import public_methods
from mp_managers._table import Leases, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, ClassVar

    from mp_managers._registry import Registry
    from mp_managers._table import Entry


class Client:
    """A process of ours that uses the server."""

    __slots__ = ("leases", "links")

    def __init__(self) -> None:
        self.leases = Leases()
        self.links = 0


class Desk:
    """Answers requests to the server; every one on behalf of whoever has the leases."""

    _id: str
    _registry: Registry
    _table: Table
    _home: Home
    _lock: threading.Lock
    #: Processes of ours, by the name that each has given itself.
    _clients: dict[str, Client]
    #: What standard clients refer to, which count.
    _others: Leases

    @property
    def address(self) -> Any:
        """Where the server listens."""
        return self._home.address

    def _ask(
        self, leases: Leases, name: str, args: Sequence[Any], kwds: dict[str, Any]
    ) -> Any:
        function = self._functions.get(name)
        if function is None:
            raise NotExposedError(f"a manager cannot {name!r}")
        return function(self, leases, *args, **kwds)

    def _create(
        self, leases: Leases, typeid: str, /, *args: Any, **kwds: Any
    ) -> tuple[str, tuple[str, ...]]:
        registration = self._registry.get(typeid)
        if registration is None:
            known = ", ".join(sorted(self._registry)) or "none at all"
            raise NotExposedError(
                f"this manager has no type {typeid!r}; there are {known}"
            )
        entry = self._share(registration.make(args, kwds), typeid)
        leases.grant(entry)
        return entry.ident, entry.exposed

    def _share(self, obj: Any, typeid: str) -> Entry:
        registration = self._registry[typeid]
        exposed = registration.methods(obj)
        debug("manager: shares a new object of type %r", typeid)
        return self._table.add(typeid, obj, exposed, registration.method_to_typeid)

    def _share_result(self, obj: Any, typeid: str) -> Entry:
        registration = self._registry.get(typeid)
        if registration is None:
            raise NotExposedError(f"this manager has no type {typeid!r}")
        if registration.callable is not None:
            obj = registration.make((obj,), {})
        return self._share(obj, typeid)

    def _token(self, entry: Entry) -> Token:
        return Token(entry.typeid, self.address, entry.ident)

    def _kind(self, typeid: str) -> Any:
        proxytype = self._registry[typeid].proxytype
        return kind_name(proxytype) if isinstance(proxytype, type) else None

    def _incref(self, leases: Leases, ident: str) -> None:
        entry = self._table.find(ident)
        if entry is None:
            raise NotExposedError(f"there is no object {ident!r} any more")
        leases.grant(entry)

    def _decref(self, leases: Leases, ident: str) -> None:
        leases.drop(ident)

    def _many(
        self, leases: Leases, ident: str, name: str, calls: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """Call one method many times."""
        entry = leases.entries.get(ident) or self._table.find(ident)
        if entry is None:
            raise NotExposedError(f"there is no object {ident!r} any more")
        if name not in entry.plain:
            raise NotExposedError(f"method {name!r} cannot be called many times")
        method = getattr(entry.obj, name)
        return [method(*args) for args in calls]

    def _hold(self, leases: Leases, ident: str) -> str:
        entry = self._table.find(ident)
        if entry is None:
            raise NotExposedError(f"there is no object {ident!r} any more")
        return self._table.hold(entry)

    def _redeem(self, leases: Leases, ident: str, ticket: str | None) -> None:
        entry = self._table.redeem(ticket, ident)
        if entry is None:
            raise NotExposedError(f"there is no object {ident!r} any more")
        leases.grant(entry)

    def _echo(self, leases: Leases, thing: Any) -> Any:
        return thing

    def _dummy(self, leases: Leases) -> None:
        pass

    def _number_of_objects(self, leases: Leases) -> int:
        return len(self._table.all())

    def _debug_info(self, leases: Leases) -> str:
        lines = []
        with self._lock:
            holders = [client.leases for client in self._clients.values()]
        for entry in sorted(self._table.all(), key=lambda entry: entry.ident):
            count = sum(h.count(entry.ident) for h in (*holders, self._others))
            try:
                shown = repr(entry.obj)[:75]
            except Exception as error:
                shown = f"(its repr raises {type(error).__name__})"
            lines.append(f"  {entry.ident}:       refcount={count}\n    {shown}")
        return "\n".join(lines)

    def _get_methods(self, leases: Leases, token: Token) -> tuple[str, ...]:
        entry = self._table.find(token.id)
        if entry is None:
            raise NotExposedError(f"there is no object {token.id!r} any more")
        return entry.exposed or tuple(public_methods(entry.obj))

    def _shutdown(self, leases: Leases) -> None:
        pass  # stopped once the reply is on its way

    _functions: ClassVar[dict[str, Callable[..., Any]]] = {
        "create": _create,
        "debug_info": _debug_info,
        "decref": _decref,
        "dummy": _dummy,
        "echo": _echo,
        "get_methods": _get_methods,
        "hold": _hold,
        "many": _many,
        "incref": _incref,
        "number_of_objects": _number_of_objects,
        "redeem": _redeem,
        "shutdown": _shutdown,
    }
