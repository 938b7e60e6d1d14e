"""Start method forkserver: a child of the fork server, which is clean and warm."""

from __future__ import annotations

import os
import sys

assert sys.platform != "win32"

import errno
import time
from _thread import RLock

from mp_connection.channel import (
    Message,
    PacketChannel,
    adopt,
    packet_pair,
    pickle_message,
    ready_to_read,
)
from mp_connection.errors import HandleError
from mp_connection.lifecycle import Provider, after_fork, at_exit, close_after_fork
from mp_process import _bootstrap, _main_module
from mp_process._bootstrap import lend_streams
from mp_process._child import EXIT_UNKNOWN, REPORT_LIMIT, Child, OwnedChannel, peek
from mp_process._descriptor import Descriptor, close_for_good, no_fork
from mp_process._here import active_children
from mp_process._interpreter_posix import send_path, start_interpreter, startup_pair
from mp_process._lifeline import Lifeline
from mp_process._sentinel_posix import Watch
from mp_process._server_posix import REPLY, Setup
from mp_process._startup import Preparation, process_message
from mp_process.errors import ForkServerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_process._context import OnError
    from mp_process._process import BaseProcess

#: How long a server may take to end once nobody can ask it any more, or from the moment
#: its channel is closed to that when it can be waited for.
_GRACE_SECONDS = 1.0


class ServedChild(Child):
    """A child of the fork server, seen from the process that asked for it."""

    __slots__ = ("_reply", "_server_is_gone")

    def __init__(
        self,
        pid: int,
        sentinel: Descriptor,
        lifeline: Lifeline,
        startup: OwnedChannel,
        reply: OwnedChannel,
        pidfd: bool,
    ) -> None:
        self._reply = reply
        self._server_is_gone = False
        super().__init__(pid, sentinel, lifeline, startup, pidfd)

    def _reap(self) -> int | None:
        if not self._server_is_gone:
            packet = peek(self._reply, 64)
            if packet is None:
                return None
            if packet:
                return os.waitstatus_to_exitcode(_number(packet))
            self._server_is_gone = True
        # The child lives on without its server, but its status will be init's.
        return EXIT_UNKNOWN if ready_to_read(self.sentinel.fileno(), 0) else None

    def _waiting_fd(self) -> int:
        # The sentinel fires first; the status comes a moment later.
        gone = self._server_is_gone
        return self.sentinel.fileno() if gone else self._reply.fileno()

    def _ended(self, code: int) -> None:
        super()._ended(code)
        self._reply.close()

    def close(self) -> None:
        super().close()
        self._reply.close()


def _number(packet: bytes) -> int:
    number: int = REPLY.unpack(packet[-REPLY.size :])[0]
    return number


