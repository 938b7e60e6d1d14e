"""Log records of children, handled where they were asked for; see `forward_logs`.

Children send over the near end of one packet pair: each record is one message, whole or
not at all, and those of a process arrive in the order in which it sent them.  A thread
of the process that asked receives them at the far end.

Forked children have the near end and this module's state from their parent.  Others
are told by a `Provider`.  Importing this imports `logging`.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from _socket import SHUT_RD
from functools import partial
from operator import call

from mp_connection import get_logger
from mp_connection.channel import (
    Message,
    PacketChannel,
    adopt,
    packet_pair,
    ready_to_read,
)
from mp_connection.errors import ChannelClosedError, FramingError, HandleError
from mp_connection.lifecycle import (
    Provider,
    after_fork,
    at_exit,
    close_after_fork,
    run_exit_callbacks,
)
from mp_process._descriptor import Descriptor, close_for_good, no_fork
from mp_process._log_records import encode, handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

#: How long a fork waits for the handling of a record, in seconds.
_HANDLING_SECONDS = 1.0


class LogForwarding:
    """What `forward_logs` returns; also a context manager.

    Any thread may use it.  In other processes than the one that asked, it does nothing.
    """

    def __init__(self, receiver: PacketChannel, stream: _Stream) -> None:
        self._pid = os.getpid()
        self._stream = stream
        self._receiver = receiver
        self._thread = _Thread(self._receive)
        self._stopping = threading.Lock()
        self._stopped = False
        self._cancel = at_exit(self.stop, priority=-20)  # after the children's end

    def stop(self) -> None:
        """Handle what children have sent until now, and listen no more.

        Children that run go on with the handlers that they would have without
        forwarding, and those that are started later know nothing of it.  A second call
        does nothing.
        """
        global _current
        if os.getpid() != self._pid:
            return
        with self._stopping:
            if self._stopped:
                return
            self._stopped = True
            if _current is self._stream:
                _current = self._stream.outer
            self._cancel()
            # From now on nobody can send; what was sent before can be received still,
            # and an end-of-file comes after it.
            self._receiver.sock.shutdown(SHUT_RD)
            close_for_good(self._stream.channel)
        if threading.current_thread() is not self._thread:  # a handler stops it
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _receive(self) -> None:
        receiver = self._receiver
        try:
            while True:
                # Not in `recv`, which looks around several times a second.
                ready_to_read(receiver.fileno(), None)
                try:
                    data = bytes(receiver.recv().parts[0])
                except (FramingError, HandleError, MemoryError):
                    _report()  # a large record, and no descriptors or memory for it
                    continue
                with _handling:
                    try:
                        handle(data)
                    except Exception:
                        _report()
        except EOFError:
            pass
        finally:
            receiver.close()


LogForwarding.__module__ = "mp_process"


class _Thread(threading.Thread):
    #: Nobody has to be warned of it: no fork takes place while it handles a record.
    forks_safely = True

    def __init__(self, receive: Callable[[], None]) -> None:
        super().__init__(target=receive, name="forward_logs", daemon=True)


class _Stream:
    """Where children send to, and what for."""

    def __init__(
        self, channel: PacketChannel, asked: list[str], outer: _Stream | None
    ) -> None:
        self.channel = channel
        self.asked = asked  # names of loggers; none for all
        self.outer = outer  # what applied in this process before
        self.owner: int = os.getpid()
        self.handler: _Sender = _Sender(channel)

    def tops(self) -> list[str]:
        """The loggers that send: what propagates from below gets there."""
        if self.asked:
            return self.asked
        return ["root"] + [
            logger.name
            for logger in _loggers()
            if logger.handlers and not logger.propagate and logger.name != "root"
        ]

    def install(self, tops: list[str]) -> None:
        """In a child: send what arrives at these loggers.

        Other handlers of theirs, and of the loggers below, are put aside: they stand
        in the parent, where the records arrive.
        """
        for name in tops:
            logging.getLogger(name)  # exists
        for logger in _loggers():
            if logger.name in tops:
                self.handler.take_place(logger)
            elif logger.handlers and _propagates(logger, tops):
                self.handler.clear(logger)


class _Sender(logging.Handler):
    """Sends records; puts things back when nobody listens any more.

    It is made in the parent, and used in children only.
    """

    def __init__(self, channel: PacketChannel) -> None:
        super().__init__()
        self._channel = channel
        self._aside: list[tuple[logging.Logger, list[logging.Handler]]] = []

    # The locks of handlers are not taken: in a child that was just forked, they may be
    # those of threads that are gone.

    def take_place(self, logger: logging.Logger) -> None:
        """Be the only handler of a logger."""
        if logger.handlers != [self]:
            self.clear(logger)
            logger.handlers[:] = [self]

    def clear(self, logger: logging.Logger) -> None:
        """Put aside the handlers of a logger."""
        self._aside.append((logger, logger.handlers[:]))
        logger.handlers.clear()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; blocks while the kernel's buffer is full."""
        try:
            data = encode(record)
            try:
                self._channel.send(Message([data], pickled=False))
            except (ConnectionError, ChannelClosedError):
                self._fall_back(record)
        except Exception:
            self.handleError(record)

    def _fall_back(self, record: logging.LogRecord) -> None:
        """Log as if nobody had asked, this record first."""
        global _current
        if _current is not None and _current.handler is self:
            _current = None
        aside, self._aside = self._aside, []
        for logger, handlers in aside:
            logger.handlers[:0] = handlers
        for logger in _loggers():
            if self in logger.handlers:
                logger.handlers.remove(self)
        close_for_good(self._channel)
        logging.getLogger(record.name).callHandlers(record)


