"""What this process knows of itself, of its parent and of its children."""

from __future__ import annotations

import sys
from time import monotonic

from mp_connection.lifecycle import at_exit, generation
from mp_connection.log import debug
from mp_process._lifeline import parent_is_gone
from mp_process._record_names import RecordNames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mp_process._child import Child
    from mp_process._descriptor import Descriptor
    from mp_process._process import BaseProcess

_SIGTERM = 15

#: How long daemonic children may take to end by SIGTERM when their parent exits.
_GRACE_SECONDS = 3.0

#: Seconds of one poll(2), which takes milliseconds as a C int.
_LONGEST_POLL = 1e6


class ParentProcess:
    """The parent of the current process, as `parent_process` gives it.

    Attributes:
        name: the parent's name when it started this process.
        pid: its identifier.
    """

    def __init__(self, name: str, pid: int, lifeline: Descriptor) -> None:
        self.name = name
        self.pid = pid
        self._lifeline = lifeline

    @property
    def ident(self) -> int:
        """The same as `pid`."""
        return self.pid

    @property
    def sentinel(self) -> int:
        """A descriptor that is ready to read when the parent has ended."""
        return self._lifeline.fileno()

    def is_alive(self) -> bool:
        """Whether the parent runs."""
        return not parent_is_gone(self._lifeline)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the parent ends, at most *timeout* seconds."""
        deadline = None if timeout is None else monotonic() + timeout
        left: float | None = None
        while True:
            if deadline is not None:
                left = min(max(0.0, deadline - monotonic()), _LONGEST_POLL)
            if parent_is_gone(self._lifeline, left) or left == 0:
                break

    def close(self) -> None:
        """Let go: this process has got another parent, by being forked."""
        self._lifeline.close()

    def __repr__(self) -> str:
        state = "started" if self.is_alive() else "stopped"
        return f"<{type(self).__name__} name={self.name!r} pid={self.pid} {state}>"


class Here:
    """What this process knows of itself."""

    def __init__(self) -> None:
        #: Set by the module of process objects, which stands above this one.
        self.current: BaseProcess
        self.parent: ParentProcess | None = None
        self._started: dict[int, dict[int, BaseProcess]] = {}  # by generations
        self.count = 0  # of process objects made here, for their names
        self.importing_main = False
        #: The interpreter of children; None for that of this process.
        self.executable: str | None = None
        #: Finds the function that starts a process by a method: set by the contexts,
        #: which stand above this module, too.
        self.launcher: Callable[[str | None], Callable[[BaseProcess], Child]] = (
            _no_launcher
        )
        #: Calls the target of a process; set by the module in which children begin.  An
        #: import in a forked child would write to many objects.
        self.call: Callable[[BaseProcess], int] = _no_call
        #: Makes a method the default; set by the contexts as well.
        self.started_by: Callable[[str], None] = lambda method: None

    @property
    def children(self) -> dict[int, BaseProcess]:
        """Those that run, by identity: a subclass may define equality as it likes."""
        # What the parent of a forked child has started is not its own.
        return self._started.setdefault(generation.number, {})

    def enter(self, process: BaseProcess, parent: ParentProcess) -> None:
        """Be *process* from now on, and start others as it was started."""
        if process._start_method is not None:
            self.started_by(process._start_method)
        if self.parent is not None:
            self.parent.close()
        self.current = process
        self.parent = parent
        self.count = 0
        self._started.clear()
        record_names.begin()

    def expect(self, name: str) -> None:
        """Bear the name of the process that is to be entered."""
        self.current.name = name


def _no_call(process: BaseProcess) -> int:
    raise RuntimeError(f"{process!r} is no child that has begun")


def _no_launcher(method: str | None) -> Callable[[BaseProcess], Child]:
    raise RuntimeError("mp_process.context is not imported")


_here = Here()
record_names = RecordNames(lambda: _here.current.name)


def here() -> Here:
    """What this process knows of itself."""
    return _here


def get_executable() -> str:
    """The interpreter that spawn and forkserver start: see `set_executable`."""
    return _here.executable or sys.executable


def current_process() -> BaseProcess:
    """The object of the process that this runs in."""
    return _here.current


def parent_process() -> ParentProcess | None:
    """The parent of the current process; None in the main process."""
    return _here.parent


def active_children() -> list[BaseProcess]:
    """The children that run; those that have ended are joined on the way."""
    reap_children()
    return list(_here.children.values())


def reap_children() -> None:
    """Reap children that have ended, so that none stays a zombie for long."""
    for key, process in list(_here.children.items()):
        child = process._child
        if child is None:  # closed by another thread
            _here.children.pop(key, None)
        elif child.poll() is not None:
            process._found_ended()


def _end_children() -> None:
    """At exit: daemonic children are ended, the others waited for."""
    # Not by the methods that users may have overridden.
    daemons: list[Child] = []
    others: list[Child] = []
    for process in list(_here.children.values()):
        if process._child is not None:
            kind = daemons if process._config["daemon"] else others
            kind.append(process._child)
    for child in daemons:
        try:
            child.send_signal(_SIGTERM)
        except OSError:
            pass  # another user's by now: its lifeline ends it
    deadline = monotonic() + _GRACE_SECONDS
    for child in daemons:
        if child.wait(max(0.0, deadline - monotonic())) is None:
            child.abandon()
    for child in others:
        child.wait()


at_exit(_end_children, forked=True)
at_exit(lambda: debug("process shutting down"), priority=100, forked=True)

ParentProcess.__module__ = "mp_process"
