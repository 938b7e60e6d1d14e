"""The fork server: one process with one thread, which forks on request.

It is reached by the far end of a packet pair that its starter and their descendants
hold; when the last of them is gone it reads end-of-file and ends.  A request carries
two descriptors: the start-up channel of the new child, which the server only passes
on, and a channel for the reply to this one request.  The reply is the child's
identifier, with a pidfd where there are any, and when the child ends its status.
"""

from __future__ import annotations

import os
import sys

assert sys.platform != "win32"

import errno
import gc
import select
import time
from struct import Struct

from mp_connection.channel import (
    NOSIGNAL,
    Message,
    PacketChannel,
    Received,
    adopt,
    padded_packet,
    send_packet,
    unpickle,
)
from mp_connection.errors import HandleError
from mp_connection.lifecycle import captured_state, close_after_fork
from mp_process import _bootstrap, _freezing, _main_module
from mp_process._child import REPORT_LIMIT
from mp_process._interpreter_posix import interpreter_flags
from mp_process._sentinel_posix import open_pidfd
from mp_process._startup import run_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    import signal as _signal
    from collections.abc import Sequence

    from mp_process._context import OnError
else:
    import _signal  # the enumerations of `signal` cost a child a millisecond

#: A reply: the child's identifier, or minus the errno of a failed fork; and later the
#: status that waitpid gave for the child.
REPLY = Struct("<i")


def _head(handles: Sequence[int]) -> bytes:
    """What a message of one reply begins with."""
    packet = padded_packet(Message([REPLY.pack(0)], handles, pickled=False), 1)
    assert packet is not None
    return bytes(packet[0])


_BARE, _WITH_HANDLE = _head(()), _head((0,))


class Setup:
    """The first message to a new server: what to import before the first fork."""

    def __init__(
        self,
        modules: Sequence[str],
        main: _main_module.Description | None,
        asked: Sequence[str] = (),
        on_error: OnError = "ignore",
    ) -> None:
        self.modules = [name for name in modules if name not in asked]
        self.main = main
        self.asked = asked
        self.on_error = on_error
        self.argv = sys.argv
        #: What concerns what is imported ahead.
        self.state = captured_state(ahead=True)

    def apply(self) -> None:
        """Import what can be imported; a child that needs the rest says what failed.

        Raises:
            BaseException: what was asked for cannot be imported, and this is to fail.
        """
        sys.argv[:] = self.argv
        for restore, state in self.state:
            restore(state)
        for name in dict.fromkeys(("__main__", *self.asked, *self.modules)):
            try:
                if name == "__main__":
                    _main_module.install(self.main)
                else:
                    __import__(name)
            except KeyboardInterrupt:
                raise  # all are to end: a module cannot be meant
            except BaseException as error:
                if name in self.asked:
                    self._failed(name, error)

    def _failed(self, name: str, error: BaseException) -> None:
        if self.on_error == "fail":
            error.add_note(f"The fork server was told to import {name} ahead.")
            raise error
        if self.on_error == "warn":
            import warnings

            text = f"cannot import {name} ahead: {type(error).__name__}: {error}"
            with warnings.catch_warnings():
                # Python's own filters hide this category.
                warnings.simplefilter("always")
                warnings.warn(text, ImportWarning, stacklevel=2)


class _Server:
    def __init__(self, requests: PacketChannel) -> None:
        self._requests = requests
        self._replies: dict[int, _socket.socket] = {}
        # SIGCHLD wakes the poll up through a pipe: the signal handler itself runs
        # only when Python gets to it, and poll would go on sleeping.
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        # A Ctrl-C is for the programs that use the server, which outlives some of them.
        self._interrupt = _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
        _signal.set_wakeup_fd(self._wake)

    def serve(self) -> None:
        """Fork on request until nobody is left who could ask, and no child runs."""
        poller = select.poll()
        poller.register(self._requests.fileno(), select.POLLIN)
        poller.register(self._woken, select.POLLIN)
        asked = True
        while asked or self._replies:
            for fd, _ in poller.poll():
                if fd == self._woken:
                    self._reap()
                elif not self._request():
                    poller.unregister(fd)
                    asked = False

    def _reap(self) -> None:
        try:
            os.read(self._woken, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            reply = self._replies.pop(pid, None)
            if reply is not None:
                _answer(reply, status)
                reply.close()

    def _request(self) -> bool:
        """Serve one request; False when nobody is left who could ask."""
        try:
            received = self._requests.try_recv()
        except EOFError:
            return False
        except HandleError:
            # No more descriptors can be opened here, and so those of the request were
            # lost; whoever asked sees its reply channel closed, but not this one.
            return True
        if received is not None:
            if len(received.handles) == 2:
                self._fork(received)
            else:
                received.close()
        return True

    def _fork(self, received: Received) -> None:
        startup, reply = map(adopt, received.handles)
        received.handles = []
        pid, code, failure = -1, 1, 0
        server = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                self._leave()
                reply.close()
                code = run_child(PacketChannel(startup))
                _bootstrap.flush()
        except OSError as error:
            failure = error.errno or errno.EAGAIN
        finally:
            if os.getpid() != server:
                os._exit(code)
        if pid > 0:
            self._replies[pid] = reply
            self._tell(reply, pid)
        else:
            _answer(reply, -failure)
            reply.close()
        startup.close()

    # Every page that this one touches while the child lives has to be copied: few
    # objects, and as little of the channels as possible.
    def _tell(self, reply: _socket.socket, pid: int) -> None:
        try:
            watch = open_pidfd(pid)
        except OSError:
            watch = -1  # no descriptors left: whoever asked opens its own
        _answer(reply, pid, watch)
        if watch != -1:
            os.close(watch)

    def _leave(self) -> None:
        """In a child: let go of all that is the server's, the requests first.

        Whoever sees its reply channel closed takes the server for dead if this one is
        closed too.
        """
        self._requests.close()
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, self._interrupt)
        os.close(self._woken)
        os.close(self._wake)
        for reply in self._replies.values():
            reply.close()
        _bootstrap.forget_exit()


