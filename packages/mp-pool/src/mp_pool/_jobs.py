"""Jobs: what one call of `apply`, `map` or `imap` is made of, while it is under way."""

from __future__ import annotations

import os

from mp_pool._actions import Unit
from mp_pool._result import Failure, Noted, Outcome, is_long
from mp_pool._terms import USUAL, Terms
from mp_pool._wire import AHEAD, NOTED, qualified_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from mp_connection.channel import Message
    from mp_pool._callbacks import Callback, Callbacks, ErrorCallback
    from mp_pool._result import Answer, AsyncResult


class Chunk(Unit):
    """Tasks that travel together, pickled.

    It owns duplicates of the descriptors that travel with them, since the caller may
    close the originals, and since the chunk may have to be sent a second time.

    Args:
        job: the job that it is part of.
        serial: its number, unique in the pool and never 0.
        first: the index of its first task among those of the job.
        content: the pickle: one packet, or a message.
        items: the arguments, one for each task; empty if it is one task.
        style: as in the pickle.

    Attributes:
        count: how many tasks it has.
        done: tasks that are resolved: so many from the beginning.
        part: the next message has the values of the tasks before this; 0 for all.
        verdict: why its worker is being ended, if it is.
        died: the task of the job whose worker died last, and how often.
        packet: how it was sent last.
    """

    __slots__ = (
        "_handles",
        "content",
        "count",
        "died",
        "done",
        "first",
        "items",
        "job",
        "packet",
        "part",
        "serial",
        "style",
        "verdict",
    )

    def __init__(
        self,
        job: Job,
        serial: int,
        first: int,
        content: bytes | Message,
        items: Sequence[Any] = (),
        style: int = 0,
    ) -> None:
        small = isinstance(content, bytes) and len(content) <= AHEAD
        # What has a time limit runs at once when it is sent.
        super().__init__(small and job.terms.timeout is None)
        self.job = job
        self.serial = serial
        self.first = first
        self.content = content
        self.items = items
        self.count = len(items) or 1
        self.style = style
        self.done = 0
        self.part = 0
        self.verdict: Failure | None = None
        self.died = (-1, 0)
        self.packet: bytes | Message = content
        self._handles = None
        if not isinstance(content, bytes) and content.handles:
            self._handles = Handles(content.handles)
            content.handles = self._handles.fds

    @property
    def size(self) -> int:
        """Bytes of its pickle."""
        if isinstance(self.content, bytes):
            return len(self.content)
        return sum(memoryview(part).nbytes for part in self.content.parts)


class Handles:
    """Duplicates of descriptors, closed with the object."""

    __slots__ = ("fds",)

    def __init__(self, fds: Sequence[int]) -> None:
        self.fds: list[int] = []
        for fd in fds:
            self.fds.append(os.dup(fd))

    def __del__(self) -> None:
        for fd in self.fds:
            os.close(fd)


