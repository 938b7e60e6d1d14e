"""How proxies travel, and what becomes of them where they arrive."""

from __future__ import annotations

from mp_connection.handles import pickled_before
from mp_managers import _standard
from mp_managers._protocol import server_of
from mp_managers._proxy import AutoProxy, Token, builtin, find_kind, new_proxy
from mp_managers._sessions import known_session, session_for
from mp_managers.errors import ManagerDiedError, RemoteError
from mp_process import current_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from mp_managers._local import Binding
    from mp_managers._options import TLSConfig
    from mp_managers._protocol import Kind
    from mp_managers._proxy import BaseProxy
    from mp_managers._session import Session

#: The servers that run in this process, by name: see `_local`.
_bindings: dict[str, Callable[[str, str | None], Binding]] = {}


def serve_locally(
    server_id: str, bind: Callable[[str, str | None], Binding]
) -> Callable[[], None]:
    """Let proxies of a server call its objects at once, where it runs.

    Args:
        server_id: the name of the server.
        bind: given an ident and a ticket, finds the object.

    Returns:
        A function that ends it.
    """
    _bindings[server_id] = bind

    def end() -> None:
        _bindings.pop(server_id, None)

    return end


def make_local(token: Token, binding: Any, exposed: Sequence[str]) -> BaseProxy:
    """A proxy in the process of its server."""
    proxy = new_proxy(builtin.get(token.typeid), token.typeid, exposed)
    proxy._attach(token, binding, "pickle", None, exposed)
    return proxy


def rebuild(
    kind: Kind,
    typeid: str,
    address: object,
    ident: str,
    exposed: Sequence[str],
    serializer: str,
    authkey: bytes | None,
    ticket: str | None,
    tls: TLSConfig | None = None,
) -> BaseProxy:
    """A proxy that has travelled to any process.

    It does not fail: a proxy of a server that is gone says so when it is used.
    """
    server_id = server_of(ident)
    token = Token(typeid, address, ident)
    proxy = new_proxy(find_kind(kind), typeid, exposed)
    bind = None if server_id is None else _bindings.get(server_id)
    if bind is not None:
        proxy._attach(token, bind(ident, ticket), serializer, None, exposed)
        return proxy
    key = current_process().authkey if authkey is None else authkey
    session = session_for(server_id, address, key, tls, serializer)
    proxy._attach(token, session, serializer, None, exposed)
    try:
        link = session.my_link()
        if session.standard:
            link.call(None, "incref", (ident,), {})
        else:
            link.call(None, "redeem", (ident, ticket), {})
    except (ManagerDiedError, RemoteError, OSError) as error:
        proxy._session = Broken(error)
    else:
        session.lease(id(proxy), ident)
    return proxy


def reduce_remote(proxy: BaseProxy, session: Session, kind: Kind) -> tuple[object, ...]:
    token = proxy._token
    link = getattr(session.local, "link", None)
    ticket: str | None = None
    if not session.standard and not (link is not None and link.busy):
        # Not on its way to the server itself, which sees it while we still hold it.
        ticket = _ticket(session, token.id)
    return travelling(proxy, kind, token.address, session.authkey, session.tls, ticket)


def _ticket(session: Session, ident: str) -> str | None:
    """What keeps an object until whoever gets the proxy has arrived.

    A message that the plain pickler refuses is pickled once more, in another way, and
    maybe in parts, to find the culprit; what the first attempt has got is used then.
    """
    tickets: dict[str, str] = session.local.__dict__.setdefault("tickets", {})
    if pickled_before() and ident in tickets:
        return tickets[ident]
    try:
        ticket: str = session.my_link().call(None, "hold", (ident,), {})
    except (ManagerDiedError, RemoteError):
        return None  # whoever gets the proxy will be told
    tickets[ident] = ticket
    while len(tickets) > _FEW:
        del tickets[next(iter(tickets))]
    return ticket


#: Tickets to remember; those of one message that is refused.
_FEW = 1000


def travelling(
    proxy: BaseProxy,
    kind: Kind,
    address: object,
    authkey: bytes,
    tls: TLSConfig | None,
    ticket: str | None,
) -> tuple[object, ...]:
    """How a proxy is pickled that may arrive anywhere."""
    token = proxy._token
    # Processes of one tree share a key by themselves; another one has to go along.
    key = None if authkey == current_process().authkey else authkey
    exposed = tuple(proxy._exposed or ())
    where = token.typeid, address, token.id
    return rebuild, (kind, *where, exposed, proxy._serializer, key, ticket, tls)


def adopt(
    server_id: str,
    kind: Kind,
    typeid: str,
    address: object,
    ident: str,
    exposed: Sequence[str],
) -> BaseProxy:
    """A proxy in a reply of a server of ours, which has granted us a lease with it."""
    session = known_session(server_id)
    if session is None:
        raise RemoteError("a reply of a manager was unpickled by somebody else")
    proxy = new_proxy(find_kind(kind), typeid, exposed)
    token = Token(typeid, session.address, ident)
    proxy._attach(token, session, "pickle", None, exposed)
    session.lease(id(proxy), ident)
    return proxy


def RebuildProxy(
    func: Callable[..., BaseProxy],
    token: Token,
    serializer: str,
    kwds: dict[str, Any],
) -> BaseProxy:
    """A proxy in a pickle of a standard peer."""
    server_id = server_of(token.id)
    exposed = kwds.get("exposed")
    bind = None if server_id is None else _bindings.get(server_id)
    if bind is not None:
        binding = bind(token.id, None)
        kind = None if func is AutoProxy else func
        proxy = new_proxy(kind, token.typeid, binding.entry.exposed)
        proxy._attach(token, binding, serializer, None, binding.entry.exposed)
        return proxy
    return func(token, serializer, authkey=kwds.get("authkey"), exposed=exposed)


class Broken:
    """In place of a session, for a proxy that came too late.

    Args:
        error: why.
    """

    standard = False

    def __init__(self, error: Exception) -> None:
        # Its text and not itself: its traceback would keep the frames of others.
        if isinstance(error, ManagerDiedError):
            self._text, self._address = str(error), error.address
        else:
            self._text = f"what the proxy refers to is gone: {error}"
            self._address = None

    @property
    def local(self) -> Broken:
        """Itself, whose `link` refuses."""
        return self

    @property
    def link(self) -> Any:
        """Refuse.

        Raises:
            ManagerDiedError: always.
        """
        raise ManagerDiedError(self._text, self._address)

    def release(self, key: int) -> None:
        """Nothing was leased."""

    def reduce_proxy(self, proxy: BaseProxy, kind: Kind) -> tuple[object, ...]:
        """As any other; it will be too late there as well."""
        token = proxy._token
        return travelling(
            proxy, kind, token.address, current_process().authkey, None, None
        )


_standard.register("managers", "RebuildProxy", RebuildProxy)
