"""The sessions of this process, by server, and what a fork does to them."""

from __future__ import annotations

import os
import threading
import weakref

from mp_connection.lifecycle import after_fork
from mp_managers._session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_managers._options import TLSConfig

_lock = threading.RLock()
#: By the name of the server, or by the address of a standard one.
_sessions: weakref.WeakValueDictionary[object, Session] = weakref.WeakValueDictionary()
_all: dict[int, weakref.ref[Session]] = {}
#: By thread: the sessions and pipes of a fork that is under way.
_forking: dict[int, list[tuple[Session, tuple[int, int] | None]]] = {}


def _new(
    address: Any, authkey: bytes, tls: TLSConfig | None, serializer: str
) -> Session:
    session = Session(address, authkey, tls, serializer)
    key = id(session)
    _all[key] = weakref.ref(session, lambda _: _all.pop(key, None))
    return session


def session_to(
    address: Any,
    authkey: bytes,
    tls: TLSConfig | None = None,
    serializer: str = "pickle",
) -> Session:
    """The session with whatever server is at an address now.

    Raises:
        OSError: there is none.
        AuthenticationError: it has another key.
    """
    session = _new(address, authkey, tls, serializer)
    session.local.link = session.open_link()
    key = address if session.standard else session.server_id
    with _lock:
        found = _sessions.get(key)
        if found is None or found.error is not None or session.standard:
            # At the address of a standard server there may be another one by now.
            _sessions[key] = session
            return session
    session.close()
    return found


def session_for(
    server_id: str | None,
    address: Any,
    authkey: bytes,
    tls: TLSConfig | None = None,
    serializer: str = "pickle",
) -> Session:
    """The session with the server of a proxy, which need not exist any more."""
    if serializer != "pickle":
        server_id = None  # by address, as one of the standard library
    key = address if server_id is None else server_id
    with _lock:
        found = _sessions.get(key)
        if found is None or (server_id is None and found.error is not None):
            found = _sessions[key] = _new(address, authkey, tls, serializer)
            found.server_id = server_id
            found.standard = server_id is None
        return found


def known_session(server_id: str) -> Session | None:
    """The session with a server of ours, if there is one."""
    return _sessions.get(server_id)


def _sessions_here() -> list[Session]:
    found = [reference() for reference in list(_all.values())]
    return [session for session in found if session is not None]


def _before_fork() -> None:
    pipes = [(session, session.before_fork()) for session in _sessions_here()]
    _forking[threading.get_ident()] = pipes


def _after_fork() -> None:
    for session, pipe in _forking.pop(threading.get_ident(), ()):
        session.after_fork(pipe)


def _forked() -> None:
    global _lock
    _lock = threading.RLock()
    pipes = {
        id(session): pipe for session, pipe in _forking.get(threading.get_ident(), ())
    }
    _forking.clear()
    for session in _sessions_here():
        session.forked(pipes.get(id(session)))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
after_fork(_forked)
