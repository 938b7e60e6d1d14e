"""The start-up message: what a child that was not forked has to be told.

Two messages travel over the start-up channel.  The first prepares the child: where its
parent is, arguments, directory, main module, the state of other layers.  The second is
the process object.  A child whose channel ends before the second runs nothing: until
then its parent may still give it up and start another.
"""

from __future__ import annotations

import os
import sys

from mp_connection.channel import (
    NOSIGNAL,
    Message,
    PacketChannel,
    adopt,
    pickle_message,
    unpickle,
)
from mp_connection.errors import UnpicklableError
from mp_connection.lifecycle import captured_state
from mp_process import _bootstrap, _main_module
from mp_process._child import REPORT_LIMIT, STARTED
from mp_process._descriptor import Descriptor
from mp_process._here import here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from mp_connection.channel import Received
    from mp_process._process import BaseProcess

    State = list[tuple[Callable[[object], object], object]]


class Preparation:
    """The first message.  Made in the parent, applied in the child.

    Args:
        process: what is started.
        lifeline: the child's end.
        watched: what the child keeps open to be watched by, if anything.

    It has to be kept until it is sent: the descriptors in it are its own.
    """

    def __init__(
        self, process: BaseProcess, lifeline: Descriptor, watched: Descriptor | None
    ) -> None:
        self.name = process._name
        self.mortal = process.die_with_parent
        self.key = process.authkey
        self.parent_pid = os.getpid()
        self.lifeline = lifeline
        self.watched = watched
        self.path = _main_module.search_path()
        self.argv = sys.argv
        self.directory = _directory()
        #: What a fork server has otherwise: its environment is as old as it is.
        self.environ: dict[str, str] | None = None
        #: And so are its standard output and error.
        self.streams: list[Any] | None = None  # arrive as descriptors
        self.main = _main_module.describe() if process.imports_main else None
        self.main_is_there = _main_module.can_be_found()
        self.state: State = captured_state()

    def message(self) -> Message:
        """Itself as a message."""
        return pickle_message(self, "the child's preparation")

    def let_go(self) -> None:
        """Close the descriptors that were made for the child, in the parent.

        Not left to the end of this object: the traceback of an error may hold it, and
        a way to the fork server keeps that running.
        """
        for _, state in self.state:
            for part in state if isinstance(state, tuple) else (state,):
                if isinstance(part, Descriptor):
                    part.close()

    def hold(self) -> None:
        """See to the descriptors, which comes before anything that may take long."""
        if self.watched is not None:
            # Open until this process ends, and closed in those it forks.
            _keep.append(self.watched.private())
        _bootstrap.detach(self.mortal, self.lifeline)
        if self.streams is not None:
            _bootstrap.take_streams(self.streams)

    def apply(self) -> None:
        """Make this process like its parent where that matters."""
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        if self.directory is not None and self.directory != _directory():
            os.chdir(self.directory)
        here().expect(self.name)
        # Already while the process object is unpickled: its arguments may connect.
        here().current.authkey = self.key
        if self.environ is not None:
            _replace_environment(self.environ)
        for restore, state in self.state:
            restore(state)
        _main_module.install(self.main)


def _replace_environment(environ: dict[str, str]) -> None:
    for name in [name for name in os.environ if name not in environ]:
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


_keep: list[Descriptor] = []


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def process_message(process: BaseProcess) -> Message:
    """The second message.

    Raises:
        UnpicklableError: part of the process object cannot be pickled.
        ModuleNotFoundError: it is to be by value, and cloudpickle is not installed.
    """
    name = type(process).__name__
    if not process._by_value and not _main_module.can_be_found():
        for path, what in (("target", process._target), (name, type(process))):
            if getattr(what, "__module__", None) == "__main__":
                called = getattr(what, "__qualname__", "")
                raise UnpicklableError(
                    f"{path} is {called} of __main__; {_main_module.NOT_FOUND}", path
                )
    try:
        if process._by_value:
            from mp_process._by_value import pickle_by_value  # few want it

            return pickle_by_value(process, name)
        return pickle_message(process, name)
    except UnpicklableError as error:
        # The parts of a process by the names that its creator gave them.
        path = error.path.removeprefix(f"{name}._")
        if not path.startswith(("args", "kwargs", "target")):
            raise
        text = str(error).replace(error.path, path, 1)
        raise UnpicklableError(text, path) from error.__cause__


def run_child(channel: PacketChannel) -> int:
    """The whole life of a child that was not forked; its exit code.

    Args:
        channel: the child's end of the start-up channel.
    """
    name = "?"
    main_is_there = True
    try:
        received = _next(channel)
        if received is None:
            return 1
        preparation: Preparation = unpickle(received)
        name = preparation.name
        main_is_there = preparation.main_is_there
        preparation.hold()
        preparation.apply()
        received = _next(channel)
        if received is None:
            return 1
        process: BaseProcess = unpickle(received)
        process.authkey = preparation.key
    except SystemExit as error:
        return _bootstrap.exit_code(error)
    except KeyboardInterrupt:
        return 1  # as it would be later, in the target
    except BaseException as error:
        if (
            not main_is_there
            and isinstance(error, AttributeError)
            and "'__main__'" in str(error)
        ):
            error.add_note(_main_module.NOT_FOUND)
        return _refuse(channel, name, error)
    try:
        channel.sock.send(STARTED, NOSIGNAL)
    except OSError:
        pass  # the parent died after it had started us
    channel.close()
    code = _bootstrap.run(
        process, preparation.parent_pid, preparation.lifeline, detached=True
    )
    _bootstrap.finish(code)
    return code


def _next(channel: PacketChannel) -> Received | None:
    """The next message; None if the parent is gone, or has given this child up."""
    try:
        return channel.recv()
    except EOFError:
        return None


def spawned(fd: int) -> None:
    """What a fresh interpreter calls; it does not return."""
    os.set_inheritable(fd, False)
    code = 1
    try:
        _bootstrap.unmask_interrupts()
        # Taking the interpreter down step by step afterwards would only take time.
        code = run_child(PacketChannel(adopt(fd)))
        _bootstrap.flush()
    except KeyboardInterrupt:
        pass  # between two steps that end quietly by themselves
    except BaseException as error:
        _bootstrap.report("", error)
    finally:
        os._exit(code)


def _refuse(channel: PacketChannel, name: str, error: BaseException) -> int:
    """Tell the parent, and whoever reads the output, why there is no start."""
    error.__traceback__ = _from_users_code(error.__traceback__)
    text = _bootstrap.report(f"Process {name} could not start:\n", error)
    report = text.encode(errors="replace")[-REPORT_LIMIT:]
    try:
        channel.sock.send(report, NOSIGNAL)
    except OSError:
        pass
    channel.close()
    # Threads that the main module has started already are not waited for.
    _bootstrap.flush()
    return 1


def _from_users_code(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of ours that it begins with."""
    while traceback is not None:
        package = str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if package not in ("mp_process", "mp_connection"):
            break
        traceback = traceback.tb_next
    return traceback
