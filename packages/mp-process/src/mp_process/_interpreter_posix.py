"""Starting a fresh interpreter that inherits one socket."""

from __future__ import annotations

import errno
import marshal
import sys

assert sys.platform != "win32"

from mp_connection.channel import NOSIGNAL, adopt, packet_pair
from mp_connection.lifecycle import close_after_fork
from mp_process import _freezing, _main_module
from mp_process._bootstrap import MASKED, SIGINT
from mp_process._child import OwnedChannel, kill_and_reap
from mp_process._descriptor import no_fork
from mp_process._here import get_executable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from mp_connection.channel import PacketChannel
else:
    import _signal

#: What the fresh interpreter runs.  Nothing of ours can be imported before `sys.path`
#: is right, so it reads that from the socket with what is built in: the number of
#: packets first, then the packets.  An end-of-file means that the parent is gone.
_STUB = """\
import sys,os,marshal
f=int(sys.argv[1])
n=int(os.read(f,9)or os._exit(1))
sys.path[:]=marshal.loads(b''.join([os.read(f,65536)or os._exit(1)for _ in range(n)]))
from {module} import {function}
{function}(f)"""


def startup_pair(private: bool = True) -> tuple[OwnedChannel, OwnedChannel]:
    """The channel of a fresh interpreter: our end, and the one it inherits.

    Args:
        private: whether forked children close our end, as they do the other one.

    Raises:
        OSError: no descriptors are left.
    """
    with no_fork:
        near, far = map(OwnedChannel, packet_pair(shared=False))
        if far.fileno() <= 2:  # in a process that has closed its standard streams
            try:
                far = _above_stderr(far)
            except BaseException:
                near.close()
                raise
        if private:
            close_after_fork(near)
        close_after_fork(far)
    return near, far


def _above_stderr(channel: OwnedChannel) -> OwnedChannel:
    import fcntl

    try:
        fd = fcntl.fcntl(channel.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        channel.close()
    return OwnedChannel(adopt(fd))


def start_interpreter(far_end: int, module: str, function: str) -> int:
    """Start an interpreter that calls ``module.function(descriptor)``.

    Args:
        far_end: a packet socket, whose near end `send_path` is called on.
        module: where the function is.
        function: its name; it does not return.

    Returns:
        The process identifier.

    Raises:
        OSError: the interpreter cannot be started.
        RuntimeError: nobody knows where one is, or this is a child of a frozen program
            that has not called `freeze_support`.
    """
    import subprocess  # not wanted in children, which start no interpreters

    executable = get_executable()
    if not executable:
        raise RuntimeError("sys.executable is not known: call set_executable first")
    if _freezing.is_frozen():
        command = _freezing.command(executable, module, function, far_end)
    else:
        stub = child_code(module, function)
        command = [executable, *interpreter_flags(), "-c", stub, str(far_end)]
    pid = 0
    # A Ctrl-C while Python starts would be a traceback of its own making.  The new
    # process has the mask of this thread, and lets go when it is ready to be quiet.
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, (SIGINT,))
    if SIGINT in mask:
        command.append(MASKED)
    try:
        try:
            # It waits for the end of a pipe, which a process forked meanwhile would
            # hold open as long as it lives.
            with no_fork:
                child = subprocess.Popen(command, pass_fds=[far_end])
                pid = child.pid
            # We wait for it ourselves: its own finalizer would do so behind our back.
            child.returncode = 0
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    except BaseException:
        if pid:
            kill_and_reap(pid)
        raise
    return pid


def child_code(module: str, function: str) -> str:
    """What a fresh interpreter runs, with its descriptor as the first argument."""
    return _STUB.format(module=module, function=function)


def send_path(channel: PacketChannel) -> None:
    """Tell a fresh interpreter its `sys.path`; blocks for a very long one only.

    Raises:
        BrokenPipeError: it is dead already.
    """
    data = marshal.dumps(_main_module.search_path())
    packets = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    try:
        for packet in (str(len(packets)).encode(), *packets):
            channel.sock.send(packet, NOSIGNAL)
    except ConnectionResetError as error:  # it left something unread (unix(7))
        raise BrokenPipeError(errno.EPIPE, "the interpreter is dead") from error


def interpreter_flags() -> list[str]:
    """The options that make a fresh interpreter behave like this one."""
    flags = sys.flags
    single: dict[str, int] = {
        "d": flags.debug,
        "B": flags.dont_write_bytecode,
        "s": flags.no_user_site,
        "S": flags.no_site,
        "E": flags.ignore_environment,
        "v": flags.verbose,
        "b": flags.bytes_warning,
        "q": flags.quiet,
        "O": flags.optimize,
    }
    options = [f"-{letter * single[letter]}" for letter in single if single[letter]]
    if flags.isolated:
        options.append("-I")
    elif flags.safe_path:
        options.append("-P")
    options += [f"-W{warning}" for warning in sys.warnoptions]
    for name, value in sys._xoptions.items():
        options.append(f"-X{name}" if value is True else f"-X{name}={value}")
    return options
