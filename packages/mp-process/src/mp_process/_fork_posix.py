"""Start method fork: the child is a copy of the parent, by fork(2)."""

from __future__ import annotations

import _thread
import os
import sys

assert sys.platform != "win32"

from itertools import starmap

from mp_process import _bootstrap
from mp_process._child import Child, kill_and_reap
from mp_process._descriptor import OwnForkOnly, close_for_good, no_fork
from mp_process._lifeline import Lifeline
from mp_process._sentinel_posix import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from mp_process._process import BaseProcess
else:
    import _signal

#: We warn of other threads ourselves, before anything is done, and name them.
#: From 3.12 on `os.fork` warns when there are other threads, in the name of the module
#: that calls it, here this one.  It looks for the warnings issued before under this
#: name; finding no dictionary is an error, which `os.fork` ignores, since there is no
#: way back.  Neither a filter nor `catch_warnings` would do: the first is the user's
#: to reset and the second not for use with threads.  False, or unittest replaces it.
__warningregistry__ = ()


#: How many threads a warning names.
_NAMES = 5


def _warn_of_threads() -> None:
    """Warn in the name of whoever called `start`, before anything is done."""
    threading = sys.modules.get("threading")
    if threading is None:
        return
    this = _thread.get_ident()  # current_thread() would make an object for any thread
    names = [
        thread.name
        for thread in threading.enumerate()
        if thread.ident != this and not getattr(thread, "forks_safely", False)
    ]
    if not names:
        return
    import warnings

    if len(names) > _NAMES:
        names[_NAMES:] = [f"{len(names) - _NAMES} more"]
    warnings.warn(
        f"this process has other threads ({', '.join(names)}): what they hold, such as"
        " locks, is held for ever in a child made by fork; start processes before"
        " threads, or by spawn or forkserver",
        DeprecationWarning,
        stacklevel=4,
    )


def launch_fork(process: BaseProcess) -> Child:
    """Start *process* in a copy of this one.

    Raises:
        OSError: the system has no more processes or descriptors; nothing was started.
        DeprecationWarning: this process has other threads, and such warnings are
            errors; nothing was started.
    """
    # In a child the count still has threads of its parent; `threading` has not.
    if process.warns_of_threads and _thread._count():
        _warn_of_threads()
    _bootstrap.flush()  # or what is buffered would be written twice
    _bootstrap.prepare_fork()
    if process.die_with_parent:
        __import__("fcntl")  # or each child would import it, to be armed
    parent_pid = os.getpid()
    pids: list[int] = []
    code = 1
    try:
        with no_fork:
            watch, lifeline = Watch(), Lifeline()
            ends = [lifeline.child_end]
            if watch.child_end is not None:
                ends.append(watch.child_end)
            ours = OwnForkOnly(*ends)
        # A Ctrl-C within the hooks of a fork would be printed, and forgotten.
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, (_bootstrap.SIGINT,))
        try:
            # The interpreter does not run signal handlers between the system call and
            # `extend`: a handler that raises cannot make us forget the child.
            pids.extend(starmap(os.fork, ((),)))
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        if pids[0] == 0:
            _bootstrap.forget_exit()
            if watch.child_end is not None:
                watch.child_end.private()
            code = _bootstrap.run(process, parent_pid, lifeline.child_end)
            _bootstrap.finish(code)
            os._exit(code)
        for end in ends:
            close_for_good(end)
        del ours  # which had to live until now
        pid = pids[0]
        return Child(pid, watch.sentinel(pid), lifeline, pidfd=watch.by_pidfd)
    except BaseException:
        if pids and pids[0] > 0:
            kill_and_reap(pids[0])
        raise
    finally:
        # In a child nothing may get past here, whatever was raised and wherever, or
        # it would go on as a second parent.
        if pids:
            if pids[0] == 0:
                os._exit(code)
        elif os.getpid() != parent_pid:
            os._exit(1)