def _answer(reply: _socket.socket, number: int, handle: int = -1) -> None:
    head, handles = (_BARE, ()) if handle == -1 else (_WITH_HANDLE, (handle,))
    try:
        while True:
            try:
                send_packet(reply, (head, REPLY.pack(number)), handles)
                break
            except BlockingIOError:
                time.sleep(0.001)  # too many descriptors are in flight
    except OSError:
        pass  # whoever asked is gone, or no longer wants to know


def served(fd: int) -> None:
    """What a fresh interpreter calls to be a fork server; it does not return."""
    requests = _requests(fd)
    code = 0
    try:
        _bootstrap.occupy_streams()
        # The main module is not to read what its program is to read.
        _bootstrap.replace_stdin()
        setup: Setup = unpickle(requests.recv())
        masked = not _bootstrap.unmask_interrupts()
        try:
            setup.apply()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            code = 1
            _say_why(requests, error)
            return
        if _threads() > 1:
            _start_over(fd, masked)
        _serve(requests)
    except EOFError:
        pass
    except KeyboardInterrupt:
        code = 1  # the next start has another server
    except BaseException as error:
        code = 1
        _bootstrap.report("In the fork server:\n", error)
    finally:
        os._exit(code)


def _say_why(requests: PacketChannel, error: BaseException) -> None:
    """Leave word for all who may ask: it can be read when this server is gone."""
    text = _bootstrap.report("In the fork server:\n", error)
    try:
        requests.sock.send(text.encode(errors="replace")[-REPORT_LIMIT:], NOSIGNAL)
    except OSError:
        pass  # nobody is left


def served_bare(fd: int) -> None:
    """As `served`, after the set-up was found to start threads."""
    code = 0
    try:
        _bootstrap.unmask_interrupts()
        _serve(_requests(fd))
    except KeyboardInterrupt:
        code = 1
    except BaseException as error:
        code = 1
        _bootstrap.report("In the fork server:\n", error)
    finally:
        os._exit(code)


def _requests(fd: int) -> PacketChannel:
    os.set_inheritable(fd, False)
    requests = PacketChannel(adopt(fd))
    # Nobody who is forked here may hold it: its end is how others notice ours.
    close_after_fork(requests)
    return requests


def _serve(requests: PacketChannel) -> None:
    # What children would import by themselves: their way back to this server, and what
    # daemonic ones need.
    for name in ("mp_process._forkserver_posix", "fcntl"):
        __import__(name)
    _bootstrap.flush()  # or each child would write it again
    # A child's collector would write to every object of the server's, and the kernel
    # copy every page of it.
    gc.collect()
    gc.freeze()
    _Server(requests).serve()


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # no /proc: only Python's own can be counted
        threading = sys.modules.get("threading")
        return 1 if threading is None else threading.active_count()


def _start_over(fd: int, masked: bool) -> None:
    """Become a server that has imported nothing.

    A module that was imported ahead has started a thread.  Children forked from here
    could find its locks held for ever.
    """
    os.set_inheritable(fd, True)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_bootstrap.SIGINT,))
    more = [_bootstrap.MASKED] if masked else []
    if _freezing.is_frozen():
        path = sys.executable
        command = _freezing.command(path, __name__, "served_bare", fd)
        os.execv(path, [*command, *more])
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from {__name__} import served_bare; served_bare({fd})"
    )
    command = [sys.executable, *interpreter_flags(), "-c", code, str(fd)]
    os.execv(sys.executable, [*command, *more])
