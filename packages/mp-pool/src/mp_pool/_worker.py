"""The worker process: receives chunks, runs their tasks, answers, in order.

Its order of steps is what the parent relies on after a death: a task is noted before
it runs, and the note is removed after the answer was handed to the kernel.
"""

from __future__ import annotations

import sys
from time import monotonic_ns

from mp_connection.channel import Lookout, PacketChannel, adopt, unpickle
from mp_connection.handles import Handle
from mp_connection.lean import follow_reducers, loads
from mp_connection.lifecycle import close_after_fork
from mp_pool._failures import LOADING, PICKLING, RUNNING, failure, notice_of
from mp_pool._interrupts import Interrupts
from mp_pool._pack_runner import PackRunner
from mp_pool._platform import RECEIVE, receiver, sender
from mp_pool._progress import BUSY, DONE, FAILURES, Progress
from mp_pool._state import begin_worker, end_worker
from mp_pool._tasks import Runner, pickle_value
from mp_pool._wire import (
    BYTES,
    CALL,
    HELLO,
    NOTED,
    PICKLE,
    PLAIN,
    READY,
    REFUSED,
    TIMED,
    Notice,
    qualified_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

    from mp_connection.channel import Message
    from mp_connection.handles import ReceivedHandle
    from mp_pool._platform import Packet
    from mp_pool._terms import Setup
    from mp_pool._trace import Tracer

follow_reducers(globals())


class WorkerEnd:
    """What a worker holds of its connection to the pool.

    A forked worker finds it where the parent left it; others receive it.

    Args:
        sock: the worker's end of the packet pair, owned from now on.
        progress: the worker's memory, owned from now on.
    """

    __slots__ = ("progress", "sock")

    def __init__(self, sock: _socket.socket, progress: Progress) -> None:
        self.sock = sock
        self.progress = progress

    def close(self) -> None:
        """Close socket and memory.  A second call does nothing."""
        self.sock.close()
        self.progress.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_end, (Handle(self.sock.fileno()), self.progress)


def _rebuild_end(handle: ReceivedHandle, progress: Progress) -> WorkerEnd:
    return WorkerEnd(adopt(handle.take()), progress)


def run_worker(end: WorkerEnd, setup: Setup) -> None:
    """The life of a worker; it returns when the pool wants no more of it.

    Args:
        end: its end of the connection.
        setup: how it begins and ends.

    Raises:
        SystemExit: the initializer failed; the parent knows by then.
    """
    interrupts = Interrupts()
    interrupts.install()
    _leave_traceback_of_crashes(end.progress)
    channel = PacketChannel(end.sock)
    # A child that a task forks must neither answer nor take chunks.
    close_after_fork(channel)
    try:
        channel.send(Notice(HELLO).message())
        notice = Notice(READY)
        try:
            begin_worker(setup)
        except BaseException as error:
            notice = notice_of(REFUSED, 0, error, error)
        channel.send(notice.message())
        if notice.kind == REFUSED:
            sys.exit(1)
        _serve(channel, end.progress, interrupts, setup.make_tracer())
        end_worker(setup)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
    finally:
        channel.close()


def _leave_traceback_of_crashes(progress: Progress) -> None:
    """Have the parent find the traceback if this process crashes."""
    try:
        progress.catch_crashes()
    except (ImportError, OSError, ValueError):
        pass  # then its error has none


def _serve(
    channel: PacketChannel,
    progress: Progress,
    interrupts: Interrupts,
    tracer: Tracer | None,
) -> None:
    """Run chunks until end-of-file."""
    receive, send = receiver(channel.sock), sender(channel.sock)

    def send_any(answer: bytes | Message) -> None:
        if isinstance(answer, bytes):
            send(answer, 0)
        else:
            channel.send(answer)

    look_out = Lookout(channel.fileno).look
    runner = Runner(progress, interrupts, send_any)
    packs = PackRunner(progress, interrupts, send_any)
    begin, end, words = progress.begin, progress.end, progress.words
    start = began = count = 0
    while True:
        look_out()
        packet = receive(RECEIVE)
        if not packet[0]:
            return
        if packet[0][0] == BYTES and not packet[1]:
            start = int.from_bytes(packet[0][-8:], "little")
            continue
        step = LOADING
        value = None
        answer: bytes | Message | None
        try:
            try:
                interrupts.in_task = True
                task = _load(channel, packet)
                if type(task) is list:
                    interrupts.in_task = False
                    packs.run(*task)
                    continue
                serial, style, function, arguments, keywords = task
                if style & NOTED:
                    progress.forget_notes()  # lest they be taken for this chunk's
                if style & TIMED:
                    progress.note_time()
                count = 1 if style & PLAIN == CALL else len(arguments)
                begin(serial, start)
                began = monotonic_ns()
                step = RUNNING
                if tracer is not None:
                    function = tracer.traced(function, qualified_name(function))
                if style & PLAIN == CALL:
                    value = function(*arguments, **keywords)
                    step = PICKLING
                    answer = pickle_value(value)
                else:
                    answer = runner.run(style, function, arguments, start)
            finally:
                interrupts.in_task = False
        except BaseException as error:
            answer = failure(step, 0, error, value).message()
            if step != LOADING:
                words[FAILURES] += 1
        if step != LOADING:
            words[DONE] += count - start
            words[BUSY] += monotonic_ns() - began
            if tracer is not None:
                tracer.flush()
        start = 0
        if answer is not None:
            send_any(answer)
        end()
        # Nothing of a task may live on in a worker that is idle.
        packet = task = function = arguments = keywords = value = answer = None  # type: ignore[assignment]


def _load(channel: PacketChannel, packet: Packet) -> Any:
    data, control, flags, _ = packet
    if data[0] == PICKLE and not control:
        return loads(data)
    return unpickle(channel.received(data, control, flags))
