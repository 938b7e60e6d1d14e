"""How items get out of a queue."""

from __future__ import annotations

from time import monotonic

from mp_connection.channel import (
    CLOEXEC,
    DONTWAIT,
    INLINE_LIMIT,
    PROTOCOL,
    SLICE_SECONDS,
    Message,
    Received,
    keeping,
    padded_packet,
    ready_to_read,
    send_packet,
)
from mp_connection.lean import dumps, loads
from mp_sync import _backlog_format as form
from mp_sync._backlog import COUNT, received
from mp_sync._queue_core import (
    EVERYBODY,
    NOW,
    ROOM,
    WANTED,
    BusyError,
    QueueCore,
)
from mp_sync._queue_platform import STEP, blocks, level, peek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

#: Readers move items when as many bytes or fewer are left in the kernel.
_LOW = 32 * (STEP + 1)


class Taking(QueueCore):
    """The half of a queue that takes."""

    def _take(self, deadline: float | None) -> Received:
        attempts = 0
        while True:
            message: Received | None = None
            if self._numbers[COUNT] and not self._kept:
                self._check()
                message = self._refill()
            if message is None:
                message = self._receive(deadline)
            if message is not None:
                if message.pickled:
                    try:
                        self._taken()
                    except BaseException:  # of a signal handler
                        self._channel.put_back(message)
                        raise
                    return message
                continue  # a nudge, before something else
            attempts += 1
            # What was moved to the kernel for this call may be another's by now.
            over = not self._numbers[COUNT] or attempts > 50
            if over and deadline is not None and monotonic() >= deadline:
                raise_empty()

    def _receive(self, deadline: float | None) -> Received | None:
        """A message, or a nudge; None if none came within a slice."""
        channel = self._channel
        self._check()
        try:
            now = monotonic()
            slice_end = now + SLICE_SECONDS
            if deadline is not None:
                slice_end = min(deadline, slice_end)
            kept, channels = self._kept, keeping
            if not kept:
                arriving = self._arrivals
                soon = deadline is not None and deadline - now < 1.5 * SLICE_SECONDS
                if self._counting:
                    self._fetch_within(slice_end - now if soon else 1.0)
                else:
                    if soon:
                        arriving = self._arrivals_now
                        if not level(channel.sock):
                            peek(channel.sock, slice_end - now)
                    for arrival in arriving:  # noqa: B007
                        break
                    # Operators and no calls: no signal handler comes between.
                    if arrival.__class__ is bytes:
                        arrival = arrival, (), CLOEXEC, None
                    kept += (arrival,)
                    channels |= {channel}
            message = channel.go_on(slice_end)
            if message is None:
                self._lost()
            return message
        except BusyError:
            raise RuntimeError(
                "a signal handler cannot take from the queue that it interrupted"
            ) from None
        except BlockingIOError:
            if deadline is None and not blocks(channel.sock):
                ready_to_read(channel.fileno(), SLICE_SECONDS)
            return None
        except (OSError, EOFError):
            self._check()  # by another thread: then this is what it looks like
            raise

    def _fetch_within(self, seconds: float) -> None:
        """Keep a packet that is counted; BlockingIOError if none comes in time."""
        try:
            self._under_lock(self._fetch)
        except BlockingIOError:
            peek(self._channel.sock, seconds)
            self._under_lock(self._fetch)

    def _taken(self) -> None:
        """After an item was received: tell those who have waited for that."""
        numbers = self._numbers
        if numbers[COUNT]:
            self._nudge()
        if numbers[WANTED]:
            numbers[WANTED] = 0
            self._words.add(ROOM, 1)
            self._words.wake(ROOM, EVERYBODY)

    def _refill(self) -> Received | None:
        """Move what waits to the kernel; a large item may be this call's."""
        if level(self._channel.sock) > _LOW:
            return None
        try:
            return self._under_lock(self._move)
        except BusyError:
            return None

    def _move(self) -> Received | None:
        while self._numbers[COUNT]:
            record = self._backlog.first()
            if record.kind == form.ITEMS:
                body = self._backlog.body(record)
                parts = form.split(body, record.count, record.skip, record.count)
                messages = [Message([part]) for part in parts]
            elif record.kind == form.GROUP:
                items = loads(self._backlog.body(record))[record.skip :]
                messages = [Message([dumps(item, PROTOCOL)]) for item in items]
            elif record.size - 8 * record.count <= INLINE_LIMIT:
                messages = [Message(self._backlog.message(record))]
            else:
                return self._take_large()
            for skip, message in enumerate(messages, record.skip + 1):
                packet = padded_packet(message, STEP)
                if packet is None:
                    return self._take_large()
                before = self._backlog.advance(record, skip)
                try:
                    send_packet(self._ends.writer, packet, (), DONTWAIT)
                except BlockingIOError:
                    self._backlog.go_back(before)
                    return None
                except OSError:
                    self._backlog.go_back(before)
                    return self._take_large()
                self._backlog.counted(1)
        return None

    def _take_large(self) -> Received | None:
        """The first item of the backlog, if all before it are gone."""
        if level(self._channel.sock):
            return None
        record = self._backlog.first()
        parts = self._backlog.message(record)
        self._backlog.advance(record, 1)
        self._backlog.counted(1)
        self._count(1)
        return received(parts)

    def _gather(self, taken: Taken, most: int, deadline: float | None) -> None:
        """Take what there is; wait for the first."""
        numbers = self._numbers
        while taken.count < most:
            idle = numbers[COUNT] and not self._kept and not level(self._channel.sock)
            if idle and self._take_items_at_once(taken, most):
                continue
            message = self._receive(NOW if taken.count else deadline)
            if message is not None:
                if message.pickled:
                    taken.add(message)
            elif taken.count:
                if not numbers[COUNT] or level(self._channel.sock):
                    break
            elif (
                deadline is not None and monotonic() >= deadline and not numbers[COUNT]
            ):
                raise_empty()
        self._taken()

    def _take_items_at_once(self, taken: Taken, most: int) -> bool:
        before = taken.count
        self._check()
        try:
            self._under_lock(lambda: self._take_items(taken, most))
        except BusyError:
            pass
        return taken.count > before

    def _take_items(self, taken: Taken, most: int) -> None:
        backlog = self._backlog
        while self._numbers[COUNT] and taken.count < most:
            if level(self._channel.sock):
                return  # those are older
            record = backlog.first()
            if record.kind == form.MESSAGE:
                large = self._take_large()
                if large is not None:
                    taken.add(large)
                continue
            first = record.skip
            last = min(record.count, first + most - taken.count)
            body = backlog.body(record)
            backlog.advance(record, last)
            if record.kind == form.GROUP:
                taken.add_group(body, first, last)
            else:
                taken.add_items(form.split(body, record.count, first, last))
            backlog.counted(last - first)
            self._count(last - first)

    def _put_back(self, entries: Sequence[memoryview | Received]) -> None:
        """Let the next calls begin with these."""
        for entry in entries[::-1]:
            if isinstance(entry, memoryview):
                entry = received([bytes(entry)])
            self._channel.put_back(entry)


