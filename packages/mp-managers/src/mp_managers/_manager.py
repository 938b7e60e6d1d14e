"""`BaseManager`: starts a server in a process of its own, or connects to one."""

from __future__ import annotations

import os
import sys
import weakref

from mp_connection import AuthenticationError, Pipe, ProcessError
from mp_connection.lifecycle import at_exit, close_after_fork
from mp_connection.log import info
from mp_managers._options import Options
from mp_managers._place import remove
from mp_managers._proxy import AutoProxy, Token, make_proxy
from mp_managers._registry import Registration
from mp_managers._server import Server
from mp_managers._sessions import session_to
from mp_managers.errors import (
    ManagerDiedError,
    RemoteError,
    as_remote,
    traceback_text,
)
from mp_process import current_process, get_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, ClassVar, ParamSpec, Self, TypeVar

    from mp_connection import Connection
    from mp_managers._options import TLSConfig
    from mp_managers._registry import Registry
    from mp_managers._session import Session
    from mp_process import BaseContext, BaseProcess

    T = TypeVar("T")
    P = ParamSpec("P")
else:
    import _signal  # the enumerations of `signal` cost a child a millisecond

_SERIALIZERS = ("pickle", "xmlrpclib")

#: Of the callbacks at exit: before the processes are joined.
_PRIORITY = 10


