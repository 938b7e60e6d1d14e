"""Proxies in the process of their server: they call the object at once."""

from __future__ import annotations

from _thread import _local

from mp_managers._protocol import GETVALUE
from mp_managers._proxy import BaseProxy, Token
from mp_managers._travelling import adopt, make_local, travelling
from mp_managers.errors import ManagerDiedError, RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mp_managers._options import TLSConfig
    from mp_managers._protocol import Kind
    from mp_managers._table import Entry, Leases, Table

#: What may be asked of any object.
_ALWAYS = ("__repr__", "__str__", GETVALUE)


class _Serving(_local):
    #: To whom this thread is sending a reply.
    leases: Leases | None = None
    granted: list[str] | None = None


serving = _Serving()


class Home:
    """What the proxies of a server need of it, in its own process.

    Args:
        server_id: the name of the server.
        table: its objects.
        address: where it is.
        authkey: its key.
        tls: how to connect to it, if that is by TLS.
    """

    def __init__(
        self,
        server_id: str,
        table: Table,
        address: Any,
        authkey: bytes,
        tls: TLSConfig | None = None,
    ) -> None:
        self.server_id = server_id
        self.table = table
        self.address = address
        self.authkey = authkey
        self.tls = tls
        #: For methods whose results are shared: makes an entry of a result.
        self.share: Any = None

    def bind(self, ident: str, ticket: str | None) -> Any:
        """What a proxy that has arrived here is bound to."""
        entry = self.table.redeem(ticket, ident)
        if entry is None:
            return _Gone(ident)
        return Binding(self, entry)

    def invoke(
        self, entry: Entry, name: str, args: Sequence[Any], kwds: Mapping[str, Any]
    ) -> Any:
        """Call a method, if it is exposed.

        Raises:
            NotExposedError: it is not.
            Exception: what it raises.
        """
        if name in entry.names:
            try:
                method = getattr(entry.obj, name)
            except AttributeError as error:
                raise NotExposedError(str(error)) from error
            return method(*args, **kwds)
        if name in _ALWAYS:
            if name == GETVALUE:
                return entry.obj
            return repr(entry.obj) if name == "__repr__" else str(entry.obj)
        raise NotExposedError(
            f"method {name!r} of {type(entry.obj)!r} object is not in"
            f" exposed={sorted(entry.names)!r}"
        )


class NotExposedError(Exception):
    """The method may not be called."""


class _Gone:
    """In place of a binding, for an object that does not exist any more."""

    def __init__(self, ident: str) -> None:
        self._ident = ident

    @property
    def local(self) -> _Gone:
        """Itself, whose `link` refuses."""
        return self

    @property
    def link(self) -> Any:
        """Refuse.

        Raises:
            ManagerDiedError: always.
        """
        raise ManagerDiedError(f"object {self._ident} does not exist any more")

    def release(self, key: int) -> None:
        """Nothing was leased."""


class Binding:
    """In place of a session, for a proxy in the process of its server.

    Attributes:
        entry: the object.
    """

    standard = False

    def __init__(self, home: Home, entry: Entry) -> None:
        self._home = home
        self.entry = entry

    # Not attributes: a cycle would keep the entry until the next collection.

    @property
    def local(self) -> Binding:
        """Itself: all threads are alike."""
        return self

    @property
    def link(self) -> Binding:
        """Itself: there is no connection."""
        return self

    def my_link(self) -> Binding:
        """Itself: there is no connection."""
        return self

    def call(
        self, ident: str, name: str, args: Sequence[Any], kwds: Mapping[str, Any]
    ) -> Any:
        """Have a method called, and return or raise what it does."""
        entry = self.entry
        try:
            result = self._home.invoke(entry, name, args, kwds)
        except NotExposedError as error:
            raise RemoteError(str(error)) from error
        if entry.returns is not None and name in entry.returns:
            return self._local_proxy(self._home.share(result, entry.returns[name]))
        return result

    def _local_proxy(self, entry: Entry) -> BaseProxy:
        token = Token(entry.typeid, self._home.address, entry.ident)
        return make_local(token, Binding(self._home, entry), entry.exposed)

    def release(self, key: int) -> None:
        """The entry is referred to by this object alone."""

    def reduce_proxy(self, proxy: BaseProxy, kind: Kind) -> tuple[object, ...]:
        """How the proxy is pickled: in a reply, or on its way to another process."""
        home, entry = self._home, self.entry
        leases, granted = serving.leases, serving.granted
        if leases is not None and granted is not None:
            leases.grant(entry)
            granted.append(entry.ident)
            exposed = entry.exposed
            return adopt, (
                home.server_id, kind, entry.typeid, home.address, entry.ident, exposed
            )  # fmt: skip
        ticket = home.table.hold(entry)
        return travelling(proxy, kind, home.address, home.authkey, home.tls, ticket)