class Job:
    """Some tasks that call the same function, and where their outcomes go.

    Args:
        function: what the tasks call.
        single: whether it is one task, and not a list of them.
        terms: on which they are run.

    Attributes:
        sent: what is pickled for the function: itself, or what stands for it.
    """

    __slots__ = ("function", "sent", "single", "terms")

    def __init__(
        self, function: Callable[..., object], single: bool, terms: Terms = USUAL
    ) -> None:
        self.function = function
        self.sent: object = function
        self.single = single
        self.terms = terms

    def resolved(
        self, first: int, count: int, outcome: Answer | Failure, style: int = 0
    ) -> bool:
        """Some tasks are done; whether that were the last ones.

        Args:
            first: the first of them.
            count: how many they are.
            outcome: their values, or what became of all of them.
            style: how the values are pickled.
        """
        raise NotImplementedError

    def give_up(self, failure: Failure) -> None:
        """Nothing more will be resolved; `finish` has to follow."""
        raise NotImplementedError

    def finish(self, callbacks: Callbacks | None) -> None:
        """All is resolved: tell whoever waits.

        Args:
            callbacks: where to call callbacks; None if none is to be called.
        """
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The qualified name of the function."""
        return qualified_name(self.function)

    def name_of(self, task: int) -> str:
        """The qualified name of what a task calls."""
        return self.name

    def describe(self, task: int) -> str:
        """What an error calls a task."""
        name = self.name_of(task)
        return name if self.single else f"task {task} of a map of {name}"


class Collected(Job):
    """A job of which the caller wants everything at once.

    Args:
        function: what the tasks call.
        result: what the caller holds; None if nobody waits any more.
        single: whether it is one task, and not a list of them.
        callback: called with the value.
        error_callback: called with the exception.
        terms: as of `Job`.
    """

    __slots__ = (
        "_answers",
        "_callback",
        "_error_callback",
        "_failed",
        "_failure",
        "_left",
        "_told",
        "_total",
        "chunks",
        "result",
    )

    def __init__(
        self,
        function: Callable[..., object],
        result: AsyncResult[Any] | None,
        single: bool,
        callback: Callback[Any] = None,
        error_callback: ErrorCallback = None,
        terms: Terms = USUAL,
    ) -> None:
        super().__init__(function, single, terms)
        self.result = result
        self.chunks: list[Chunk] = []
        self._callback = callback
        self._error_callback = error_callback
        self._answers: dict[int, Answer] = {}
        self._failure: Failure | None = None
        self._failed = -1
        self._left = -1
        self._total = 0
        self._told = True

    @property
    def wants_callback(self) -> bool:
        """Whether something is to be called, at the end or before."""
        if self._callback is not None or self._error_callback is not None:
            return True
        return self.terms.progress is not None

    def take_chunks(self) -> list[Chunk]:
        """The chunks, to be run; from now on the job waits for their outcomes."""
        chunks, self.chunks = self.chunks, []
        self._left = 1 if self.single else sum(chunk.count for chunk in chunks)
        self._total = self._left
        return chunks

    def resolved(
        self, first: int, count: int, outcome: Answer | Failure, style: int = 0
    ) -> bool:
        """As of `Job`.

        Of several failures the caller gets that of the first task, as if all of them
        had run one after the other.
        """
        self._left -= count
        if isinstance(outcome, Failure):
            task = first + count - 1
            if self._failure is None or task < self._failed:
                self._failure, self._failed = outcome, task
            self._answers.clear()
        elif self._failure is None:
            if style & NOTED:
                outcome = Noted(outcome)
            elif self._left and self.result is not None and is_long(outcome):
                outcome = self.result._offer(outcome)
            self._answers[first] = outcome
        return not self._left

    def report(self, callbacks: Callbacks) -> None:
        """Have the caller told how far the job is."""
        if self._told:  # else the last report is still to be read
            self._told = False
            callbacks.run(self._tell)

    def _tell(self) -> None:
        self._told = True
        assert self.terms.progress is not None
        self.terms.progress(self._total - self._left, self._total)

    def give_up(self, failure: Failure) -> None:
        """As of `Job`."""
        self._failure = failure

    def finish(self, callbacks: Callbacks | None) -> None:
        """As of `Job`."""
        if self.result is None:
            return
        if self._failure is None:
            answers = [answer for _, answer in sorted(self._answers.items())]
            self.result._arrived(Outcome(answers, None, self.single))
        else:
            self.result._arrived(Outcome((), self._failure))
        if callbacks is not None and self.wants_callback:
            callbacks.post(self.result, self._callback, self._error_callback)
        else:
            self.result._complete()


class Dropped(Job):
    """Stands for a job that was cancelled, in chunks that workers still hold.

    Args:
        job: the job.
    """

    __slots__ = ()

    def __init__(self, job: Job) -> None:
        super().__init__(job.function, job.single)

    def resolved(
        self, first: int, count: int, outcome: Answer | Failure, style: int = 0
    ) -> bool:
        """As of `Job`: nobody wants to know."""
        return False
