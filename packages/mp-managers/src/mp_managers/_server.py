"""`Server`: shares objects with its clients, those of the standard library included.

One thread accepts; each client thread has a thread here, so that a lock is held by it
and a call may block without holding up anybody else.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time

from mp_connection import AuthenticationError, Listener, Pipe, ProcessError
from mp_connection.lifecycle import close_after_fork
from mp_connection.log import debug
from mp_managers._codec import codec_of
from mp_managers._desk import Client, Desk
from mp_managers._ends import is_at_end
from mp_managers._local import Home, NotExposedError, serving
from mp_managers._options import Options
from mp_managers._place import own_address, remove
from mp_managers._protocol import (
    BATCH,
    DROP,
    ERROR,
    GONE,
    PROXY,
    RETURN,
    TOO_LONG,
    TRACEBACK,
    UNSERIALIZABLE,
    VERSION,
)
from mp_managers._referents import release_all
from mp_managers._table import Leases, Table
from mp_managers._travelling import serve_locally
from mp_managers.errors import traceback_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pickle import dumps, loads
    from typing import Any

    from mp_connection import Connection
    from mp_managers._registry import Registry
    from mp_managers._table import Entry

    Request = tuple[Any, str, Sequence[Any], dict[str, Any]]
    Reply = tuple[str, Any]
else:
    from _pickle import dumps, loads

#: Clients that wait to be let in.
_BACKLOG = 128
#: What holds no proxy, and is pickled without looking for one.
_PLAIN = frozenset({type(None), bool, int, float, str, bytes, complex, bytearray})
#: What dicts return, and cannot be pickled.
_VIEWS = frozenset({type({}.keys()), type({}.values()), type({}.items())})
#: Seconds to wait when there are no descriptors left for another client.
_MOMENT = 0.05
#: Seconds for a client to take another connection.
_LONG = 10.0


class _TooLongError(OSError):
    """A request exceeds the limit; what follows cannot be read any more."""


class Server(Desk):
    """Serves the objects of a manager (manual, "BaseManager.get_server").

    Args:
        registry: the types that it can make.
        address: where to listen; None for an address of its own.
        authkey: the key that clients have to know.
        serializer: how messages are written.
        options: TLS and limits.

    Raises:
        OSError: the address cannot be used.
    """

    def __init__(
        self,
        registry: Registry,
        address: Any,
        authkey: bytes,
        serializer: str = "pickle",
        options: Options | None = None,
    ) -> None:
        self._registry = registry
        self._authkey = authkey
        self._codec: Any = codec_of(serializer)
        self._pid = os.getpid()
        self._id = os.urandom(8).hex()
        self._table = Table(self._id)
        self._options = options = options or Options()
        tls = options.tls
        own = own_address() if address is None else None
        self._own = own  # to be removed
        self._listener: Listener[Any, Any] = Listener(
            own or address,
            backlog=_BACKLOG,
            authkey=authkey,
            ssl_context=None if tls is None else tls.server_context(),
        )
        self._home = Home(self._id, self._table, self.address, authkey, tls)
        self._home.share = self._share_result
        self._clients: dict[str, Client] = {}
        self._others = Leases()  # of standard clients, which count
        self._connections: set[Connection[Any, Any]] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._control: Connection[Any, Any] | None = None
        self._end_local = serve_locally(self._id, self._home.bind)
        close_after_fork(self)

    @property
    def address(self) -> Any:
        """Where it listens."""
        return self._listener.address

    def serve_forever(self) -> None:
        """Serve until a client asks to stop, or the process ends."""
        self.start()
        try:
            while not self._stopped.wait(3600):
                pass
        finally:
            self.stop()

    def start(self) -> None:
        """Begin to serve, in other threads."""
        # Not a `threading.Thread`, whose start waits until the thread runs.
        _thread.start_new_thread(self._accept, ())

    def stop(self) -> None:
        """Serve nobody any more.  A second call does nothing."""
        self._stopped.set()
        if self._control is not None:
            self._control.close()
        self.close()

    def close(self) -> None:
        """Close the connections, also in a forked child: the server is not there."""
        self._end_local()
        self._listener.close()
        if os.getpid() == self._pid:
            remove(self._own)
        for connection in list(self._connections):
            connection.close()

    def serve_until(self, control: Connection[Any, Any]) -> None:
        """Serve until the far end of *control* is closed, or a client asks to stop."""
        self._control = control
        try:
            control.recv()
        except (EOFError, OSError):
            pass
        self.stop()

    # ------------------------------------------------------------- connections

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection = self._listener.accept()
            except AuthenticationError as error:
                debug("manager: a client was turned away: %s", error)
                continue
            except OSError:
                if self._listener.fileno() == -1:
                    return
                time.sleep(_MOMENT)  # no descriptors: those of others may come free
                continue
            most = self._options.max_connections
            full = most is not None and len(self._connections) >= most
            self._connections.add(connection)
            try:
                threading.Thread(
                    target=self._begin, args=(connection, full), daemon=True
                ).start()
            except RuntimeError:  # no more threads
                self._discard(connection)

    def _discard(self, connection: Connection[Any, Any]) -> None:
        self._connections.discard(connection)
        connection.close()

    def _begin(self, connection: Connection[Any, Any], full: bool) -> None:
        """Serve a connection, once its first request says whose it is."""
        try:
            try:
                _, name, args, kwds = self._codec.load(
                    connection.recv_bytes(self._options.max_message)
                )
            except (EOFError, OSError):
                return
            except Exception:
                connection.send_bytes(self._codec.dump((TRACEBACK, traceback_text())))
                return
            if full:
                self._turn_away(connection, name == "attach")
            elif name == "attach":
                self._attach(connection, *args)
            elif name == "accept_connection":
                threading.current_thread().name = str(args[0]) if args else "client"
                connection.send_bytes(self._codec.dump((RETURN, None)))
                self._serve_standard(connection)
            else:
                self._answer_standard(connection, name, args, kwds)
        except (OSError, EOFError):
            pass  # it is gone
        finally:
            self._discard(connection)
            release_all()

    def _turn_away(self, connection: Connection[Any, Any], ours: bool) -> None:
        text = f"the manager has {self._options.max_connections} connections already"
        if ours:
            connection.send((ERROR, (ProcessError(text), text)))
        else:
            connection.send_bytes(self._codec.dump((TRACEBACK, text)))

    # --------------------------------------------------------- clients of ours

    def _attach(
        self,
        connection: Connection[Any, Any],
        version: int,
        client_id: str,
        server_id: str | None,
        name: str,
        idents: Sequence[str],
    ) -> None:
        if server_id not in (None, self._id):
            text = "another manager has taken its place"
            return connection.send((GONE, text))
        threading.current_thread().name = name
        mine = theirs = None
        if isinstance(self.address, (str, bytes)):
            mine, theirs = Pipe()
            self._connections.add(mine)
        with self._lock:
            client = self._clients.get(client_id)
            if client is None:
                client = self._clients[client_id] = Client()
            else:
                idents = ()  # it has them
            client.links += 1
        try:
            for ident in idents:
                entry = self._table.find(ident)
                if entry is not None:
                    client.leases.grant(entry)
            connection.send((RETURN, (VERSION, self._id, theirs)))
            if mine is not None and theirs is not None:
                theirs.close()
                self._discard(connection)
                connection = mine
            self._serve(connection, client.leases)
        finally:
            if mine is not None:
                self._discard(mine)
            with self._lock:
                client.links -= 1
                gone = client.links == 0
                if gone:
                    del self._clients[client_id]
            if gone:
                client.leases.clear()

    def _serve(self, connection: Connection[Any, Any], leases: Leases) -> None:
        recv, send = self._receiver(connection), connection.send
        entries = leases.entries
        while True:
            # While we wait, nothing of the last call is to live on because of us.
            entry = args = kwds = result = None
            try:
                ident, name, args, kwds = recv()
                entry = entries.get(ident)
                usual = entry is not None and name in entry.plain
            except (EOFError, OSError) as error:
                if is_at_end(connection):
                    return
                if not connection.readable or isinstance(error, _TooLongError):
                    text = f"the request is too long: {error}"
                    connection.send((TOO_LONG, text))
                    return _wait_for_end(connection)
                self._send(connection, leases, (TRACEBACK, traceback_text()))
                continue
            except Exception:
                self._send(connection, leases, (TRACEBACK, traceback_text()))
                continue
            if usual and entry is not None:
                # The usual call, at the least cost.
                try:
                    result = getattr(entry.obj, name)(*args, **kwds)
                except BaseException as error:
                    self._send(connection, leases, self._failure(entry, name, error))
                    continue
                if type(result) in _PLAIN:
                    try:
                        send((RETURN, result))
                    except OSError:
                        self._take_back(entry.obj, name, result)
                        raise
                else:
                    self._send(connection, leases, (RETURN, result))
                continue
            if ident is None and name == DROP:
                self._drop(leases, args)
                continue
            reply = self._handle(leases, ident, name, args, kwds)
            self._send(connection, leases, reply)

    def _receiver(self, connection: Connection[Any, Any]) -> Callable[[], Any]:
        limit = self._options.max_message
        if limit is None:
            return connection.recv

        def receive() -> Any:
            try:
                data = connection.recv_bytes(limit)
            except OSError as error:
                if is_at_end(connection):
                    raise
                raise _TooLongError(str(error)) from None
            return loads(data)

        return receive

    @staticmethod
    def _take_back(obj: Any, name: str, result: Any) -> None:
        """Undo a call whose result reaches nobody, where it would be missed."""
        queue = sys.modules.get("queue")  # not imported before somebody has one
        if name == "acquire" and result is True:
            try:
                obj.release()
            except (RuntimeError, ValueError):
                pass
        elif queue and name in ("get", "get_nowait") and isinstance(obj, queue.Queue):
            with obj.mutex:
                if type(obj) is queue.Queue:
                    obj.queue.appendleft(result)
                else:
                    obj._put(result)
                obj.not_empty.notify()

    @staticmethod
    def _drop(leases: Leases, idents: Sequence[str]) -> None:
        for ident in idents:
            try:
                leases.drop(ident)
            except KeyError:
                debug("manager: %s was dropped and is not leased", ident)

    @staticmethod
    def _failure(entry: Entry, name: str, error: BaseException) -> Reply:
        if not isinstance(error, Exception) or (
            isinstance(error, AttributeError) and not hasattr(entry.obj, name)
        ):
            return TRACEBACK, traceback_text()
        return ERROR, (error, traceback_text())

    def _handle(
        self,
        leases: Leases,
        ident: str | None,
        name: str,
        args: Sequence[Any],
        kwds: dict[str, Any],
    ) -> Reply:
        """What to answer to any request of a client of ours."""
        try:
            if ident is None:
                if name == BATCH:
                    replies = [self._handle(leases, *call) for call in args[0]]
                    return RETURN, list(map(_presentable, replies))
                return RETURN, self._ask(leases, name, args, kwds)
            entry = leases.entries.get(ident) or self._table.find(ident)
            if entry is None:
                return TRACEBACK, f"there is no object {ident!r} any more"
            result = self._home.invoke(entry, name, args, kwds)
            typeid = None if entry.returns is None else entry.returns.get(name)
            if typeid is None:
                return RETURN, result
            shared = self._share_result(result, typeid)
            leases.grant(shared)
            return PROXY, (shared.exposed, self._token(shared), self._kind(typeid))
        except NotExposedError:
            return TRACEBACK, traceback_text()
        except Exception as error:
            return ERROR, (error, traceback_text())
        except BaseException:  # such as SystemExit, which is nothing to end us
            return TRACEBACK, traceback_text()

    def _send(
        self, connection: Connection[Any, Any], leases: Leases, reply: Reply
    ) -> None:
        """Send a reply, which may hold proxies and what cannot be pickled.

        Raises:
            OSError: the client is gone.
        """
        if reply[0] == ERROR:
            reply = _checked(reply)
        granted: list[str] = []
        if type(reply[1]) in _VIEWS:
            reply = reply[0], list(reply[1])
        serving.leases, serving.granted = leases, granted
        try:
            connection.send(reply)
        except Exception as error:
            for ident in granted:
                leases.drop(ident)
            if isinstance(error, OSError) and is_at_end(connection):
                raise
            serving.leases = None
            connection.send((UNSERIALIZABLE, traceback_text()))
        finally:
            serving.leases = serving.granted = None

    # ------------------------------------------------------- standard clients

    def _serve_standard(self, connection: Connection[Any, Any]) -> None:
        kept: object  # what the last reply named, until the client counts it
        while True:
            data = connection.recv_bytes(self._options.max_message)
            reply: Reply
            try:
                ident, name, args, kwds = self._codec.load(data)
                reply = self._call_standard(ident, name, args, kwds)
            except Exception:
                reply = TRACEBACK, traceback_text()
            self._send_standard(connection, reply)
            kept = reply  # noqa: F841

    def _call_standard(
        self, ident: str, name: str, args: Sequence[Any], kwds: dict[str, Any]
    ) -> Reply:
        entry = self._others.entries.get(ident) or self._table.find(ident)
        if entry is None:
            raise KeyError(ident)
        try:
            result = self._home.invoke(entry, name, args, kwds)
        except NotExposedError as error:
            raise AttributeError(str(error)) from error
        except Exception as error:
            return ERROR, error
        except BaseException:
            return TRACEBACK, traceback_text()
        typeid = None if entry.returns is None else entry.returns.get(name)
        if typeid is None:
            return RETURN, result
        shared = self._share_result(result, typeid)
        self._others.grant(shared)
        return PROXY, (shared.exposed, self._token(shared))

    def _send_standard(self, connection: Connection[Any, Any], reply: Reply) -> None:
        try:
            data = self._codec.dump(reply)
        except Exception:
            data = self._codec.dump((UNSERIALIZABLE, traceback_text()))
        connection.send_bytes(data)

    def _answer_standard(
        self,
        connection: Connection[Any, Any],
        name: str,
        args: Sequence[Any],
        kwds: dict[str, Any],
    ) -> None:
        try:
            reply: Reply = RETURN, self._ask(self._others, name, args, kwds)
        except Exception:
            reply = TRACEBACK, traceback_text()
        self._send_standard(connection, reply)
        if name == "shutdown":
            self.stop()


def _wait_for_end(connection: Connection[Any, Any]) -> None:
    """Let the client open another connection first, on which its leases will hang."""
    deadline = time.monotonic() + _LONG
    while not is_at_end(connection) and time.monotonic() < deadline:
        time.sleep(_MOMENT)


def _presentable(reply: Reply) -> Reply:
    """A reply of a batch, of which no other one is to fail."""
    kind, value = reply
    if kind == ERROR:
        return _checked(reply)
    if type(value) in _VIEWS:
        return kind, list(value)
    if kind == RETURN and type(value) not in _PLAIN:
        try:
            dumps(value, 5)
        except Exception:
            return UNSERIALIZABLE, traceback_text()
    return reply


def _checked(reply: Reply) -> Reply:
    """An error that arrives: one that does not unpickle is sent as text."""
    error, text = reply[1]
    try:
        loads(dumps(error, 5))
    except Exception:
        return TRACEBACK, text
    return reply


Server.__module__ = "mp_managers"
