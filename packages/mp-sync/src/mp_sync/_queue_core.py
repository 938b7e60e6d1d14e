"""What is below a queue: messages from some processes to others, and their number.

An item travels as one packet, sent by one system call and received by another, and a
process that is killed within them disturbs nobody.  What finds the kernel's buffer full
goes to the backlog, a file that all who share the queue have; from then on everything
does, until readers have moved it on.  So the order of each producer is kept, `put` is
through when it returns, and no thread and no memory of the producer is behind it.

Only the backlog has a lock, which is held while bytes are copied and never while
anybody waits; when its holder is killed the next one repairs what there is to repair.
A reader moves items from the backlog to the kernel before it receives, so that the
kernel decides who gets what, and wakes them.  It is only readers that move: one that is
killed takes an item with it, which it could have done anyway.
"""

from __future__ import annotations

from functools import partial
from time import monotonic

from mp_connection.channel import (
    CLOEXEC,
    DONTWAIT,
    NOSIGNAL,
    Lookout,
    Message,
    arrivals,
    keeping,
    senders,
)
from mp_sync._backlog import COUNT, WORDS, Backlog
from mp_sync._queue_platform import STEP, items_in, level
from mp_sync.errors import OwnerDiedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, NoReturn, TypeVar

    from mp_sync._backend import RLock, Words
    from mp_sync._ends import Ends
    from mp_sync.arena import Block

    R = TypeVar("R")

QUICK = DONTWAIT | NOSIGNAL
#: A message of raw bytes, which is no item.
NUDGE = bytes(STEP)
NO_ITEM = NUDGE[:1]
#: A deadline that has passed: not to wait.
NOW = float("-inf")
#: The longest sleep on a word: whoever was to wake the sleeper may have been killed.
SLEEP = 0.15
EVERYBODY = 2**31 - 1

# Indices of words in shared memory, after those of the backlog.
WANTED = WORDS  # somebody waits for room
MORE = WORDS + 1  # the first of the classes that inherit

#: Index of the word that processes sleep on which wait for room.
ROOM = 0


class _Closed:
    """Stands for a method of a socket that may not be used, or not any more."""

    def __call__(self, *_: object) -> NoReturn:
        raise OSError

    def __iter__(self) -> Iterator[Any]:
        raise OSError


CLOSED = _Closed()


class BusyError(Exception):
    """This thread is within the lock: a signal handler or a finalizer came between."""


class QueueCore:
    """Messages between processes; the public classes say what is in them."""

    #: Words in shared memory that a queue of this class has.
    _words_needed = MORE
    #: Whether everything that is taken is counted, under the lock.
    _counting = False

    def _open(
        self, ends: Ends, lock: RLock, words: Words, block: Block, maxsize: int
    ) -> None:
        self._parts = ends, lock, words, block, maxsize
        self._ends = ends
        self._lock = lock
        self._words = words
        self._maxsize = maxsize
        self._numbers = block.memory().cast("q")
        self._backlog = Backlog(ends.file, self._numbers)
        self._channel = channel = ends.reader
        self._kept = channel.kept
        self._lookout = Lookout(channel.fileno)
        self._late: list[Message] = []
        self._closed = False
        self._was_empty = False  # when it was closed
        self._ignore_epipe = False  # concurrent.futures sets it
        # The common case calls the system at once.
        self._arrivals: Iterable[Any] = arrivals(channel.sock)
        self._arrivals_now: Iterable[Any] = arrivals(channel.sock, DONTWAIT)
        self._send: Callable[[Any, int], object] = senders(ends.writer)[0]
        if self._counting:
            self._arrivals = CLOSED
        if self._counting or maxsize:
            self._send = self._send_counted

    def _send_counted(self, data: Any, flags: int) -> None:
        if self._lock._depth():
            raise OSError  # a signal handler within
        try:
            with self._lock:
                room = not self._numbers[COUNT] and (
                    not self._maxsize or items_in(self._channel.sock) < self._maxsize
                )
                if room:
                    self._ends.writer.send(data, flags)
        except (OwnerDiedError, ValueError):  # the latter: its reading end is closed
            raise OSError from None
        if not room:
            raise OSError

    def _shut(self) -> None:
        self._closed = True
        self._arrivals = self._arrivals_now = self._send = CLOSED
        self._ends.close()

    def _check(self) -> None:
        if self._closed:
            raise ValueError(f"this {type(self).__name__} is closed")

    def _size(self) -> int:
        """How many items there are; the lock is held."""
        return self._numbers[COUNT] + items_in(self._channel.sock)

    def _fetch(self) -> None:
        """Keep a packet that is counted when it is taken; the lock is held.

        Raises:
            BlockingIOError: there is none.
        """
        word = self._counter()
        numbers, kept, channels = self._numbers, self._kept, keeping
        channel = self._channel
        for arrival in self._arrivals_now:
            # Operators and no calls: no signal handler comes between.
            if arrival.__class__ is bytes:
                arrival = arrival, (), CLOEXEC, None
            kept += (arrival,)
            numbers[word] += arrival[0][:1] != NO_ITEM
            channels |= {channel}
            break

    def _counter(self) -> int:
        """The index of the number of what this process has taken."""
        raise NotImplementedError

    def _count(self, items: int) -> None:
        """Items were taken by this process; the lock is held."""

    def _lost(self) -> None:
        """An item that was counted did not come, as its sender died."""

    def _nudge(self) -> None:
        """Have a reader look at the backlog, if none will come by itself."""
        try:
            if self._numbers[COUNT] and not level(self._channel.sock):
                self._ends.writer.send(NUDGE, QUICK)
        except (OSError, ValueError):
            pass  # somebody has filled the buffer: readers come; or it is closed

    # ------------------------------------------------------------------- lock

    def _under_lock(self, function: Callable[[], R]) -> R:
        """Call a function that holds the lock of the backlog, and never waits.

        Raises:
            BusyError: this thread is within such a function.
        """
        if self._lock._depth():
            raise BusyError
        result: list[R] = []
        while not result:
            try:
                with self._lock:
                    result.append(self._or_repair(function))
            except OwnerDiedError:
                self._recover()
        while self._late:
            late = self._late.pop(0)
            self._under_lock(partial(self._put_late, late))
        return result[0]

    def _or_repair(self, function: Callable[[], R]) -> R:
        try:
            return function()
        except BlockingIOError:
            raise  # nothing has changed
        except BaseException:
            self._backlog.repair()
            raise

    def _recover(self) -> None:
        """Repair what the holder of the lock left, which was killed."""
        lock = self._lock
        try:
            if lock.recover():
                self._backlog.repair()
        finally:
            if lock._depth():
                lock.release()

    def _put_late(self, message: Message) -> None:
        """Put what came while this thread was within the lock, which is held."""
        raise NotImplementedError


def time_limit(block: bool, timeout: float | None) -> float | None:
    """A time of `time.monotonic`; None is never."""
    if not block:
        return NOW
    return None if timeout is None else monotonic() + max(0.0, timeout)
