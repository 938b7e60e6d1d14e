"""What the callers of a pool and its I/O thread share, without a lock.

Each change here is one operation of a list, deque or dict, which no other thread and
no exception raised by a signal handler can split.  So Ctrl-C may strike anywhere: what
a caller had begun, the I/O thread finds here and completes.
"""

from __future__ import annotations

from collections import deque
from itertools import count

from mp_pool._platform import RECEIVE, SEND_NOW, Poller, Waker
from mp_pool._result import AsyncResult
from mp_pool._wire import WHOLE
from mp_pool.errors import BrokenPoolError, PoolTerminatedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from mp_pool._jobs import Chunk, Collected
    from mp_pool._lane import Lane
    from mp_pool._packs import LightCall
    from mp_pool._platform import Packet
    from mp_pool._result import Failure
    from mp_pool._stream import Stream

    Request: TypeAlias = (
        "Collected | LightCall | Call | Feed | Again | Cancellation | str"
    )

#: States that callers see.
OPEN, CLOSED, TERMINATED, BROKEN, FOREIGN = (
    "RUN",
    "CLOSE",
    "TERMINATE",
    "BROKEN",
    "FOREIGN",
)

#: Requests to the I/O thread that are nothing to be run.  `HURRY`: somebody waits for
#: the pool to be done.
CLOSE, TERMINATE, HURRY = "close", "terminate", "hurry"

_RECEIVE = (RECEIVE,)
_SEND = (SEND_NOW,)


class Call:
    """A task that a caller sends by itself, to a worker that it has taken.

    Args:
        serial: the number of the chunk.
        function: what the task calls.
        data: its pickle, which is one packet.
        result: where the I/O thread puts the answer; None if the caller waits for the
            answer by itself, until it hands the call over.

    Attributes:
        sent: not empty when the task was sent.
        inbox: the first packet of the answer.
        answered: that packet was the answer, and the caller has it.
        deferred: there was a result from the beginning.
    """

    __slots__ = (
        "answered",
        "data",
        "deferred",
        "function",
        "inbox",
        "result",
        "sent",
        "serial",
    )

    def __init__(
        self,
        serial: int,
        function: Callable[..., object],
        data: bytes,
        result: AsyncResult[Any] | None = None,
    ) -> None:
        self.serial = serial
        self.function = function
        self.data = data
        self.result = result
        self.deferred = result is not None
        self.sent: list[object] = []
        self.inbox: list[Packet] = []
        self.answered = False


class Feed:
    """Chunks of a stream.

    Args:
        stream: the stream.
        chunks: to be run.
        last: no more will come.
    """

    __slots__ = ("chunks", "last", "stream")

    def __init__(self, stream: Stream, chunks: list[Chunk], last: bool) -> None:
        self.stream = stream
        self.chunks = chunks
        self.last = last


class Again:
    """What a chunk was made into, to be run in its place.

    Args:
        chunk: the chunk, which could not be unpickled.
        chunks: its tasks, one by one.
    """

    __slots__ = ("chunk", "chunks", "failures")

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.chunks: list[Chunk] = []
        self.failures: list[tuple[int, Failure]] = []


class Cancellation:
    """A call is not wanted any more.

    Args:
        result: its result.
        running: also if it runs already.
    """

    __slots__ = ("result", "running")

    def __init__(self, result: AsyncResult[Any], running: bool) -> None:
        self.result = result
        self.running = running


