"""Packs: many small tasks that travel together, each of them pickled by itself.

What is sent together is decided when it is sent, by how long tasks take.  So a pack can
be divided anywhere and at any time: its first tasks go to one worker and the next ones
to another, what a worker has not begun comes back, and a death takes one task.
"""

from __future__ import annotations

from mp_connection.lean import dumps, loads
from mp_pool._jobs import Chunk, Job
from mp_pool._result import Alone, Failure, Outcome
from mp_pool._wire import (
    AHEAD,
    CALL,
    LIGHT,
    NOTED,
    PLAIN,
    PROTOCOL,
    qualified_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, ClassVar, Self, TypeAlias

    from mp_connection.lean import PickleBuffer
    from mp_pool._callbacks import Callback, Callbacks, ErrorCallback
    from mp_pool._result import Answer, AsyncResult

    #: A call that can travel in a pack: where its value goes, what it calls, that
    #: pickled (None if it is in the piece), the piece, and its callbacks.
    LightCall: TypeAlias = tuple[
        AsyncResult[Any],
        Callable[..., object],
        bytes | None,
        bytes,
        Callback[Any],
        ErrorCallback,
    ]

    #: Has one of the callbacks called, and then the result completed.
    Post: TypeAlias = Callable[[AsyncResult[Any], Callback[Any], ErrorCallback], None]

#: Tasks that travel together at most, and bytes of theirs.
MOST_TASKS = 256
MOST_BYTES = AHEAD

#: In the place of a call that was cancelled: ``bool()``.
_NOTHING = dumps((bool, (), {}), PROTOCOL)


class Pack(Chunk):
    """A chunk that can be divided.

    Args:
        job: the job that it is part of.
        first: the index of its first task among those of the job.
        functions: what the tasks call, pickled; for `CALL`, a list with one for each
            task.  None if it is pickled with the arguments.
        pieces: for each task its arguments, pickled.
        style: `CALL`, `MAP` or `STARMAP`.

    Attributes:
        dropped: tasks that were cancelled after they were sent.
        revoked: it was cut, and the worker will say when it has come that far.
    """

    __slots__ = ("dropped", "functions", "pieces", "revoked")

    divisible: ClassVar[bool] = True

    def __init__(
        self,
        job: Job,
        first: int,
        functions: bytes | list[bytes | None] | None,
        pieces: list[bytes],
        style: int,
    ) -> None:
        super().__init__(job, 0, first, b"", (), style | NOTED)
        self.functions = functions
        self.pieces = pieces
        self.count = len(pieces)
        self.dropped: set[int] = set()
        self.revoked = False

    @property
    def tasks(self) -> int:
        """How many are not resolved."""
        return self.count - self.done

    @property
    def size(self) -> int:
        """Bytes of its pieces."""
        return sum(map(len, self.pieces))

    def packed(self, serial: int) -> bytes:
        """What is sent, under a number of its own each time."""
        self.trim()
        self.dropped.clear()
        self.revoked = False
        self.serial = serial
        task = [serial, self.style & PLAIN, self.functions, self.pieces]
        self.packet = packet = dumps(task, PROTOCOL)
        return packet

    def trim(self) -> None:
        """Forget tasks that are resolved.  No worker may have it."""
        if self.done:
            self._remove_first(self.done)
            self.done = self.deaths = 0

    def split(self, tasks: int) -> Self:
        """Take so many tasks from its beginning, of those that are not resolved."""
        self.trim()
        head = self._part(0, tasks)
        self._remove_first(tasks)
        return head

    def cut(self, index: int) -> Self:
        """Take the tasks from this one on, of a pack that a worker has."""
        rest = self._part(index, self.count)
        del self.pieces[index:]
        if isinstance(self.functions, list):
            del self.functions[index:]
        self.count = index
        self.revoked = True
        return rest

    def _part(self, begin: int, end: int) -> Self:
        functions = self.functions
        if isinstance(functions, list):
            functions = functions[begin:end]
        first, pieces = self.first + begin, self.pieces[begin:end]
        part = type(self)(self.job, first, functions, pieces, self.style)
        part.turn = self.turn + begin
        part.died = self.died
        part.unwanted = self.unwanted
        return part

    def _remove_first(self, tasks: int) -> None:
        del self.pieces[:tasks]
        if isinstance(self.functions, list):
            del self.functions[:tasks]
        self.first += tasks
        self.turn += tasks
        self.count -= tasks

    def __contains__(self, task: int) -> bool:
        return self.first + self.done <= task < self.first + self.count

    def drop(self, task: int) -> None:
        """Have nothing called in the place of one of `Calls`, if it is sent again."""
        assert isinstance(self.functions, list)
        index = task - self.first
        self.functions[index] = None
        self.pieces[index] = _NOTHING
        self.dropped.add(index)


class Calls(Job):
    """Calls that were made one after the other, each of which has its own result.

    Args:
        calls: the calls.
        post: has callbacks called.
    """

    __slots__ = ("_calls", "_left", "_post")

    def __init__(self, calls: Sequence[LightCall], post: Post) -> None:
        super().__init__(calls[0][1], single=True)
        self._calls: list[LightCall | None] = list(calls)
        self._left = len(calls)
        self._post = post

    def pack(self) -> Pack:
        """All of them as a pack."""
        calls = [call for call in self._calls if call is not None]
        functions = [call[2] for call in calls]
        return Pack(self, 0, functions, [call[3] for call in calls], CALL)

    def name_of(self, task: int) -> str:
        """As of `Job`."""
        call = self._calls[task]
        return self.name if call is None else qualified_name(call[1])

    def find(self, result: AsyncResult[Any]) -> int | None:
        """The call with a certain result; None if it is complete or none of these."""
        for task, call in enumerate(self._calls):
            if call is not None and call[0] is result:
                return task
        return None

    def resolved(
        self, first: int, count: int, outcome: Answer | Failure, style: int = 0
    ) -> bool:
        """As of `Job`."""
        self._left -= count
        if isinstance(outcome, bytes):
            # A list of bytes: nothing of the user's is unpickled here.
            calls = self._calls
            for task, value in enumerate(loads(outcome), first):
                call = calls[task]
                if call is None:
                    continue  # it was cancelled
                calls[task] = None
                result = call[0]
                if call[4] is call[5] is None:
                    result._deliver(value)
                else:
                    result._arrived(value)
                    self._post(result, call[4], call[5])
        else:
            for task in range(first, first + count):
                self.end(task, outcome)
        return not self._left

    def end(self, task: int, outcome: Answer | Failure) -> None:
        """Complete a call, if it is not complete."""
        call = self._calls[task]
        if call is None:
            return
        self._calls[task] = None
        result, _, _, _, callback, error_callback = call
        if isinstance(outcome, Failure):
            result._arrived(Outcome((), outcome))
        else:
            answer = outcome.answer if isinstance(outcome, Alone) else outcome
            result._arrived(Outcome((answer,), None, single=True))
        self._post(result, callback, error_callback)

    def give_up(self, failure: Failure) -> None:
        """As of `Job`."""
        for task in range(len(self._calls)):
            self.end(task, failure)

    def finish(self, callbacks: Callbacks | None) -> None:
        """As of `Job`: each call was completed by itself."""


def first_of(notes: dict[int, bytes], begin: int, end: int) -> list[bytes]:
    """Values of tasks in a row, as many as were noted."""
    values: list[bytes] = []
    while (task := begin + len(values)) < end and task in notes:
        values.append(notes[task])
    return values


def in_band(buffer: PickleBuffer) -> bool:
    """For `dumps`: small buffers are copied into the pickle.

    Raises:
        BufferError: it is a large one.
    """
    if buffer.raw().nbytes > LIGHT:
        raise BufferError("a large buffer travels by itself")
    return True
