"""What an `imap` is while it is under way: input read little by little, outcomes kept.

Three threads meet here, each of which changes only what is its own:

- the *feeder*, one for each `imap`, reads the input and submits chunks, but never more
  than the window allows;
- the I/O thread of the pool brings outcomes;
- the *consumer*, who calls ``next``, takes them, which opens the window again.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from mp_pool._jobs import Job
from mp_pool._result import Failure, noted_value, size_of, value_of
from mp_pool._terms import USUAL, Terms
from mp_pool._waiting import sleep_until, wake_all
from mp_pool._wire import NOTED
from mp_pool.errors import ResultError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from mp_pool._callbacks import Callbacks
    from mp_pool._jobs import Chunk
    from mp_pool._result import Answer
    from mp_pool._waiting import Sleepers

    class Submit(Protocol):
        """Has chunks of a stream run; the last call says so."""

        def __call__(self, stream: Stream, chunks: list[Chunk], last: bool) -> None: ...

    #: Makes a chunk of some tasks, the first of which has this index.
    MakeChunk = Callable[[int, list[Any]], Chunk]

    #: Makes packs of some tasks, the first of which has this index.
    MakePacks = Callable[[int, list[Any]], list[Chunk]]

#: The window, where the caller does not set it: chunks for each worker at least, chunks
#: at most, and bytes of arguments and results that all of them may take.
CHUNKS_AT_LEAST = 4
CHUNKS_AT_MOST = 512
BYTES = 16 << 20

#: Chunks that are submitted together, where reading the input cannot block.
_TOGETHER = 64

#: The same for tasks of a pack.
_PACK = 256
_NEVER_BLOCK = frozenset(
    map(type, (iter([]), iter(()), iter(set()), iter({}), iter(""), iter(range(0))))
)


class Entry:
    """Outcomes of some tasks.

    Args:
        first: the first task.
        count: how many they are.
        outcome: their values, or what became of all of them.
        style: how the values are pickled.
    """

    __slots__ = ("_left", "_outcome", "_style", "_values", "count", "first")

    def __init__(
        self, first: int, count: int, outcome: Answer | Failure, style: int
    ) -> None:
        self.first = first
        self.count = count
        self._outcome: Answer | Failure | None = outcome
        self._style = style
        self._left = count
        self._values: deque[Any] = deque()

    @property
    def empty(self) -> bool:
        """All outcomes have been taken."""
        return not (self._left or self._values)

    def take(self) -> Any:
        """The next value.

        Raises:
            Exception: what there is in place of it.
        """
        if self._left:
            outcome = self._outcome
            assert outcome is not None
            if isinstance(outcome, Failure):
                self._left -= 1
                raise outcome.exception()
            try:
                self._values.extend(value_of(outcome))
            except ResultError as error:
                self._outcome = Failure(error)
                self._left -= 1
                raise
            self._left = 0
            self._outcome = None
        value = self._values.popleft()
        if self._style & NOTED:
            return noted_value(value)
        return value


class Stream(Job):
    """The tasks of an `imap`.

    Args:
        function: what they call.
        ordered: outcomes are wanted in the order of the input.
        size: tasks of a chunk.
        workers: how many workers there are.
        buffersize: tasks that may be submitted and not consumed; None for the default.
        terms: on which tasks are run.

    Attributes:
        total: how many tasks there are, once the whole input is read.
        stopped: why nothing more will come, if that is so.
        sleepers: who waits for outcomes.
    """

    __slots__ = (
        "_arrived",
        "_buffersize",
        "_bytes",
        "_consumed",
        "_discarding",
        "_ended",
        "_hungry",
        "_least",
        "_ordered",
        "_queue",
        "_resolved",
        "_sent_bytes",
        "_size",
        "_submitted",
        "_taken",
        "_unlimited",
        "sleepers",
        "stopped",
        "total",
    )

    def __init__(
        self,
        function: Callable[..., object],
        ordered: bool,
        size: int,
        workers: int,
        buffersize: int | None,
        terms: Terms = USUAL,
    ) -> None:
        super().__init__(function, False, terms)
        self.total: int | None = None
        self.stopped: Failure | None = None
        self.sleepers: Sleepers = []
        self._ordered = ordered
        self._size = size
        self._least = CHUNKS_AT_LEAST * workers
        self._buffersize = buffersize
        # Of the feeder:
        self._taken = 0  # tasks read from the input
        self._submitted = 0  # those of them that were submitted
        self._sent_bytes = 0
        self._hungry: Sleepers = []
        # Of the I/O thread:
        self._resolved = 0
        self._bytes = 0
        self._ended = False
        # Of the consumer:
        self._consumed = 0
        # Set by whoever finds it so, and never taken back:
        self._discarding = False
        self._unlimited = False
        # Filled by the two former, emptied by the latter:
        self._arrived: dict[int, Entry] = {}
        self._queue: deque[Entry] = deque()

    # ------------------------------------------------------------- for the feeder

    def feed(
        self,
        source: Iterator[Any],
        make_chunk: MakeChunk,
        submit: Submit,
        make_packs: MakePacks | None = None,
    ) -> None:
        """Read the input, until it ends or the pool does; then tell so.

        Args:
            source: the input.
            make_chunk: makes chunks.
            submit: has them run.
            make_packs: makes packs, for chunks of one task.
        """
        never_blocks = type(source) in _NEVER_BLOCK
        together = _TOGETHER if never_blocks else 1
        most = _PACK if never_blocks else 1
        chunks: list[Chunk] = []
        total = None
        try:
            room = 0
            while self.stopped is None:
                if room < self._size and not (room := self._room()):
                    submit(self, chunks, False)
                    chunks = []
                    self._wait_for_room()
                    continue
                # What an input that fails had begun to give is not run.
                size = self._size if make_packs is None else min(room, most)
                items = list(islice(source, size))
                if not items:
                    total = self._taken
                    break
                room -= len(items)
                if make_packs is not None:
                    self._add_packs(items, make_packs, make_chunk, chunks)
                else:
                    self._add(items, make_chunk, chunks)
                if len(chunks) >= together or make_packs is not None:
                    submit(self, chunks, False)
                    chunks = []
        except BaseException as error:
            self._put(Entry(self._taken, 1, Failure(error), 0))
            self._taken += 1
            total = self._taken
        finally:
            self.total = total
            submit(self, chunks, True)
            wake_all(self.sleepers)

    def _add(
        self, items: list[Any], make_chunk: MakeChunk, chunks: list[Chunk]
    ) -> None:
        """Make a chunk of some tasks; of what cannot be pickled, entries."""
        try:
            chunk = make_chunk(self._taken, items)
        except Exception as error:
            if len(items) > 1:
                for item in items:
                    self._add([item], make_chunk, chunks)
                return
            self._put(Entry(self._taken, 1, Failure(error), 0))
        else:
            self._submitted += len(items)
            self._sent_bytes += chunk.size
            chunks.append(chunk)
        self._taken += len(items)

    def _add_packs(
        self,
        items: list[Any],
        make_packs: MakePacks,
        make_chunk: MakeChunk,
        chunks: list[Chunk],
    ) -> None:
        """Make packs; or chunks, if one of the tasks cannot be pickled."""
        try:
            packs = make_packs(self._taken, items)
        except Exception:
            for item in items:
                self._add([item], make_chunk, chunks)
            return
        self._taken += len(items)
        self._submitted += len(items)
        self._sent_bytes += sum(pack.size for pack in packs)
        chunks += packs

    @property
    def _outstanding(self) -> int:
        if self._discarding:
            return self._submitted - self._resolved
        return self._taken - self._consumed

    def _limit(self) -> int:
        """How many tasks may be outstanding."""
        if self._buffersize is not None:
            return self._buffersize
        chunks = self._least
        if self._resolved:
            each = self._sent_bytes / self._submitted + self._bytes / self._resolved
            fitting = int(BYTES / (1 + each * self._size))
            chunks = max(chunks, min(fitting, CHUNKS_AT_MOST))
        return chunks * self._size

    def _room(self) -> int:
        """How many tasks may be read now: none, or at least a chunk."""
        outstanding, size = self._outstanding, self._size
        if self._unlimited:
            return _TOGETHER * size
        room = self._limit() - outstanding
        return room if room >= size else 0 if outstanding else size

    def _wait_for_room(self) -> None:
        """Sleep until a good part of the window is open again."""
        sleep_until(self._is_low, self._hungry, None)

    def _is_low(self) -> bool:
        if self._unlimited or self.stopped is not None:
            return True
        # What is known of sizes may have changed since the feeder went to sleep.
        limit = self._limit()
        wide = limit >= CHUNKS_AT_MOST * self._size  # then half of it is enough to do
        good_part = max(self._size, limit // 2 if wide else limit // 4)
        return self._outstanding <= max(0, limit - good_part)

    def _wake_feeder(self) -> None:
        if self._hungry and self._is_low():
            wake_all(self._hungry)

    # --------------------------------------------------------- for the I/O thread

    def resolved(
        self, first: int, count: int, outcome: Answer | Failure, style: int = 0
    ) -> bool:
        """As of `Job`."""
        if not isinstance(outcome, Failure):
            self._bytes += size_of(outcome)
        self._resolved += count
        if self._discarding:
            self._wake_feeder()
        else:
            self._put(Entry(first, count, outcome, style))
        return self.complete

    @property
    def complete(self) -> bool:
        """The input has ended, and all of it is resolved."""
        return self._ended and self._resolved == self._submitted

    def ended(self) -> None:
        """The last chunks were submitted."""
        self._ended = True

    def hurry(self) -> None:
        """Read all the input, whether it is consumed or not: somebody waits for it."""
        self._unlimited = True
        wake_all(self._hungry)

    def give_up(self, failure: Failure) -> None:
        """As of `Job`: what has arrived can still be had."""
        self.stopped = failure
        wake_all(self._hungry)
        wake_all(self.sleepers)

    def finish(self, callbacks: Callbacks | None) -> None:
        """As of `Job`."""

    def _put(self, entry: Entry) -> None:
        if self._ordered:
            self._arrived[entry.first] = entry
        else:
            self._queue.append(entry)
        if self.sleepers:
            wake_all(self.sleepers)

    # ----------------------------------------------------------- for the consumer

    def next_entry(self, before: Entry | None, delivered: int) -> Entry | None:
        """The next outcomes; None if they have not come.

        Args:
            before: the entry that was taken last.
            delivered: tasks of all entries up to that.
        """
        if self._ordered:
            return self._arrived.get(delivered)
        queue = self._queue
        begin = 1 if queue and queue[0] is before else 0
        return queue[begin] if len(queue) > begin else None

    def let_go(self, before: Entry | None) -> None:
        """Forget what was taken; the consumer has it."""
        if before is None:
            return
        if self._ordered:
            self._arrived.pop(before.first, None)
        elif self._queue and self._queue[0] is before:
            self._queue.popleft()

    def consumed(self, tasks: int) -> None:
        """The consumer has taken so many outcomes in total."""
        self._consumed = tasks
        self._wake_feeder()

    def drop(self, begun: bool) -> None:
        """There is no consumer any more.

        Args:
            begun: it had taken outcomes, and so was interested in them: no more input
                is read.  Otherwise all tasks are run for what they do.
        """
        if begun and self.total is None and self.stopped is None:
            self.stopped = Failure(GeneratorExit())
        self._discarding = True
        self._arrived.clear()
        self._queue.clear()
        wake_all(self._hungry)