class ForkServer:
    """The fork server of this tree of processes, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._requests: PacketChannel | None = None
        self._pid: int | None = None  # where this process is the one that started it
        self._ended: list[int] = []  # servers of this process to be waited for
        self._stops_at_exit = False
        #: The server's environment, where this process or a fork of it has started it.
        self._environ: dict[str, str] | None = None
        self._asked: list[str] = []
        self._on_error: OnError = "ignore"
        self._refusal = ""  # why the last server ended, if it has said so

    def preload(self, modules: list[str], on_error: OnError) -> None:
        """What the next server imports ahead, and what if it cannot."""
        self._asked, self._on_error = modules, on_error

    def adopt(self, requests: PacketChannel) -> None:
        """Use a server that another process of the tree has started."""
        self._requests = requests
        self._environ = None

    def changed_environment(self) -> dict[str, str] | None:
        """The environment, unless it is known to be the server's."""
        environ = os.environ.copy()
        return None if environ == self._environ else environ

    def capture(self) -> Descriptor | None:
        """The way to the server, for a child that is not forked."""
        with self._lock, no_fork:
            if self._requests is None:
                return None
            return Descriptor(os.dup(self._requests.fileno())).private()

    def forked(self) -> None:
        """In a forked child: it may ask the server, but is not its parent."""
        self._lock = RLock()
        self._pid = None
        self._ended = []
        self._stops_at_exit = False

    @property
    def pid(self) -> int | None:
        """The server's identifier, if this process has started it and it is in use."""
        return self._pid

    def stop(self) -> None:
        """Forget the server; end it, if nobody else can ask it.

        It ends when the last process that could ask it has let go.  Where that is this
        one, which has started it and has no children that run, it is waited for.
        """
        with self._lock:
            self._forget(self._requests)
            self._reap(0.0 if active_children() else _GRACE_SECONDS)

    def lost(self, requests: PacketChannel) -> None:
        """Note that the server at the far end of *requests* is dead."""
        with self._lock:
            self._forget(requests)
            self._reap(_GRACE_SECONDS)

    def _forget(self, requests: PacketChannel | None) -> None:
        # Another thread may have started a new one already, which is to stay.
        if requests is None or requests is not self._requests:
            return
        self._requests = None
        self._refusal = (peek(requests, REPORT_LIMIT) or b"").decode(errors="replace")
        requests.close()
        pid, self._pid = self._pid, None
        if pid is not None:
            self._ended.append(pid)

    def _reap(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        pause = 0.0005
        while self._ended:
            for pid in list(self._ended):
                try:
                    ended = os.waitpid(pid, os.WNOHANG)[0]
                except ChildProcessError:
                    ended = pid
                if ended:
                    self._ended.remove(pid)
            if not self._ended or time.monotonic() >= deadline:
                break
            time.sleep(pause)
            pause = min(2 * pause, 0.02)

    def ask(
        self, process: BaseProcess, startup: int
    ) -> tuple[OwnedChannel, PacketChannel]:
        """Have a child forked that reads *startup*.

        Returns:
            The channel of the reply, and that of the server which was asked.

        Raises:
            ForkServerError: the server died, and so did the next one; or it was not
                to go on without a module that it cannot import.
        """
        with self._lock:
            for _ in range(2):
                self.check()
                requests = self._requests
                try:
                    if requests is None:
                        requests = self._start(_modules_of(process))
                    return self._request(requests, startup), requests
                except BrokenPipeError:
                    self._forget(requests)
                    self._reap(_GRACE_SECONDS)
            self.check()
        raise ForkServerError("the fork server ended as soon as it was started")

    def ensure_running(self) -> None:
        """Start a server if none runs.

        Raises:
            ForkServerError: the last one said that it could not go on.
            OSError: the system has no more processes or descriptors.
        """
        with self._lock:
            # A server says nothing on this channel but why it ends.
            if self._requests is not None and ready_to_read(self._requests.fileno(), 0):
                self.lost(self._requests)
            self.check()
            if self._requests is None:
                self._start([])

    def check(self) -> None:
        """Raise ForkServerError if the last server has said why it ended."""
        refusal, self._refusal = self._refusal, ""
        if refusal:
            raise ForkServerError(refusal.rstrip())

    def _request(self, requests: PacketChannel, startup: int) -> OwnedChannel:
        with no_fork:
            reply, theirs = map(OwnedChannel, packet_pair(shared=False))
            close_after_fork(reply)
            close_after_fork(theirs)
        try:
            requests.send(Message([b"fork"], [startup, theirs.fileno()], pickled=False))
        except BaseException:
            reply.close()
            raise
        finally:
            close_for_good(theirs)
        return reply

    def _start(self, modules: list[str]) -> PacketChannel:
        setup = pickle_message(
            Setup(
                modules,
                _main_module.describe(),
                self._asked,
                self._on_error,
            ),
            "the server's set-up",
        )
        # Forked children may ask the server too: they keep this end.
        requests, far = startup_pair(private=False)
        environ = os.environ.copy()
        try:
            pid = start_interpreter(far.fileno(), "mp_process._server_posix", "served")
        except BaseException:
            requests.close()
            raise
        finally:
            close_for_good(far)
        self._requests, self._pid, self._environ = requests, pid, environ
        if not self._stops_at_exit:
            # After the children, whose statuses it tells.
            self._stops_at_exit = True
            at_exit(self.stop, priority=-10)
        try:
            send_path(requests)
            requests.send(setup)
        except BaseException:
            self._forget(requests)
            raise
        return requests


def _modules_of(process: BaseProcess) -> list[str]:
    """Modules that the first child of a server needs, and so will the next."""
    parts = process, *process._args, *process._kwargs.values()
    names = [getattr(process._target, "__module__", None)]
    names += [type(part).__module__ for part in parts]
    return [name for name in names if isinstance(name, str) and name != "__main__"]


_server = ForkServer()


def fork_server() -> ForkServer:
    """The fork server of this tree of processes."""
    return _server


def _restore(state: object) -> None:
    assert isinstance(state, Descriptor)
    _server.adopt(PacketChannel(adopt(state.take())))


after_fork(_server.forked)
_provider = Provider("mp_process.forkserver", _server.capture, _restore)


def launch_forkserver(process: BaseProcess) -> Child:
    """Start *process* as a child of the fork server.

    Raises:
        UnpicklableError: part of it cannot be pickled; nothing was started.
        ForkServerError: the server died twice in a row; nothing was started.
        OSError: the system, this process or the server has no more processes or
            descriptors; nothing was started.
    """
    message = process_message(process)
    _bootstrap.flush()  # what was printed before the start comes before the child's
    for _ in range(2):
        child = _launch(process, message)
        if child is not None:
            return child
    _server.check()
    raise ForkServerError("the fork server ended twice instead of starting a process")


def _launch(process: BaseProcess, message: Message) -> Child | None:
    """The child, or None if the server died instead."""
    with no_fork:
        watch, lifeline = Watch(), Lifeline()
        lifeline.child_end.private()
        if watch.child_end is not None:
            watch.child_end.private()
        startup, far = startup_pair()
    reply = child = preparation = None
    try:
        try:
            reply, requests = _server.ask(process, far.fileno())
        finally:
            close_for_good(far)
        # The way to the server travels in it, so there has to be one already.
        preparation = Preparation(process, lifeline.child_end, watch.child_end)
        preparation.environ = _server.changed_environment()
        preparation.streams = lend_streams()
        _send(startup, preparation.message())
        preparation.let_go()
        answer = _answer(reply, requests)
        if answer is None:
            # A child that exists nevertheless reads end-of-file where its process
            # object should be, and runs nothing.
            return None
        pid, sentinel = answer
        by_pidfd = sentinel is not None or watch.by_pidfd
        child = ServedChild(
            pid, sentinel or watch.sentinel(pid), lifeline, startup, reply, by_pidfd
        )
        _send(startup, message)
    except BaseException:
        if child is not None:
            child.abandon()
            child = None
        raise
    finally:
        if preparation is not None:
            preparation.let_go()
        lifeline.child_end.close()
        watch.close_child_end()
        if child is None:
            close_for_good(startup)
            if reply is not None:
                reply.close()
    return child


def _send(startup: PacketChannel, message: Message) -> None:
    try:
        startup.send(message)
    except BrokenPipeError:
        pass  # it was killed: that is its exit code, and known when somebody asks


def _answer(
    reply: PacketChannel, requests: PacketChannel
) -> tuple[int, Descriptor | None] | None:
    """What the server says: a new child and its pidfd.  None: the server is dead."""
    try:
        received = reply.recv()
    except EOFError:
        fd = requests.fileno()  # another thread may have closed it
        if fd == -1 or ready_to_read(fd, _GRACE_SECONDS):
            _server.lost(requests)
            return None
        raise OSError(
            errno.EMFILE, "the fork server can open no more descriptors"
        ) from None
    except HandleError as error:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error
    pid = _number(bytes(received.parts[0]))
    if pid < 0:
        raise OSError(-pid, f"the fork server cannot fork: {os.strerror(-pid)}")
    if not received.handles:
        return pid, None
    return pid, Descriptor(received.handles.pop()).private()
