"""What a parent knows of a process that it started, and does with it."""

from __future__ import annotations

import errno
import os
import sys
import time
from _thread import RLock
from itertools import starmap

from mp_connection.channel import DONTWAIT, PacketChannel, ready_to_read

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

    from mp_process._descriptor import Descriptor
    from mp_process._lifeline import Lifeline
else:
    import _signal  # the enumerations of `signal` cost a child a millisecond

#: The exit code of a process whose real one nobody can tell any more: somebody else
#: reaped it, or the fork server that was its parent is gone.
EXIT_UNKNOWN = 255

#: How long a wait goes on without looking again, in seconds.
SLICE_SECONDS = 0.2

#: How long a process may take to end by SIGKILL.
_KILL_SECONDS = 5.0

#: The packet by which a child says that it has reached its target.  Any other one says
#: why it has not.  It has to fit the kernel's buffer: nobody reads it before the end.
STARTED = b"started"
REPORT_LIMIT = 60_000

_SIGKILL = 9

_PEEK = 2  # MSG_PEEK, everywhere
_WNOHANG: int = getattr(os, "WNOHANG", 0)  # Windows has none


class OwnedChannel(PacketChannel):
    """A channel that is closed when it is collected; the socket itself would warn."""

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


class Child:
    """A started process, seen from its parent.  Any thread may use it.

    Args:
        pid: its identifier.
        sentinel: becomes readable when it has ended.
        lifeline: the parent's side of it.
        startup: where the child says that it has reached its target, or why not;
            None for forked children, which have nothing to fail at.
        pidfd: whether the sentinel is one.
    """

    __slots__ = (
        "__weakref__",
        "_exitcode",
        "_lifeline",
        "_lock",
        "_pidfd",
        "_reaping",
        "_settled",
        "_startup",
        "_startup_error",
        "_waited",
        "pid",
        "sentinel",
    )

    def __init__(
        self,
        pid: int,
        sentinel: Descriptor,
        lifeline: Lifeline,
        startup: OwnedChannel | None = None,
        pidfd: bool = False,
    ) -> None:
        self.pid = pid
        self.sentinel = sentinel
        self._lifeline = lifeline
        self._startup = startup
        self._startup_error: str | None = None
        self._pidfd = pidfd
        # A signal handler may ask while the code that it interrupts does.
        self._lock = RLock()
        self._reaping = False
        self._waited: list[tuple[int, int]] = []
        self._exitcode: int | None = None
        self._settled = False  # there is an exit code, and all is closed

    def _reap(self) -> int | None:
        """The exit code if the process has ended; called once it is not known yet."""
        waited = self._waited
        if not waited or not waited[-1][0]:
            waited.clear()
            try:
                # Nothing of Python's runs between the system call and `extend`: a
                # signal handler that raises cannot make us lose the status.
                waited.extend(starmap(os.waitpid, ((self.pid, _WNOHANG),)))
            except ChildProcessError:
                # Reaped by somebody else's wait(), or SIGCHLD is ignored.  Until its
                # sentinel fires it may still be running, as somebody else's child.
                ended = ready_to_read(self.sentinel.fileno(), 0)
                return EXIT_UNKNOWN if ended else None
        pid, status = waited[-1]
        return os.waitstatus_to_exitcode(status) if pid else None

    def _waiting_fd(self) -> int:
        """A descriptor that becomes readable when `_reap` may know."""
        return self.sentinel.fileno()

    def _kill(self, signal: int) -> None:
        try:
            if not (self._pidfd and self._kill_by_pidfd(signal)):
                os.kill(self.pid, signal)
        except ProcessLookupError:
            pass  # it has ended

    def _kill_by_pidfd(self, signal: int) -> bool:
        """Signal this process and no other, even if somebody else has reaped it."""
        if sys.platform == "linux":
            try:
                _signal.pidfd_send_signal(self.sentinel.fileno(), signal)
                return True
            except AttributeError:
                pass  # built without it
            except OSError as error:
                if error.errno != errno.ENOSYS:  # a filter takes it away
                    raise
        return False

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        with self._lock:
            if not self._settled and not self._reaping:
                self._reaping = True
                try:
                    if self._exitcode is None:
                        self._exitcode = self._reap()
                    if self._exitcode is not None:
                        self._ended(self._exitcode)
                        self._settled = True  # or it was interrupted: once more
                finally:
                    self._reaping = False
            return self._exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, as soon as the process has ended.

        Args:
            timeout: seconds; None waits for ever.

        Returns:
            None when it still runs at the time-out.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.0005
        while (code := self.poll()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            # A pidfd says when, and then waitpid agrees.  The end of a pipe may come
            # before that, or late, when a process forked at the wrong moment holds it
            # too: so nobody sleeps on it for long.
            slice_ = SLICE_SECONDS if left is None else min(left, SLICE_SECONDS)
            fd = self._waiting_fd()
            if fd == -1:
                continue  # another thread has waited for it, and closed it
            if ready_to_read(fd, slice_):
                if (code := self.poll()) is not None:
                    return code
                pause = min(2 * pause, 0.05)
                time.sleep(pause)
        return code

    def send_signal(self, signal: int) -> None:
        """Send a signal, unless the process has ended and its number may be reused."""
        with self._lock:
            if self.poll() is None:
                self._kill(signal)

    def abandon(self) -> None:
        """End a process that nobody will ask about any more."""
        try:
            self.send_signal(_SIGKILL)
        except OSError:
            pass  # another user's by now
        self.wait(_KILL_SECONDS)
        self.close()

    def _ended(self, code: int) -> None:
        """Note how it ended, and let go of what is of no use any more; repeatable."""
        self._lifeline.close()
        if self._startup is not None:
            if self._startup.fileno() != -1:  # not closed by an interrupted call
                self._startup_error = self._read_startup(self._startup, code)
            self._startup.close()
            self._startup = None

    def _read_startup(self, startup: PacketChannel, code: int) -> str | None:
        text = peek(startup, REPORT_LIMIT)
        if not text:
            return f"process {self.pid} {ending(code)} during its start-up"
        return None if text == STARTED else text.decode(errors="replace")

    @property
    def startup_error(self) -> str | None:
        """Why the process ended before it reached its target; None if it did not."""
        self.poll()
        return self._startup_error

    def close(self) -> None:
        """Close all descriptors.  The process has ended."""
        self._lifeline.close()
        self.sentinel.close()
        if self._startup is not None:
            self._startup.close()
            self._startup = None

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a process that was started cannot be pickled: only its parent may use it"
        )


def peek(channel: PacketChannel, size: int) -> bytes | None:
    """The packet that comes next, which stays there: reading may be interrupted.

    Returns:
        None when there is none yet; nothing when there will be none.
    """
    try:
        return channel.sock.recv(size, DONTWAIT | _PEEK)
    except BlockingIOError:
        return None
    except ConnectionResetError:  # it left something unread (unix(7)): look again
        return peek(channel, size)
    except OSError:
        return b""


def kill_and_reap(pid: int) -> None:
    """End a child of this process that has no object yet."""
    try:
        os.kill(pid, _SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def ending(exitcode: int | None) -> str:
    """How a process ended, in words that follow its name."""
    if exitcode is None:
        return "is running"
    if exitcode >= 0:
        return f"ended with exit code {exitcode}"
    return f"was killed by signal {-exitcode} ({signal_name(-exitcode)})"


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGKILL."""
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal
