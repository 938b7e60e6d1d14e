"""Contexts: the start methods, and the classes bound to them."""

from __future__ import annotations

import os
import sys

from mp_connection.lifecycle import Provider
from mp_process import _here
from mp_process._freezing import freeze_support
from mp_process._here import here
from mp_process._process import BaseProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import ClassVar, Literal, TypeAlias

    from mp_process._child import Child

    Method: TypeAlias = Literal["fork", "spawn", "forkserver"]
    OnError: TypeAlias = Literal["ignore", "warn", "fail"]
else:
    Method = OnError = str  # `typing` would cost every child its import


class Process(BaseProcess):
    """A process started by the default method at the time of its start."""


class ForkProcess(BaseProcess):
    """A process that begins as a copy of its parent."""

    _start_method = "fork"


class SpawnProcess(BaseProcess):
    """A process that begins as a fresh interpreter."""

    _start_method = "spawn"


class ForkServerProcess(BaseProcess):
    """A process that begins as a copy of the fork server."""

    _start_method = "forkserver"


#: The methods of this platform; the first is the default.
METHODS: tuple[Method, ...] = (
    ("spawn",) if sys.platform == "win32" else ("fork", "spawn", "forkserver")
)


class _Default:
    """How this process starts others, and those that it starts others again."""

    def __init__(self) -> None:
        self.method: Method | None = None

    def capture(self) -> tuple[Method | None, str | None] | None:
        """What a child is told; None for nothing."""
        state = self.method, here().executable
        return None if state == (None, None) else state

    def fixed(self) -> Method:
        """The method, which from now on is settled."""
        if self.method is None:
            self.method = METHODS[0]
        return self.method

    def begin(self, method: str) -> None:
        """In a child of a context: start others as it was started."""
        self.method = known(method)

    def restore(self, state: object) -> None:
        """In a child: begin with the parent's."""
        assert isinstance(state, tuple)
        self.method, here().executable = state


_default = _Default()


def _restore_default(state: object) -> None:
    _default.restore(state)


_provider = Provider("mp_process.start_method", _default.capture, _restore_default)


def known(method: object) -> Method:
    """*method*, if it is one of this platform.

    Raises:
        ValueError: it is not; the text says which there are.
    """
    for candidate in METHODS:
        if candidate == method:
            return candidate
    raise ValueError(f"unknown start method {method!r}; there are {', '.join(METHODS)}")


#: What `_launcher` has found.  An import that is repeated writes to many objects, whose
#: pages the next forked child shares.
_launchers: dict[str, Callable[[BaseProcess], Child]] = {}


def _launcher(method: str | None) -> Callable[[BaseProcess], Child]:
    if method is None:
        method = _default.fixed()
    found = _launchers.get(method)
    if found is None:
        found = _launchers[method] = _find_launcher(method)
    return found


def _find_launcher(method: str) -> Callable[[BaseProcess], Child]:
    # Imported when needed: most children start no process, and each counts the
    # milliseconds until it runs.
    if sys.platform == "linux":
        if method == "fork":
            from mp_process._fork_posix import launch_fork

            return launch_fork
        if method == "spawn":
            from mp_process._spawn_posix import launch_spawn

            return launch_spawn
        from mp_process._forkserver_posix import launch_forkserver

        return launch_forkserver
    else:
        from mp_process._unsupported import launch

        return launch


here().launcher = _launcher
here().started_by = _default.begin

#: What contexts of the whole have besides, by the distribution that it comes from.
_ELSEWHERE = {
    "mp-connection": ("Pipe",),
    "mp-managers": ("Manager",),
    "mp-pool": ("Pool",),
    "mp-sharedctypes": ("Array", "RawArray", "RawValue", "Value"),
    "mp-sync": (
        "Barrier",
        "BoundedSemaphore",
        "Condition",
        "Event",
        "JoinableQueue",
        "Lock",
        "Queue",
        "RLock",
        "Semaphore",
        "SimpleQueue",
    ),
}