class BaseManager:
    """A server of shared objects, in a process of its own (manual, "Managers").

    Its process ends with this object, at the latest when it is garbage-collected, and
    with the process that started it, however that ends.

    Args:
        address: where the server listens; None for an address of its own.
        authkey: the key that clients have to know; None for that of the process.
        serializer: ``"pickle"``, or ``"xmlrpclib"`` for plain data as XML.
        ctx: the context that starts the process; None for the default one.
        shutdown_timeout: seconds that the process may take to end by itself, before it
            is terminated, and then killed.
        tls: certificates for TLS, with a TCP address only.
        max_connections: how many connections the server has at a time; one more is
            refused with an error.  None for any number.
        max_message: the longest request that it takes, in bytes; None for any.
            Descriptors do not travel to a server with a limit.

    Raises:
        ValueError: there is no such serializer.
        TypeError: the key is not bytes.
    """

    _registry: ClassVar[Registry] = {}
    _Server: ClassVar[type[Server]] = Server

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: BaseContext | None = None,
        *,
        shutdown_timeout: float = 1.0,
        tls: TLSConfig | None = None,
        max_connections: int | None = None,
        max_message: int | None = None,
    ) -> None:
        if authkey is None:
            authkey = current_process().authkey
        if not isinstance(authkey, (bytes, bytearray)):
            raise TypeError(f"a key is bytes, not a {type(authkey).__name__}")
        if serializer not in _SERIALIZERS:
            known = ", ".join(_SERIALIZERS)
            raise ValueError(f"unknown serializer {serializer!r}; there are {known}")
        self._address = address
        self._authkey = bytes(authkey)
        self._serializer = serializer
        self._ctx = ctx
        self._shutdown_timeout = shutdown_timeout
        self._options = Options(tls, max_connections, max_message)
        self._session: Session | None = None
        self._process: BaseProcess | None = None
        self._started = False
        self._finish: Callable[[], None] | None = None

    # ------------------------------------------------------------- life cycle

    def start(
        self,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[object] = (),
    ) -> None:
        """Start the server in a new process.

        Args:
            initializer: called there first; None for nothing.
            initargs: its arguments.

        Raises:
            ProcessError: the manager was started, or connected, before.
            TypeError: the initializer cannot be called.
            OSError: the address cannot be used.
            RemoteError: the process could not start to serve, and says why.
            Exception: what the initializer raises, if it can be pickled.
        """
        if self._started or self._session is not None:
            raise ProcessError("a manager is started or connected once")
        if initializer is not None and not callable(initializer):
            raise TypeError("the initializer has to be callable")
        context = get_context() if self._ctx is None else self._ctx
        control, theirs = Pipe()
        close_after_fork(control)  # or the process would hold its own far end
        try:
            process = context.Process(
                target=_serve,
                args=(
                    type(self)._Server,
                    dict(self._registry),
                    self._address,
                    self._authkey,
                    self._serializer,
                    self._options,
                    initializer,
                    tuple(initargs),
                    theirs,
                ),
                die_with_parent=True,
            )
            number = ":".join(map(str, process._identity))
            process.name = f"{type(self).__name__}-{number}"
            process.start()
            theirs.close()
            try:
                answer = control.recv()
            except EOFError:
                process.join()
                raise ProcessError(
                    "the manager's process ended before it could serve, with exit code"
                    f" {process.exitcode}"
                ) from None
            if isinstance(answer, tuple):
                process.join()
                error, text = answer
                if error is None:
                    raise RemoteError(text)
                error.__cause__ = RemoteError(text)
                raise error
        except BaseException:
            control.close()
            theirs.close()
            raise
        self._address = answer.address
        self._started = True
        self._process = process
        self._set_finisher(control)

    def _set_finisher(self, control: Connection[Any, Any]) -> None:
        process, address = self._process, self._address
        assert process is not None
        finish = _Finisher(process, control, address, self._shutdown_timeout)
        # By a weak reference, as this object is to be collected meanwhile.
        finalizer = weakref.finalize(self, finish)
        finalizer.atexit = False
        finish.cancel = at_exit(finish, _PRIORITY)
        self._finish = finish

    def shutdown(self) -> None:
        """End the process of the manager.  It may be called several times.

        Raises:
            ProcessError: the manager was not started.
        """
        if self._finish is None:
            raise ProcessError("only a manager that was started can be shut down")
        self._finish()
        if self._session is not None:
            self._session.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process of the manager ends.

        Args:
            timeout: seconds; None waits for ever.
        """
        if self._process is not None:
            self._process.join(timeout)

    def get_server(self) -> Server:
        """The server itself, to be run in this process by its ``serve_forever``.

        Raises:
            ProcessError: the manager was started or connected.
            OSError: the address cannot be used.
        """
        if self._started or self._session is not None:
            raise ProcessError("the server of this manager is in another process")
        return self._Server(
            self._registry,
            self._address,
            self._authkey,
            self._serializer,
            self._options,
        )

    def connect(self) -> None:
        """Use the server that is at the address already.

        Raises:
            OSError: nobody listens there.
            AuthenticationError: the server has another key.
        """
        self._session = self._new_session()

    def _new_session(self) -> Session:
        tls = self._options.tls
        return session_to(self._address, self._authkey, tls, self._serializer)

    def _connected(self) -> Session:
        session = self._session
        if session is None:
            if not self._started:
                raise AssertionError("the manager was neither started nor connected")
            try:
                session = self._session = self._new_session()
            except ManagerDiedError:
                raise
            except (EOFError, OSError, AuthenticationError) as error:
                # It was there when it was started, and had this key.
                raise ManagerDiedError(
                    f"the manager at {self._address!r} is gone: {error}", self._address
                ) from error
        return session

    @property
    def address(self) -> Any:
        """The address of the server."""
        return self._address

    def __enter__(self) -> Self:
        if not self._started and self._session is None:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._finish is not None:
            self.shutdown()

    # ---------------------------------------------------------------- objects

    def _create(
        self, typeid: str, /, *args: Any, **kwds: Any
    ) -> tuple[Token, tuple[str, ...]]:
        """Have the server make an object, and lease it to us.

        Raises:
            RemoteError: it could not be made; of the class of what was raised, too.
        """
        link = self._connected().my_link()
        try:
            ident, exposed = link.call(None, "create", (typeid, *args), kwds)
        except RemoteError:
            raise
        except Exception as error:
            if not isinstance(error.__cause__, RemoteError):  # nothing of the server's
                raise
            raise as_remote(error) from error.__cause__
        return Token(typeid, self._address, ident), exposed

    def _make(self, typeid: str, /, *args: Any, **kwds: Any) -> Any:
        """A proxy of a new object."""
        token, exposed = self._create(typeid, *args, **kwds)
        assert self._session is not None
        return make_proxy(token, self._session, self, exposed)

    @classmethod
    def shared(cls, kind: type[T]) -> type[T]:
        """Register a class, as a decorator, to be made by `create`.

        Its public methods may be called.
        """
        typeid = f"{kind.__module__}.{kind.__qualname__}"
        cls.register(typeid, kind, create_method=False)
        return kind

    def create(self, kind: Callable[P, T], /, *args: P.args, **kwds: P.kwargs) -> T:
        """A proxy of a new object of a class that `shared` has registered.

        For type checkers the proxy is an object of the class, so that they know its
        methods.  It has those whose name does not begin with ``_``, and no attributes.

        Args:
            kind: the class.
            *args: arguments of its constructor.
            **kwds: keyword arguments of it.

        Raises:
            TypeError: it was not registered by `shared`.
            RemoteError: its constructor has raised something, whose class it has, too.
        """
        typeid = f"{kind.__module__}.{kind.__qualname__}"
        if typeid not in self._registry:
            raise TypeError(
                f"{typeid} is not shared by {type(self).__name__}: decorate it with"
                f" @{type(self).__name__}.shared"
            )
        return self._make(typeid, *args, **kwds)  # type: ignore[no-any-return]

    def _debug_info(self) -> str:
        """What the server has, for people to read."""
        link = self._connected().my_link()
        return link.call(None, "debug_info", (), {})  # type: ignore[no-any-return]

    def _number_of_objects(self) -> int:
        """How many objects the server has."""
        link = self._connected().my_link()
        return link.call(None, "number_of_objects", (), {})  # type: ignore[no-any-return]

    @classmethod
    def register(
        cls,
        typeid: str,
        callable: Callable[..., Any] | None = None,
        proxytype: Callable[..., Any] | None = None,
        exposed: Sequence[str] | None = None,
        method_to_typeid: Mapping[str, str] | None = None,
        create_method: bool = True,
    ) -> None:
        """Let the managers of this class share objects of a type.

        Args:
            typeid: the name of the type.
            callable: makes an object; None if this class only connects to servers that
                do, or *create_method* is false.
            proxytype: the class of proxies; None for one that is made on the fly.
            exposed: the methods that may be called; None for ``proxytype._exposed_``
                or, if there is none, for all whose name does not begin with ``_``.
            method_to_typeid: methods that return proxies, and the types of their
                referents; None for ``proxytype._method_to_typeid_``.
            create_method: whether managers get a method of the name *typeid*, which
                makes an object and returns a proxy.

        Raises:
            TypeError: the name or a mapping is not of strings.
        """
        if not isinstance(typeid, str):
            raise TypeError(f"a typeid is a str, not a {type(typeid).__name__}")
        if "_registry" not in cls.__dict__:
            cls._registry = dict(cls._registry)
        exposed = exposed or getattr(proxytype, "_exposed_", None)
        returns = method_to_typeid or getattr(proxytype, "_method_to_typeid_", None)
        for key, value in (returns or {}).items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError("method_to_typeid maps names of methods to typeids")
        if proxytype is None:
            proxytype = AutoProxy
        cls._registry[typeid] = Registration(callable, exposed, returns, proxytype)
        if create_method:

            def make(self: BaseManager, /, *args: Any, **kwds: Any) -> Any:
                return self._make(typeid, *args, **kwds)

            make.__name__ = typeid
            setattr(cls, typeid, make)


class _Finisher:
    """Ends the process of a manager, once."""

    def __init__(
        self,
        process: BaseProcess,
        control: Connection[Any, Any],
        address: Any,
        timeout: float,
    ) -> None:
        self._process = process
        self._control = control
        self._address = address
        self._timeout = timeout
        self._pid = os.getpid()
        self.cancel: Callable[[], None] | None = None

    def __call__(self) -> None:
        """End it: by word, then by SIGTERM, then by SIGKILL."""
        process = self._process
        if self._control.closed or os.getpid() != self._pid:
            return
        if self.cancel is not None:
            self.cancel()
        info("sending shutdown message to manager")
        self._control.close()  # end-of-file is the word
        for end in (process.terminate, process.kill):
            process.join(self._timeout)
            if not process.is_alive():
                break
            end()
        process.join()
        remove(self._address)


class _Ready:
    """What a server says when it can serve."""

    def __init__(self, address: Any) -> None:
        self.address = address

    def __reduce__(self) -> tuple[object, ...]:
        return _Ready, (self.address,)


def _serve(
    kind: type[Server],
    registry: Registry,
    address: Any,
    authkey: bytes,
    serializer: str,
    options: Options,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    control: Connection[Any, Any],
) -> None:
    """The body of a manager's process."""
    current_process().authkey = authkey
    # Ctrl-C at a terminal reaches all processes; the parent tells this one.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    try:
        if initializer is not None:
            initializer(*initargs)
        server = kind(registry, address, authkey, serializer, options)
    except Exception as error:
        text = traceback_text()
        try:
            control.send((error, text))
        except Exception:
            control.send((None, text))
        sys.exit(1)
    info("manager serving at %r", server.address)
    control.send(_Ready(server.address))  # whoever connects now is accepted soon
    server.start()
    server.serve_until(control)


BaseManager.__module__ = "mp_managers"
