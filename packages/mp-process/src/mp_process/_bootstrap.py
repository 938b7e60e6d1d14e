"""What a child does first and last, whichever way it was started.

fork arrives here directly, spawn and forkserver through `_startup`, which receives what
a forked child inherits.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys

from mp_connection.lifecycle import run_exit_callbacks
from mp_connection.log import info
from mp_process._descriptor import Lent
from mp_process._here import ParentProcess, here
from mp_process._lifeline import arm

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import TextIO

    from mp_process._descriptor import Descriptor
    from mp_process._process import BaseProcess
else:
    import _signal  # the enumerations of `signal` cost a child a millisecond


SIGINT = 2

#: Tells a fresh interpreter that SIGINT is to stay blocked.
MASKED = "masked"

#: Reads whatever descriptor 0 is; owns nothing.
_empty_stdin: TextIO | None = None


def unmask_interrupts() -> bool:
    """In a fresh interpreter: let a SIGINT in, which was blocked for its beginning.

    KeyboardInterrupt may come at once.

    Returns:
        False where it stays blocked, as it is in the process that started this one.
    """
    if sys.platform != "win32" and sys.argv[2:3] != [MASKED]:
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (SIGINT,))
        return True
    return False


def detach(mortal: bool, lifeline: Descriptor) -> None:
    """Become a child, which comes before anything that may take long.

    Args:
        mortal: whether to end with the parent.
        lifeline: the read end of the pipe that the parent holds open.
    """
    if mortal:
        arm(lifeline)
    replace_stdin()


def run(
    process: BaseProcess,
    parent_pid: int,
    lifeline: Descriptor,
    detached: bool = False,
) -> int:
    """Be *process* from beginning to end; the exit code of the process.

    Args:
        process: what to run.
        parent_pid: whose child it is, which under forkserver getppid would not tell.
        lifeline: the read end of the pipe that the parent holds open.
        detached: whether `detach` was called before.
    """
    try:
        if not detached:
            detach(process.die_with_parent, lifeline)
        threading = sys.modules.get("threading")
        if threading is not None:
            # A fork leaves it the parent's thread's.
            threading.main_thread()._set_native_id()
        here().enter(process, ParentProcess(process._parent_name, parent_pid, lifeline))
        return process._bootstrap()
    except BaseException as error:
        return _code_of(process, error)


def call(process: BaseProcess) -> int:
    """Call the target of *process*, which is this one; the exit code."""
    try:
        info("child process calling self.run()")
        process.run()
    except BaseException as error:
        return _code_of(process, error)
    return 0


here().call = call


def _code_of(process: BaseProcess, error: BaseException) -> int:
    """The exit code that an exception gives, and a report where it is one."""
    if isinstance(error, SystemExit):
        return exit_code(error)
    if not isinstance(error, KeyboardInterrupt):
        report(f"Process {process._name}:\n", error)
    # Ctrl-C is for all: the parent says so, and its children are quiet.
    return 1


def forget_exit() -> None:
    """In a forked child: what was registered for the end is its parent's to do."""
    atexit._clear()
    weakref = sys.modules.get("weakref")
    if weakref is not None and weakref.finalize._registered_with_atexit:
        for entry in weakref.finalize._registry.values():
            entry.atexit = False
        # The next finalizer is to be registered again, as the first of this process.
        weakref.finalize._registered_with_atexit = False


def finish(code: int) -> None:
    """Wait for threads, call what was registered for the end, write out the rest.

    Args:
        code: how the process ends, for the log.
    """
    for step in (
        _join_threads,
        atexit._run_exitfuncs,
        run_exit_callbacks,
        lambda: info("process exiting with exitcode %d", code),
    ):
        try:
            step()
        except KeyboardInterrupt:
            pass
        except BaseException as error:
            report("At the end of a process:\n", error)
    flush()


def _join_threads() -> None:
    threading = sys.modules.get("threading")
    if threading is None or not _thread._count():
        return
    try:
        # Joins threads that are not daemonic, after telling those of executors to
        # end; enumerating and joining them would wait for idle executors for ever.
        threading._shutdown()
    except AssertionError:
        # Before 3.13 it insists that the main thread was started by `threading`, which
        # a thread that forked need not be.  The executors are told by now.
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()


def flush() -> None:
    """Write out what the standard streams hold."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # none there, closed, or its reader is gone


def replace_stdin() -> None:
    """Have standard input read as empty.

    The parent's terminal cannot serve two readers (manual, "Programming guidelines").
    """
    if sys.stdin is None:
        return
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        if null != 0:
            os.close(null)
        # A new object, because the old one may hold what its parent has read ahead.
        sys.stdin = _reader_of_stdin()
    except OSError:
        pass


def lend_streams() -> list[Lent | None]:
    """Standard output and error as they are now; None for one that is closed."""
    return [Lent(fd) if _is_inherited(fd) else None for fd in (1, 2)]


def _is_inherited(fd: int) -> bool:
    try:
        # As by exec: in a process that has closed it, a descriptor of this number may
        # be one of ours.
        return os.get_inheritable(fd)
    except OSError:
        return False


def occupy_streams() -> None:
    """In a fork server: keep the numbers of closed standard streams for children."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def take_streams(streams: list[Descriptor | None]) -> None:
    """In a fork server's child: write where its parent does, and not the server."""
    for fd, own, name in zip((1, 2), streams, ("stdout", "stderr"), strict=True):
        # Not closed: the next file that is opened would get the number, and the output.
        new = os.open(os.devnull, os.O_WRONLY) if own is None else own.take()
        if new != fd:
            os.dup2(new, fd)
            os.close(new)
        stream = getattr(sys, name)
        if stream is None:
            stream = open(fd, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        if fd == 1 and hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=os.isatty(fd))


def prepare_fork() -> None:
    """In a parent: make what each forked child would have to make for itself.

    A child copies every page that it writes to: its first milliseconds are mostly that.
    """
    if _empty_stdin is None and sys.stdin is not None:
        try:
            _reader_of_stdin()
        except OSError:
            pass


def _reader_of_stdin() -> TextIO:
    global _empty_stdin
    if _empty_stdin is None or _empty_stdin.closed:
        _empty_stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    return _empty_stdin


def exit_code(error: SystemExit) -> int:
    """The exit code that the interpreter would make of it (sys.exit)."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        # It goes through a C long, and becomes -1 where it does not fit.
        return code & 0xFF if -sys.maxsize - 1 <= code <= sys.maxsize else 255
    _say(f"{code}\n")
    return 1


def report(headline: str, error: BaseException) -> str:
    """Write an exception to standard error, and return what was written."""
    from traceback import format_exception  # start-up time of children

    text = headline + "".join(format_exception(error))
    _say(text)
    return text


def _say(text: str) -> None:
    try:
        sys.stderr.write(text)
    except (AttributeError, ValueError, OSError):
        pass  # none there, closed, or its reader is gone