def _loggers() -> list[logging.Logger]:
    """Those that exist."""
    found = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(x for x in found if isinstance(x, logging.Logger))]


def _propagates(logger: logging.Logger, tops: list[str]) -> bool:
    step: logging.Logger | None = logger
    while step is not None and step.name not in tops:
        step = step.parent if step.propagate else None
    return step is not None


def _report() -> None:
    if logging.raiseExceptions:
        sys.excepthook(*sys.exc_info())


# ------------------------------------------------------------------ the processes

#: What children of this process are to do, if anything.
_current: _Stream | None = None


def forward_logs(*loggers: str) -> LogForwarding:
    """Have this process's handlers handle what its children log, and theirs.

    It concerns children that are started, by any method, until `stop` of what it
    returns.  They begin with the levels of this process's loggers, and send what gets
    past those to it.  Here a thread hands each record to the logger of its name, which
    has its say by its level and filters before its handlers get it.  Records of one
    process arrive in their order, with the process's own name, number and time; the
    message is made in the child, and an exception is text.

    A record is lost only if its process is killed before it is sent, or this one before
    it is handled.  Logging blocks a child while the kernel's buffer is full, until the
    thread here catches up: no call has to be made for that.  At the exit of this
    process, what its children log until their end is handled.  A child whose parent has
    died, or has stopped, goes on by itself with the handlers that it would have had.

    Handlers that a child adds are its own.  A main module that configures logging
    should do so behind its guard, or spawned children do the same.

    Args:
        loggers: names of those that send, each with all below that propagates to it.
            None: the root logger, and those with handlers that do not propagate.

    Raises:
        RuntimeError: this process does so already, or can start no thread.
        OSError: no descriptors are left.

    Any thread may call it.  A process may forward what its own children log, too, and
    sends it on with its own if its parent has asked for that.
    """
    global _current
    outer = _current
    if outer is not None and outer.owner == os.getpid():
        raise RuntimeError("logs are forwarded already: stop that first")
    asked = [logging.getLogger(name).name for name in loggers]
    with no_fork:
        near, far = [PacketChannel(end, True) for end in packet_pair(shared=True)]
        close_after_fork(far)
    stream = _Stream(near, asked, outer)
    forwarding = LogForwarding(far, stream)
    _at_exit_before_logging()
    try:
        forwarding._thread.start()
    except RuntimeError:  # there can be no more threads
        forwarding._cancel()
        near.close()
        far.close()
        raise
    _current = stream
    return forwarding


_registered_in = 0


def _at_exit_before_logging() -> None:
    """Wait for children at exit before `logging` shuts its handlers down.

    Functions of `atexit` run last in, first out, and its own may be a later one than
    ours.
    """
    global _registered_in
    if _registered_in != os.getpid():
        _registered_in = os.getpid()
        atexit.register(run_exit_callbacks)


#: Held while a record is handled, and by who forks: what a handler holds would be held
#: for ever in the child.
_handling = threading.RLock()


def _install() -> None:
    """In a forked child."""
    if _current is not None and _current.handler._aside == []:
        _current.install(_current.tops())


def _capture() -> object:
    stream = _current
    if stream is None:
        return None
    with no_fork:
        try:
            near = Descriptor(os.dup(stream.channel.fileno())).private()
        except OSError:
            if stream.channel.fileno() != -1:
                raise
            return None  # stopped just now
    levels = {x.name: x.level for x in _loggers() if x.level}
    tops = stream.tops()
    apart = [name for name in tops if not logging.getLogger(name).propagate]
    return near, stream.asked, tops, apart, levels, logging.root.manager.disable


def _restore(state: Any) -> None:
    """In a child that was not forked."""
    global _current
    near, asked, tops, apart, levels, disable = state
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.disable(disable)
    if "multiprocessing" in tops:
        get_logger()  # begins with the handler of `log_to_stderr`, to be put aside
    for name in apart:
        logging.getLogger(name).propagate = False
    _current = _Stream(PacketChannel(adopt(near.take()), True), asked, None)
    _current.owner = 0
    _current.install(tops)


_provider = Provider("mp_process.logs", _capture, _restore)
after_fork(_install)
if hasattr(os, "register_at_fork"):
    # Functions of C, which no exception from a signal handler can break into.  There is
    # a limit, because a handler may wait for what the thread that forks holds, or for
    # the network; then there is nothing to release afterwards.
    _owned: Callable[[], bool] = getattr(_handling, "_is_owned")  # noqa: B009
    _steps = {True: _handling.release, False: os.getpid}
    os.register_at_fork(
        before=partial(_handling.acquire, timeout=_HANDLING_SECONDS),
        # Each `next` asks whether this thread holds the lock, and calls one of the two.
        after_in_parent=map(call, map(_steps.__getitem__, iter(_owned, None))).__next__,
        after_in_child=getattr(_handling, "_at_fork_reinit"),  # noqa: B009
    )