class Taken:
    """Items that were taken and are pickles still.

    Attributes:
        count: how many.
        entries: their pickles, messages that are one item, and groups: a pickle, the
            first of its items and the last.
    """

    __slots__ = ("count", "entries")

    def __init__(self) -> None:
        self.count = 0
        self.entries: list[memoryview | Received | tuple[bytearray, int, int]] = []

    def add(self, message: Received) -> None:
        """Add what was one message."""
        self.entries.append(message)
        self.count += 1

    def add_items(self, pickles: Sequence[memoryview]) -> None:
        """Add what were items of one record."""
        self.entries += pickles
        self.count += len(pickles)

    def add_group(self, pickle: bytearray, first: int, last: int) -> None:
        """Add plain items, from *first* to *last*."""
        self.entries.append((pickle, first, last))
        self.count += last - first

    def single(self) -> list[memoryview | Received]:
        """One entry for each item."""
        entries: list[memoryview | Received] = []
        for entry in self.entries:
            if isinstance(entry, tuple):
                pickle, first, last = entry
                for item in loads(pickle)[first:last]:
                    entries.append(memoryview(dumps(item, PROTOCOL)))
            else:
                entries.append(entry)
        return entries


def raise_empty() -> NoReturn:
    """Raise what the manual says of a queue that stays empty."""
    from queue import Empty

    raise Empty
