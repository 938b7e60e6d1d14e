"""`BaseProcess`: the object of the manual's section "Process and exceptions"."""

from __future__ import annotations

import os
from _thread import RLock

from mp_process._child import signal_name
from mp_process._descriptor import owns_descriptor
from mp_process._here import here, reap_children, record_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, ClassVar, TypeVarTuple, overload

    from mp_process._child import Child

    Ts = TypeVarTuple("Ts")

_SIGINT, _SIGTERM, _SIGKILL = 2, 15, 9

#: How long a key of a main process is, in bytes.
_KEY_BYTES = 32

_NO_GUARD = """\
This process is being started by another one, which imports the main module to find
its functions; and while it is imported, that module starts a process itself.  Put
what the program does behind a guard:

    if __name__ == "__main__":
        main()
"""


_here = here()


class _Starting:
    """Lets one thread at a time start a process; a child's copy has its own lock."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = RLock()

    def __reduce__(self) -> tuple[type[_Starting], tuple[()]]:
        return _Starting, ()


class _Key:
    """The authentication key of a process, which no pickle and no repr shows."""

    __slots__ = ("value",)

    def __init__(self, value: bytes = b"") -> None:
        self.value = value

    def __reduce__(self) -> tuple[type[_Key], tuple[()]]:
        return _Key, ()


class BaseProcess:
    """A process that runs one call (manual, "The Process class").

    Only the process that created the object may start it and ask about it; there, any
    thread may.

    Args:
        group: always None; it is there for `threading.Thread`'s sake.
        target: what `run` calls; None for nothing.
        name: of no meaning; by default made of the class's name and a number.
        args: positional arguments of the target.
        kwargs: keyword arguments of the target.
        daemon: whether the process ends with its parent; None inherits it.
        die_with_parent: whether the process is killed if its parent is gone; daemonic
            ones are anyway.  Others are waited for when their parent exits in order,
            and may have children.
        by_value: whether spawn and forkserver send functions and classes of the main
            module, lambdas and closures themselves, and not the names by which others
            are imported.  It needs ``mp-process[cloudpickle]``.  Those of an
            interactive session travel in no other way.

    What is passed as an argument is kept until the process was found to have ended;
    but for connections, sockets and files, also within a list, tuple, set or dict:
    those are the child's from the start, so that its end is an end-of-file here.
    """

    #: The start method of this class, or None for that of the default context.
    _start_method: ClassVar[str | None] = None

    #: Whether `start` by fork warns when this process has other threads.  For layers
    #: that notice when a child waits for what only those could give back.
    warns_of_threads: bool = True

    #: Whether a daemonic process may start this one.  For layers that see to it that it
    #: ends, such as a pool within a task of another.
    nests: bool = False

    #: Whether a spawned child imports the main module.  For layers whose targets and
    #: arguments have nothing of it.
    imports_main: bool = True

    _by_value = False

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            group: None = None,
            target: Callable[[*Ts], object] | None = None,
            name: str | None = None,
            args: tuple[*Ts] = ...,
            *,
            daemon: bool | None = None,
            die_with_parent: bool = False,
            by_value: bool = False,
        ) -> None: ...

        # A list has no types of its own for each argument.
        @overload
        def __init__(
            self,
            group: None = None,
            target: Callable[..., object] | None = None,
            name: str | None = None,
            args: list[Any] = ...,
            *,
            daemon: bool | None = None,
            die_with_parent: bool = False,
            by_value: bool = False,
        ) -> None: ...

        # With keywords, mypy cannot match arguments and parameters.
        @overload
        def __init__(
            self,
            group: None = None,
            target: Callable[..., object] | None = None,
            name: str | None = None,
            args: Iterable[object] = ...,
            *,
            kwargs: Mapping[str, object] | None,
            daemon: bool | None = None,
            die_with_parent: bool = False,
            by_value: bool = False,
        ) -> None: ...

        # The same, all by position.
        @overload
        def __init__(
            self,
            group: None,
            target: Callable[..., object] | None,
            name: str | None,
            args: Iterable[object],
            kwargs: Mapping[str, object] | None,
            *,
            daemon: bool | None = None,
            die_with_parent: bool = False,
            by_value: bool = False,
        ) -> None: ...

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        daemon: bool | None = None,
        die_with_parent: bool = False,
        by_value: bool = False,
    ) -> None:
        if group is not None:
            raise AssertionError("group is reserved: it has to be None")
        if name is not None:
            _check_name(name)
        parent = _here.current
        _here.count += 1
        self._identity: tuple[int, ...] = (*parent._identity, _here.count)
        self._parent_pid: int | None = os.getpid()
        self._parent_name = parent._name
        self._starting = _Starting()
        self._child: Child | None = None
        self._closed = False
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs or ())
        numbers = ":".join(map(str, self._identity))
        self._name: str = name or f"{type(self).__name__}-{numbers}"
        # A dictionary, because programs reach into that of the current process to let
        # the workers of a pool have children of their own.
        daemonic = parent._config["daemon"] if daemon is None else bool(daemon)
        self._config: dict[str, bool] = {"daemon": daemonic}
        self._die_with_parent = bool(die_with_parent)
        self._key: _Key = parent._key
        if by_value:
            self._by_value = True

    # ------------------------------------------------------- what users override

    def run(self) -> None:
        """Call the target; the body of the process, to be overridden at will."""
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        """In the child: run, and say what exit code that gives.

        Tools that measure coverage, and tracers, put their own around it, by this name.
        """
        return _here.call(self)

    # ----------------------------------------------------------------- life cycle

    def start(self) -> None:
        """Start the process, at most once.

        Raises:
            AssertionError: it was started before, this is not the process that
                created it, or this is a daemonic process, which may have no children.
            RuntimeError: the main module starts processes while it is imported.
            UnpicklableError: under spawn and forkserver, part of it cannot be pickled.
            ModuleNotFoundError: so it cannot by value, because cloudpickle is not
                installed.
            ForkServerError: the fork server cannot be kept running.
            OSError: the system has no more processes or descriptors.
        """
        self._check("start")
        if _here.importing_main:
            raise RuntimeError(_NO_GUARD)
        if _here.current._config["daemon"] and not self.nests:
            raise AssertionError("daemonic processes may not have children")
        reap_children()
        with self._starting.lock:
            if self._child is not None:
                raise AssertionError(f"process {self._name!r} was started before")
            launch = _here.launcher(self._start_method)
            children, key = _here.children, id(self)
            # No signal handler runs between the return of the one and the next two.
            self._child = launch(self)
            children[key] = self
            # The child's now: to be closed here when nobody else holds them.
            if self._args:
                self._args = tuple([x for x in self._args if not owns_descriptor(x)])
            if self._kwargs:
                for name in [k for k, v in self._kwargs.items() if owns_descriptor(v)]:
                    del self._kwargs[name]

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the process, any number of times.

        Args:
            timeout: seconds; None waits for ever.  `exitcode` is None if it passed.

        Raises:
            AssertionError: it was not started, or not by this process.
        """
        if self._started("join").wait(timeout) is not None:
            self._found_ended()

    async def join_async(self, timeout: float | None = None) -> None:
        """Wait for the end of the process in an event loop of asyncio, with no thread.

        Several tasks may wait for one process.

        Args:
            timeout: seconds; None waits for ever.  `exitcode` is None if it passed.

        Raises:
            AssertionError: it was not started, or not by this process.
        """
        from mp_process._asyncio import ended

        if await ended(self._started("join"), timeout):
            self._found_ended()

    def is_alive(self) -> bool:
        """Whether the process has been started and has not ended.

        Raises:
            AssertionError: this is not the process that created it, nor itself.
        """
        if self is _here.current:
            return True
        self._check("ask about")
        if self._child is None:
            return False
        if self._child.poll() is None:
            return True
        self._found_ended()
        return False

    def terminate(self) -> None:
        """End the process by SIGTERM; its ``finally`` clauses do not run."""
        self._started("terminate").send_signal(_SIGTERM)

    def kill(self) -> None:
        """End the process by SIGKILL."""
        self._started("kill").send_signal(_SIGKILL)

    def interrupt(self) -> None:
        """Send SIGINT: KeyboardInterrupt in its main thread, unless it handles it."""
        self._started("interrupt").send_signal(_SIGINT)

    def close(self) -> None:
        """Give back the descriptors; most members raise ValueError afterwards.

        Raises:
            ValueError: the process is running.
        """
        child = self._child
        if self is _here.current:
            raise ValueError("the current process is running")
        if child is not None:
            self._check("close")
            if child.poll() is None:
                raise ValueError(
                    f"process {self._name!r} is running: terminate or join it first"
                )
            child.close()
        self._found_ended()
        self._child = None
        self._closed = True

    def _found_ended(self) -> None:
        """Let go of the arguments, which lived as long as the process."""
        _here.children.pop(id(self), None)
        self._target, self._args, self._kwargs = None, (), {}

    def _check(self, what: str) -> None:
        if self._closed:
            raise ValueError("the process object is closed")
        if self._parent_pid != os.getpid():
            raise AssertionError(
                f"only the process that created {self._name!r} may {what} it"
            )

    def _started(self, what: str) -> Child:
        self._check(what)
        if self._child is None:
            raise AssertionError(f"process {self._name!r} was not started")
        return self._child

    # ----------------------------------------------------------------- properties

    @property
    def name(self) -> str:
        """A name for people to read; several processes may share one."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        _check_name(name)
        self._name = name
        if self is _here.current:
            record_names.begin()

    @property
    def daemon(self) -> bool:
        """Whether the process is ended when its parent ends.

        Setting it raises AssertionError once the process is started.
        """
        return self._config["daemon"]

    @daemon.setter
    def daemon(self, daemon: bool) -> None:
        if self._child is not None:
            raise AssertionError(f"process {self._name!r} was started before")
        self._config["daemon"] = bool(daemon)

    @property
    def die_with_parent(self) -> bool:
        """Whether the process is killed if its parent is gone, in order or not."""
        return self._config["daemon"] or self._die_with_parent

    @property
    def authkey(self) -> bytes:
        """The authentication key (manual, "Authentication keys").

        A process object begins with the key of the process that creates it; the main
        process has a random one.  Neither pickles nor the repr of a process show it.
        Setting it in the current process is for the objects that it creates later.
        """
        return self._key.value

    @authkey.setter
    def authkey(self, key: bytes) -> None:
        if not isinstance(key, (bytes, bytearray, memoryview)):
            raise TypeError(f"a key is bytes, not a {type(key).__name__}")
        self._key = _Key(bytes(key))

    @property
    def pid(self) -> int | None:
        """The process identifier; None before the start."""
        if self._closed:
            raise ValueError("the process object is closed")
        if self is _here.current:
            return os.getpid()
        return None if self._child is None else self._child.pid

    ident = pid

    @property
    def exitcode(self) -> int | None:
        """None before the end; -N if signal N ended it; 255 if nobody can tell."""
        if self is _here.current:
            return None
        self._check("ask about")
        code = None if self._child is None else self._child.poll()
        if code is not None:
            self._found_ended()
        return code

    @property
    def sentinel(self) -> int:
        """A descriptor that is ready to read when the process has ended.

        Raises:
            ValueError: the process was not started.
            AssertionError: this is not the process that created it.
        """
        self._check("watch")
        if self._child is None:
            raise ValueError(f"process {self._name!r} was not started")
        return self._child.sentinel.fileno()

    @property
    def startup_error(self) -> str | None:
        """Why the process ended before it reached its target, in words.

        None while it runs, if it did reach its target, and under fork, where nothing
        stands between the two.
        """
        self._check("ask about")
        return None if self._child is None else self._child.startup_error

    def __repr__(self) -> str:
        parts = [f"name={self._name!r}"]
        if self is _here.current:
            state = "started"
        elif self._closed:
            state = "closed"
        elif self._parent_pid != os.getpid():
            state = "unknown"
        elif self._child is None:
            state = "initial"
        else:
            parts.append(f"pid={self._child.pid}")
            state = _state(self._child.poll())
        parts.append(f"parent={self._parent_pid}")
        parts.append(state)
        if self._config["daemon"]:
            parts.append("daemon")
        return f"<{type(self).__name__} {' '.join(parts)}>"


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, not a {type(name).__name__}")


def _state(exitcode: int | None) -> str:
    if exitcode is None:
        return "started"
    named = f"-{signal_name(-exitcode)}" if exitcode < 0 else exitcode
    return f"stopped exitcode={named}"


class MainProcess(BaseProcess):
    """The process that the user started."""

    def __init__(self) -> None:
        self._identity = ()
        self._parent_pid = None  # nobody may start it, join it or ask about it
        self._parent_name = ""
        self._starting = _Starting()
        self._child = None
        self._closed = False
        self._target = None
        self._args = ()
        self._kwargs = {}
        self._name = "MainProcess"
        self._config = {"daemon": False}
        self._die_with_parent = False
        self._key = _Key(os.urandom(_KEY_BYTES))

    def close(self) -> None:
        """Do nothing: this process runs."""


_here.current = MainProcess()

BaseProcess.__module__ = "mp_process"
