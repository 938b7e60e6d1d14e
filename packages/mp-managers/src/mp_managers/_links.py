"""The connections of a client's threads, to servers of ours and to standard ones."""

from __future__ import annotations

import os
import weakref

from mp_managers._ends import is_at_end
from mp_managers._protocol import DROP, RETURN, TOO_LONG
from mp_managers.errors import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, NoReturn

    from mp_connection import Connection
    from mp_managers._session import Session

#: Seconds that an interrupted call may take until the connection is given up.
_RESYNC = 0.2


class Link:
    """The connection of one thread.

    Attributes:
        busy: a call is under way: what is pickled now goes to this server.
    """

    __slots__ = (
        "_dropped", "_recv", "_send", "_session", "busy", "connection", "doubtful",
    )  # fmt: skip

    def __init__(self, session: Session, connection: Connection[Any, Any]) -> None:
        # Not a reference, as the session has one to us: it is to go with its proxies.
        self._session = weakref.ref(session)
        self._dropped = session.dropped
        self.connection = connection
        self.busy = False
        self.doubtful = False
        self._send = connection.send
        self._recv = connection.recv

    def call(
        self, ident: str | None, name: str, args: Sequence[Any], kwds: Mapping[str, Any]
    ) -> Any:
        """Have a method called, and return or raise what it does."""
        if self.busy or self.doubtful:
            return self._other().call(ident, name, args, kwds)
        self.busy = True
        sent = False
        try:
            self._send((ident, name, args, kwds))
            sent = True
            kind, value = self._recv()
        except BaseException as error:
            self.busy = False
            self._failed(error, sent)
        self.busy = False
        if self._dropped:
            self.session.flush(self)
        if kind == RETURN:
            return value
        if kind == TOO_LONG:
            self.session.renew(self)
            raise RemoteError(value)
        # Not in a variable, which would make a cycle of an exception and this frame.
        reply = [value, kind]
        del value
        return self.session.translate(reply)

    @property
    def session(self) -> Session:
        """The session that it belongs to."""
        session = self._session()
        assert session is not None, "whoever calls has a proxy, and that the session"
        return session

    def _other(self) -> Any:
        """The connection to use when this one is in the middle of something."""
        if self.busy:  # a destructor or a ``__reduce__`` makes calls, within a call
            return self.session.open_link()
        if self._resync():
            return self
        return self.session.renew(self)

    def _failed(self, error: BaseException, sent: bool) -> NoReturn:
        if not isinstance(error, Exception):
            self.doubtful = True
        elif isinstance(error, (EOFError, OSError)) and is_at_end(self.connection):
            # The server is gone, or this connection only: then another one opens.
            self.session.reattach(self)
            error = RemoteError(
                "the manager has closed the connection"
                + (" before it answered" if sent else " meanwhile; nothing was sent")
            )
        elif sent:
            self.doubtful = True
        try:
            raise error
        finally:
            del error  # as in `Session.translate`

    def _resync(self) -> bool:
        """Find the place after an exception: the reply may have been read or not."""
        marker = os.urandom(8)
        try:
            self._send((None, "echo", (marker,), {}))
            while True:
                try:
                    if self._recv(_RESYNC) == (RETURN, marker):
                        self.doubtful = False
                        return True
                except Exception:
                    if not self.connection.poll(_RESYNC):
                        return False
        except (OSError, EOFError):
            return False

    def drop(self, idents: Iterable[str]) -> None:
        """Give leases back."""
        try:
            self._send((None, DROP, tuple(idents), {}))
        except OSError:
            pass  # the server has seen the end of the connection

    def __del__(self) -> None:
        session = self._session()
        if session is None:
            self.connection.close()
        else:  # the thread has ended
            session.retire(self.connection)


class StandardLink:
    """The connection of one thread to a standard server, for calls of methods."""

    __slots__ = ("_session", "busy", "connection")

    def __init__(self, session: Session, connection: Connection[Any, Any]) -> None:
        self._session = weakref.ref(session)
        self.connection = connection
        self.busy = False

    def call(
        self,
        ident: str | None,
        name: str,
        args: Sequence[Any],
        kwds: Mapping[str, Any],
    ) -> Any:
        """Have a method called, and return or raise what it does."""
        session = self._session()
        assert session is not None
        if ident is None:
            return session.ask_standard(name, args, kwds)
        if self.connection.closed:
            return session.renew(self).call(ident, name, args, kwds)
        data = session.codec.dump((ident, name, tuple(args), dict(kwds)))
        try:
            self.connection.send_bytes(data)
            reply = self.connection.recv_bytes()
        except BaseException as error:
            # The reply to this call must not be taken for that of the next.
            self.connection.close()
            if isinstance(error, (EOFError, OSError)):
                session.ended(error)
            session.forget(self)
            raise
        kind, value = session.codec.load(reply)
        if kind == RETURN:
            return value
        outcome = [value, kind]
        del value
        return session.translate(outcome)

    def __del__(self) -> None:
        session = self._session()
        if session is None:
            self.connection.close()
        else:
            session.discard(self.connection)