class Desk:
    """Where callers leave requests and find idle workers.

    Attributes:
        state: of the pool, for callers.
        idle: workers to try; `claims` decides.
        claims: who has a worker: a `Call` that leads it, or the desk itself while it
            is the I/O thread's.  A worker that is not here is to be had.
        recall: callers are to give workers back to the I/O thread, and to ask it.
        requests: what the I/O thread has to see to.
        sleeping: the I/O thread may have to be woken.
        full: nothing could be sent just now, and the I/O thread will look at requests
            of work when that changes.
        urgent: there may be requests that cannot wait for that.
        finished: there is no I/O thread any more.
        watch: has the I/O thread woken by what comes to a descriptor.
        reason: why the pool is broken, and the exception that is the cause.
    """

    def __init__(self) -> None:
        self.watch: Callable[[int, int], None]
        self.state = OPEN
        self.serials = count(1)
        self.idle: list[Lane] = []
        self.claims: dict[Lane, Call | Desk] = {}
        self.recall = True
        self.requests: deque[Request] = deque()
        self.sleeping = False
        self.full = False
        self.urgent = False
        self.finished = False
        self.waker = Waker()
        self.reason = ""
        self.cause: BaseException | None = None

    def error(self) -> BaseException:
        """Why nothing runs any more."""
        if self.state == BROKEN:
            error = BrokenPoolError(self.reason)
            error.__cause__ = self.cause
            return error
        if self.state == TERMINATED:
            return PoolTerminatedError("the pool was terminated before the task ended")
        return ValueError("Pool not running")

    def post(self, request: Request) -> None:
        """Have the I/O thread see to something, soon."""
        self.requests.append(request)
        self.urgent = True
        if self.sleeping:
            self.waker.set()

    def post_work(self, request: LightCall | Feed) -> None:
        """Have the I/O thread see to something when workers can take it.

        A caller that is interrupted here has to set the waker.
        """
        self.requests.append(request)
        if self.sleeping and not self.full:
            # Once is enough, until it goes to sleep again.
            self.sleeping = False
            self.waker.set()

    def lead(self, call: Call) -> bytes | None:
        """Carry a call through with an idle worker: one round trip, no other thread.

        Returns:
            The packet of the answer; or None, when the call has to be given to the I/O
            thread, or has been, which it has if it was sent.
        """
        try:
            try:
                lane = self.idle.pop()
            except IndexError:
                return None
            if self.claims.setdefault(lane, call) is not call:
                return None
            try:
                # One call of C each: what has happened is known, whatever interrupts.
                call.sent.extend(map(lane.send, (call.data,), _SEND))
                lane.look_out()
                call.inbox.extend(map(lane.receive, _RECEIVE))
                packet, control, _, _ = call.inbox[0]
                if packet and packet[0] in WHOLE and not control:
                    call.answered = True
                    lane.traffic += len(call.data) + len(packet)
                    self._give_back(lane, call)
                    return packet
                # Otherwise the answer is large, or there will be none.
            except OSError:
                pass  # the worker is gone, or about to be
            self._hand_over(call)
            return None
        except BaseException:
            self.post(call)
            self.waker.set()  # `post` may have been interrupted before it did
            raise

    def dispatch(self, call: Call) -> bool:
        """Send a call to an idle worker; the I/O thread receives the answer.

        Returns:
            False when there is none, and the call is for the I/O thread to send.
        """
        try:
            try:
                lane = self.idle.pop()
            except IndexError:
                return False
            if self.claims.setdefault(lane, call) is not call:
                return False
            try:
                call.sent.extend(map(lane.send, (call.data,), _SEND))
            except OSError:
                self.post(call)  # the worker is gone, or about to be
                return False
            lane.traffic += len(call.data)
            # The answer wakes the I/O thread, which finds whose it is.  So does the
            # end of the worker, also if it came before this.
            try:
                self.watch(lane.channel.fileno(), Poller.READ)
            except (OSError, ValueError):
                pass  # the I/O thread has failed, and failed this call as well
            return True
        except BaseException:
            self.post(call)
            self.waker.set()
            raise

    def _give_back(self, lane: Lane, call: Call) -> None:
        if self.recall:
            self.post(call)
            return
        del self.claims[lane]
        self.idle.append(lane)
        self._mind_recall()

    def _mind_recall(self) -> None:
        """Wake the I/O thread if it looked for a worker just before this was free."""
        if self.recall:
            self.waker.set()

    def _hand_over(self, call: Call) -> None:
        """Leave the rest of a call to the I/O thread."""
        if call.sent:
            call.result = AsyncResult()
        self.post(call)
