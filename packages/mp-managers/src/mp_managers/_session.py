"""A client's side of one server: a connection for each thread, and what is leased.

The proxies of a server share a `Session`.  It opens a connection for each thread that
makes calls, so that a lock which a thread has acquired is held by one thread over there
as well.  The server counts what this process refers to, as long as one of its
connections is open; when the process dies, the kernel closes them.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque

from mp_connection import AuthenticationError, Client, Connection
from mp_managers._codec import codec_of
from mp_managers._forks import Forks
from mp_managers._links import Link, StandardLink
from mp_managers._protocol import (
    DROP,
    ERROR,
    GONE,
    PROXY,
    RETURN,
    TRACEBACK,
    UNSERIALIZABLE,
    VERSION,
)
from mp_managers.errors import ManagerDiedError, RemoteError
from mp_process import current_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from mp_managers._options import TLSConfig

#: Seconds for a server that exists to let a client in.
PATIENCE = 60.0
#: Seconds between looks at forked children that have no leases of their own.
_LOOK = 0.05


class Session:
    """What this process has to do with one server.

    Any thread may use it.

    Args:
        address: where the server is.
        authkey: its key.
        tls: how to connect, if that is by TLS.
        serializer: how messages are written.

    Attributes:
        server_id: the name of a server of ours; None for a standard one.
        local: the connection of this thread is ``local.link``, if it has one.
        leases: the objects that proxies of this process refer to, by ``id(proxy)``,
            and the fork epoch in which each was leased.
        dropped: those that are to be given back.
        error: why the server cannot be used any more.
    """

    def __init__(
        self,
        address: Any,
        authkey: bytes,
        tls: TLSConfig | None = None,
        serializer: str = "pickle",
    ) -> None:
        self.address = address
        self.authkey = authkey
        self.tls = tls
        self.server_id: str | None = None
        self.error: str | None = None
        self.serializer = serializer
        #: Whether it speaks the standard protocol and nothing else.
        self.standard = serializer != "pickle"
        self.codec: Any = codec_of(serializer)
        self.leases: dict[int, tuple[str, int]] = {}
        self._forks = Forks()
        #: In a forked child: a connection of its parent, which keeps what that leased.
        self._inherited: Connection[Any, Any] | None = None
        self._begin()

    def _begin(self) -> None:
        self._client_id = os.urandom(12).hex()
        self.local: Any = threading.local()
        self.dropped: deque[tuple[str, int]] = deque()
        self._looked = 0.0
        #: Connections of tasks of event loops, between their calls.
        self.idle: list[Link] = []
        self._connections: set[Connection[Any, Any]] = set()
        self._spare: deque[Connection[Any, Any]] = deque()
        self._attached = False
        self._opening = threading.RLock()
        self._retiring = threading.Lock()

    def before_fork(self) -> tuple[int, int] | None:
        """Make a child wait for; see `_forks`."""
        wanted = self.leases and self.error is None
        return self._forks.before() if wanted else None

    def after_fork(self, pipe: tuple[int, int] | None) -> None:
        """In the parent, after a fork."""
        birth = self._forks.epoch
        self._forks.in_parent(pipe)
        if pipe is not None:
            # Nothing to give back, but a reason to look at the pipe now and then.
            self.dropped.append(("", birth))

    def forked(self, pipe: tuple[int, int] | None) -> None:
        """In a forked child: the connections are the parent's, the proxies ours.

        One of them stays open until we have a connection, so that the parent may die
        meanwhile.
        """
        connections = list(self._connections)
        if connections and self._inherited is None and self.leases:
            self._inherited = connections.pop()
        for connection in connections:
            connection.close()
        self._begin()
        self._forks.in_child(pipe)

    def _settle_in(self) -> None:
        """We have leases of our own."""
        self._attached = True
        inherited, self._inherited = self._inherited, None
        if inherited is not None:
            inherited.close()
        self._forks.attached()

    # ----------------------------------------------------------- connections

    def my_link(self) -> Any:
        """The connection of this thread.

        Raises:
            ManagerDiedError: the server is gone.
            AuthenticationError: it has another key.
        """
        try:
            return self.local.link
        except AttributeError:
            link = self.local.link = self.open_link()
            return link

    def open_link(self) -> Any:
        """A new connection, to which the server grants what we lease."""
        with self._opening:
            if self.error is not None:
                raise self.death()
            try:
                return self._open_link()
            except (EOFError, OSError, AuthenticationError) as error:
                if isinstance(error, ManagerDiedError) or self.server_id is None:
                    raise
                # It knew the key before; what refuses it is another one, or dying.
                self.ended(error)

    def _open_link(self) -> Any:
        if self.standard:
            return self._open_standard()
        connection = self._connect()
        try:
            leases = () if self._attached else tuple(self.leases.values())
            idents = tuple(ident for ident, _ in leases)
            name = f"{current_process().name}|{threading.current_thread().name}"
            hello = VERSION, self._client_id, self.server_id, name, idents
            connection.send((None, "attach", hello, {}))
            kind, value = connection.recv(timeout=PATIENCE)
        except BaseException:
            connection.close()
            raise
        if kind == GONE:
            connection.close()
            self.error = value
            raise self.death()
        if kind != RETURN:
            connection.close()
            if self.server_id is None and kind == TRACEBACK:
                self.standard = True
                return self._open_standard()
            return self.translate([value, kind])
        _, self.server_id, packets = value
        if packets is not None:
            connection.close()
            connection = packets
        self._settle_in()
        self._connections.add(connection)
        return Link(self, connection)

    def _open_standard(self) -> StandardLink:
        connection = self._connect()
        try:
            name = current_process().name
            thread = threading.current_thread().name
            if thread != "MainThread":
                name += f"|{thread}"
            self._exchange(connection, "accept_connection", (name,), {})
        except BaseException:
            connection.close()
            raise
        if not self._attached:
            for ident, _ in list(self.leases.values()):
                self.ask_standard("incref", (ident,), {})
            self._settle_in()
        self._connections.add(connection)
        return StandardLink(self, connection)

    def _connect(self) -> Connection[Any, Any]:
        tls = self.tls
        return Client(
            self.address,
            authkey=self.authkey,
            timeout=PATIENCE,
            ssl_context=None if tls is None else tls.client_context(),
            server_hostname=None if tls is None else tls.hostname,
        )

    def _exchange(
        self,
        connection: Connection[Any, Any],
        name: str,
        args: Sequence[Any],
        kwds: Mapping[str, Any],
    ) -> Any:
        request = None, name, tuple(args), dict(kwds)
        connection.send_bytes(self.codec.dump(request))
        kind, value = self.codec.load(connection.recv_bytes())
        return value if kind == RETURN else self.translate([value, kind])

    def ask_standard(
        self, name: str, args: Sequence[Any], kwds: Mapping[str, Any]
    ) -> Any:
        """Ask a standard server for something, over a connection of its own."""
        with self._connect() as connection:
            return self._exchange(connection, name, args, kwds)

    def renew(self, link: Any) -> Any:
        """Another connection for this thread, in place of one that is of no use."""
        fresh = self.open_link()
        if getattr(self.local, "link", None) is link:
            self.local.link = fresh
        self.discard(link.connection)
        return fresh

    def reattach(self, link: Any) -> None:
        """Another connection for this thread, after the server has closed one.

        Raises:
            ManagerDiedError: it is gone.
        """
        # Our leases are gone as well, if that was the last connection.
        self._attached = False
        self.renew(link)

    def forget(self, link: Any) -> None:
        """Let this thread open another connection when it needs one."""
        if getattr(self.local, "link", None) is link:
            del self.local.link
        self.discard(link.connection)

    def discard(self, connection: Connection[Any, Any]) -> None:
        """Close a connection."""
        self._connections.discard(connection)
        connection.close()

    def retire(self, connection: Connection[Any, Any]) -> None:
        """A thread has ended.  The last connection stays: our leases hang on it."""
        if connection not in self._connections:
            connection.close()
            return
        spare = self._spare
        spare.append(connection)
        # Without waiting for a lock: this runs in destructors.
        if self._retiring.acquire(False):
            try:
                while len(self._connections) > 1:
                    self.discard(spare.popleft())
            except IndexError:
                pass
            self._retiring.release()

    def close(self) -> None:
        """Close all connections; the server drops our leases."""
        self.error = self.error or "the manager object was closed"
        for connection in list(self._connections):
            self.discard(connection)
        self._forks.close()

    def __del__(self) -> None:
        for connection in list(getattr(self, "_connections", ())):
            connection.close()
        forks = getattr(self, "_forks", None)
        if forks is not None:
            forks.close()

    # ---------------------------------------------------------------- leases

    def lease(self, key: int, ident: str) -> None:
        """Note that a proxy refers to an object that the server has leased to us."""
        self.leases[key] = ident, self._forks.epoch

    def release(self, key: int) -> None:
        """A proxy is gone."""
        lease = self.leases.pop(key, None)
        if lease is None or self.error is not None or not self._attached:
            return
        ident, birth = lease
        link = getattr(self.local, "link", None)
        if self._forks.pending and birth < self._forks.settle():
            # A child has a copy of the proxy, and no lease yet.
            self.dropped.append(lease)
        elif self.standard:
            self._decref(ident)
        elif link is not None and not link.busy and not link.doubtful:
            link.drop((ident,))
        else:
            self.dropped.append(lease)
            if link is None:
                self._flush_spare()

    def _decref(self, ident: str) -> None:
        try:
            self.ask_standard("decref", (ident,), {})
        except (OSError, EOFError, RemoteError):
            pass  # it is gone, and its objects with it

    def flush(self, link: Link) -> None:
        """Give back what could not be given back when it was dropped."""
        if self._forks.pending:
            now = time.monotonic()
            if now < self._looked + _LOOK:
                return
            self._looked = now
        idents = self._to_give_back()
        if idents:
            link.drop(idents)

    def _to_give_back(self) -> list[str]:
        latest = self._forks.settle()
        dropped = self.dropped
        given, kept = [], []
        try:
            while True:
                lease = dropped.popleft()
                if lease[1] < latest:
                    kept.append(lease)
                elif lease[0]:
                    given.append(lease[0])
        except IndexError:
            dropped.extend(kept)
        return given

    def _flush_spare(self) -> None:
        try:
            connection = self._spare.pop()
        except IndexError:
            return
        try:
            for ident in self._to_give_back():
                connection.send((None, DROP, (ident,), {}))
        except OSError:
            pass  # the server is gone, and what it held
        self.retire(connection)

    # ---------------------------------------------------------------- errors

    def death(self) -> ManagerDiedError:
        """The error of whoever uses a server that is gone."""
        return ManagerDiedError(
            f"the manager at {self.address!r} is gone: {self.error}", self.address
        )

    def ended(self, error: BaseException) -> NoReturn:
        """A connection has ended, and so has the server.

        Raises:
            ManagerDiedError: always.
        """
        if self.error is None:
            text = str(error) or type(error).__name__
            self.error = f"its end of a connection is closed ({text})"
        raise self.death() from error

    def translate(self, reply: list[Any]) -> Any:
        """What a reply means that is not a plain result.

        Args:
            reply: value and kind, which are taken out of it.

        Raises:
            Exception: what the method has raised.
        """
        kind, value = reply.pop(), reply.pop()
        if kind == ERROR:
            error, text = value if isinstance(value, tuple) else (value, None)
            if not isinstance(error, BaseException):  # a standard server, by XML
                raise RemoteError("an exception that the serializer cannot carry")
            if text is not None and error.__cause__ is None:  # a server of ours
                error.__cause__ = RemoteError(text)
            try:
                raise error
            finally:
                # Or the exception would refer to itself, by this frame, and keep all
                # proxies of its traceback until the next collection.
                del error, value
        if kind == TRACEBACK:
            raise RemoteError(value)
        if kind == UNSERIALIZABLE:
            raise RemoteError(f"Unserializable message: {value}")
        if kind == GONE:
            raise ManagerDiedError(value, self.address)
        if kind == PROXY:
            return Announced(*value)
        raise RemoteError(f"the manager answered with {kind!r}, which is no reply")


class Announced:
    """A shared object that a method has returned, and whose proxy is to be made.

    Attributes:
        exposed: its methods.
        token: what it is and where.
        kind: the class of its proxies, as the server knows it.
    """

    __slots__ = ("exposed", "kind", "token")

    def __init__(self, exposed: tuple[str, ...], token: Any, kind: Any = None) -> None:
        self.exposed = exposed
        self.token = token
        self.kind = kind