class BaseContext:
    """What is common to all contexts: a start method, and the classes bound to it."""

    #: The start method; None follows the default.
    method: ClassVar[Method | None] = None

    #: The class of processes that this context starts.
    Process: ClassVar[type[BaseProcess]] = Process

    #: Makes the context of a method; layers above put richer ones here.
    _contexts: ClassVar[dict[str, BaseContext]] = {}

    def current_process(self) -> BaseProcess:
        """The object of the process that this runs in."""
        return _here.current_process()

    def parent_process(self) -> _here.ParentProcess | None:
        """The parent of the current process; None in the main process."""
        return _here.parent_process()

    def active_children(self) -> list[BaseProcess]:
        """The children that run; those that have ended are joined on the way."""
        return _here.active_children()

    def get_context(self, method: Method | None = None) -> BaseContext:
        """The context of a start method.

        Args:
            method: one of `get_all_start_methods`, or None for the context itself; for
                the default one, that of the default method, which is settled by it.

        Raises:
            ValueError: there is no such method on this platform.
        """
        if method is None:
            if self.method is not None:
                return self
            method = _default.fixed()
        return self._contexts[known(method)]

    def get_all_start_methods(self) -> list[Method]:
        """The start methods of this platform; the first is the default."""
        return list(METHODS)

    def get_start_method(self, allow_none: bool = False) -> Method | None:
        """The start method of this context.

        Asking the default context settles the method, unless *allow_none* is true:
        then None says that it is not settled yet.
        """
        if self.method is not None:
            return self.method
        return _default.method if allow_none else _default.fixed()

    def set_start_method(self, method: Method | None, force: bool = False) -> None:
        """Settle the default start method, once.

        Args:
            method: one of `get_all_start_methods`; with *force*, None unsettles it.
            force: replace one that is settled.

        Raises:
            RuntimeError: it is settled.
            ValueError: there is no such method on this platform, or this context is
                bound to one.
        """
        if self.method is not None:
            raise ValueError(f"this context always uses {self.method!r}")
        if _default.method is not None and not force:
            raise RuntimeError(
                f"the start method is {_default.method!r} already: it is settled once,"
                " by the program, before the first process"
            )
        _default.method = None if method is None and force else known(method)

    def set_executable(
        self, executable: str | bytes | os.PathLike[str] | os.PathLike[bytes]
    ) -> None:
        """Set the interpreter that spawn and forkserver start, here and in children.

        Args:
            executable: its path; by default it is `sys.executable`.
        """
        here().executable = os.fsdecode(executable)

    def freeze_support(self) -> None:
        """See the function of this name."""
        freeze_support()

    def set_forkserver_preload(
        self, module_names: Iterable[str], on_error: OnError = "ignore"
    ) -> None:
        """Say what the fork server imports before it forks, beside the main module.

        It concerns the next server that this process starts.

        Args:
            module_names: names of modules, "__main__" for the main one.
            on_error: what if one cannot be imported.  "ignore": children try it
                themselves; "warn": an ImportWarning on standard error as well; "fail":
                starting a process raises ForkServerError.

        Raises:
            TypeError: the names are not strings.
            ValueError: *on_error* is something else, or this platform has no such
                start method.
        """
        names = [module_names] if isinstance(module_names, str) else list(module_names)
        if isinstance(module_names, str) or not all(
            isinstance(name, str) for name in names
        ):
            raise TypeError("module_names must be a list of strings")
        if on_error not in ("ignore", "warn", "fail"):
            raise ValueError(
                f"on_error is 'ignore', 'warn' or 'fail', not {on_error!r}"
            )
        known("forkserver")
        if sys.platform == "linux":
            from mp_process._forkserver_posix import fork_server

            fork_server().preload(names, on_error)

    def cpu_count(self) -> int:
        """The number of CPUs, or what PYTHON_CPU_COUNT or ``-X cpu_count`` say.

        Raises:
            NotImplementedError: nobody knows.
            ValueError: one of the two is no positive number.
        """
        from mp_process._cpus import cpus

        count = cpus()
        if count is None:
            raise NotImplementedError("the number of CPUs is not known")
        return count

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            said = f"{self!r} has no attribute {name!r}"
            for distribution, names in _ELSEWHERE.items():
                if name in names:
                    said = (
                        f"the contexts of mp-process have no {name}: for it alone, pip"
                        f" install {distribution}; for contexts that have all, pip"
                        " install mp-multiprocessing and take those of"
                        " mp_multiprocessing"
                    )
            raise AttributeError(said, name=name, obj=self)


class DefaultContext(BaseContext):
    """Follows the default start method."""


class ForkContext(BaseContext):
    """Starts processes by fork."""

    method: ClassVar[Method | None] = "fork"
    Process: ClassVar[type[ForkProcess]] = ForkProcess


class SpawnContext(BaseContext):
    """Starts processes by spawn."""

    method: ClassVar[Method | None] = "spawn"
    Process: ClassVar[type[SpawnProcess]] = SpawnProcess


class ForkServerContext(BaseContext):
    """Starts processes by forkserver."""

    method: ClassVar[Method | None] = "forkserver"
    Process: ClassVar[type[ForkServerProcess]] = ForkServerProcess


BaseContext._contexts = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}
_default_context = DefaultContext()


def get_context(method: Method | None = None) -> BaseContext:
    """See `BaseContext.get_context`, here of the default context."""
    return _default_context.get_context(method)


def get_all_start_methods() -> list[Method]:
    """See `BaseContext.get_all_start_methods`."""
    return _default_context.get_all_start_methods()


def get_start_method(allow_none: bool = False) -> Method | None:
    """See `BaseContext.get_start_method`, here of the default context."""
    return _default_context.get_start_method(allow_none)


def set_start_method(method: Method | None, force: bool = False) -> None:
    """See `BaseContext.set_start_method`, here of the default context."""
    _default_context.set_start_method(method, force)


def set_executable(
    executable: str | bytes | os.PathLike[str] | os.PathLike[bytes],
) -> None:
    """See `BaseContext.set_executable`."""
    _default_context.set_executable(executable)


def ensure_forkserver() -> None:
    """Start the fork server now, if none runs, and not with the first process.

    It returns before the server has imported what `set_forkserver_preload` names.

    Raises:
        ForkServerError: the last one ended because it could not import that.
        ValueError: this platform has no such start method.
        OSError: the system has no more processes or descriptors.
    """
    known("forkserver")
    if sys.platform == "linux":
        from mp_process._forkserver_posix import fork_server

        fork_server().ensure_running()


def set_forkserver_preload(
    module_names: Iterable[str], on_error: OnError = "ignore"
) -> None:
    """See `BaseContext.set_forkserver_preload`."""
    _default_context.set_forkserver_preload(module_names, on_error)


def cpu_count() -> int:
    """See `BaseContext.cpu_count`."""
    return _default_context.cpu_count()


for _class in (
    Process,
    ForkProcess,
    SpawnProcess,
    ForkServerProcess,
    BaseContext,
    DefaultContext,
    ForkContext,
    SpawnContext,
    ForkServerContext,
):
    # Pickles of process objects cross versions: they name the public path.
    _class.__module__ = "mp_process"
