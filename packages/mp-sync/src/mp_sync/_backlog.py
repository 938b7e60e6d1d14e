"""The backlog of a queue: what has no room in the kernel waits in a file.

The file has no name and belongs to all who share the queue, so that nothing in it is
lost when the process ends that has put it there.  Every function here is called by the
holder of the queue's lock, which may be killed at any instruction: an item is there as
soon as the word says so that its end is noted in, and gone as soon as that of the
beginning does.  The number of items follows these; `repair` counts them anew.
"""

from __future__ import annotations

from mp_connection.channel import Message, Received
from mp_sync import _backlog_format as form
from mp_sync._queue_platform import drop_before, read_into, shorten, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

# Indices of the words.
COUNT = 0  # items in the backlog
HEAD = 1  # where the first record begins, and how many of its items are gone
TAIL = 2  # where the last record ends
DROPPED = 3  # the memory before was given back
WORDS = 4

_SKIP_BITS = 16
_SKIP = (1 << _SKIP_BITS) - 1
#: As much of an empty file is kept, for what comes next.
_KEPT = 1 << 20
#: So much has to be read before its memory is given back.
_WORTHWHILE = 1 << 24


class Backlog:
    """The items in the file of a queue, in order.

    Args:
        fd: the file, which stays the caller's.
        words: numbers in shared memory, as many as `WORDS`.
    """

    __slots__ = ("_fd", "_words")

    def __init__(self, fd: int, words: memoryview) -> None:
        self._fd = fd
        self._words = words

    # ------------------------------------------------------------------ adding

    def append(self, message: Message) -> None:
        """Add one item.

        Raises:
            OSError: there is no memory left; nothing has changed.
        """
        head = form.head(form.MESSAGE, [len(part) for part in message.parts])
        self._append([head, *message.parts], 1)

    def append_items(self, pickles: Sequence[bytes]) -> None:
        """Add items, not more than `MOST_ITEMS`."""
        head = form.head(form.ITEMS, list(map(len, pickles)))
        self._append([b"".join((head, *pickles))], len(pickles))

    def append_group(self, pickle: bytes, items: int) -> None:
        """Add plain items that are one pickle, not more than `GROUP_ITEMS`."""
        self._append([form.group_head(len(pickle), items), pickle], items)

    def _append(self, parts: Sequence[bytes | memoryview], items: int) -> None:
        words = self._words
        tail = words[TAIL]
        write(self._fd, parts, tail)
        # From here on `empty` must not say that there is nothing.
        words[COUNT] += items
        words[TAIL] = tail + sum(map(len, parts))

    # ------------------------------------------------------------------ taking

    def first(self) -> Record:
        """The first record; there must be one."""
        place = self._words[HEAD]
        start, skip = place >> _SKIP_BITS, place & _SKIP
        size, count, kind = form.decode_head(self._read(start, form.HEAD_SIZE))
        return Record(start + form.HEAD_SIZE, size, count, kind, skip)

    def body(self, record: Record) -> bytearray:
        """The bytes of a record behind its head."""
        return self._read(record.start, record.size)

    def message(self, record: Record) -> list[bytearray]:
        """The parts of the one item of a record."""
        table = self._read(record.start, 8 * record.count)
        parts, start = [], record.start + len(table)
        for length in form.decode_lengths(table, record.count):
            parts.append(self._read(start, length))
            start += length
        return parts

    def advance(self, record: Record, skip: int) -> int:
        """Take items of the first record, up to *skip*; where it began before."""
        words = self._words
        before = words[HEAD]
        if skip < record.count and record.kind != form.MESSAGE:
            words[HEAD] = before - (before & _SKIP) + skip
        else:
            words[HEAD] = record.start + record.size << _SKIP_BITS
        return before

    def go_back(self, before: int) -> None:
        """Undo the last `advance`, before the items were counted."""
        self._words[HEAD] = before

    def counted(self, items: int) -> None:
        """Count items that were taken, and give memory back."""
        words = self._words
        words[COUNT] -= items
        start, tail = words[HEAD] >> _SKIP_BITS, words[TAIL]
        if start == tail:
            if tail > _KEPT:
                # The words last: whoever dies in between leaves nothing to be read.
                shorten(self._fd)
            self._clear()
        elif start - words[DROPPED] > _WORTHWHILE:
            words[DROPPED] = drop_before(self._fd, words[DROPPED], start)

    def repair(self) -> None:
        """Count anew, for one that was interrupted or died."""
        words = self._words
        place, tail = words[HEAD], words[TAIL]
        start, skip = place >> _SKIP_BITS, place & _SKIP
        if start >= tail:
            self._clear()
            words[COUNT] = 0
            return
        count = -skip
        while start < tail:
            size, parts, kind = form.decode_head(self._read(start, form.HEAD_SIZE))
            count += 1 if kind == form.MESSAGE else parts
            start += form.HEAD_SIZE + size
        words[COUNT] = count

    def _clear(self) -> None:
        words = self._words
        # In this order: a beginning beyond the end is nothing, too.
        words[TAIL] = 0
        words[HEAD] = 0
        words[DROPPED] = 0

    def _read(self, start: int, size: int) -> bytearray:
        data = bytearray(size)
        with memoryview(data) as view:
            read_into(self._fd, view, start)
        return data


class Record:
    """Where a record lies."""

    __slots__ = ("count", "kind", "size", "skip", "start")

    def __init__(self, start: int, size: int, count: int, kind: int, skip: int) -> None:
        self.start = start
        self.size = size
        self.count = count
        self.kind = kind
        self.skip = skip


def received(parts: Sequence[Buffer]) -> Received:
    """A pickled message as if it had come over a channel."""
    return Received(parts, [], True)
