"""Start method spawn: a fresh interpreter that inherits one socket and nothing else."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from mp_process import _bootstrap
from mp_process._child import Child, kill_and_reap
from mp_process._descriptor import close_for_good, no_fork
from mp_process._interpreter_posix import send_path, start_interpreter, startup_pair
from mp_process._lifeline import Lifeline
from mp_process._sentinel_posix import Watch
from mp_process._startup import Preparation, process_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_process._child import OwnedChannel
    from mp_process._process import BaseProcess


def launch_spawn(process: BaseProcess) -> Child:
    """Start *process* in a fresh interpreter.

    Raises:
        UnpicklableError: part of it cannot be pickled; nothing was started.
        OSError: the system has no more processes or descriptors, or the interpreter
            cannot be run; nothing was started.
    """
    message = process_message(process)
    _bootstrap.flush()  # what was printed before the start comes before the child's
    with no_fork:
        watch, lifeline = Watch(), Lifeline()
        lifeline.child_end.private()
        if watch.child_end is not None:
            watch.child_end.private()
        startup, far = startup_pair()
    preparation = None
    try:
        try:
            preparation = Preparation(process, lifeline.child_end, watch.child_end)
            first = preparation.message()
            child = _launch(watch, lifeline, startup, far)
        except BaseException:
            close_for_good(startup)
            raise
        finally:
            close_for_good(far)
        try:
            send_path(startup)
            startup.send(first)
            startup.send(message)
        except BrokenPipeError:
            pass  # it was killed: that is its exit code, and known when somebody asks
        except BaseException:
            child.abandon()
            raise
    finally:
        if preparation is not None:
            preparation.let_go()
        lifeline.child_end.close()
        watch.close_child_end()
    return child


def _launch(
    watch: Watch, lifeline: Lifeline, startup: OwnedChannel, far: OwnedChannel
) -> Child:
    pid = start_interpreter(far.fileno(), "mp_process._startup", "spawned")
    try:
        close_for_good(far)  # and its place is free for the sentinel
        return Child(pid, watch.sentinel(pid), lifeline, startup, watch.by_pidfd)
    except BaseException:
        kill_and_reap(pid)
        raise
