"""How items get into a queue."""

from __future__ import annotations

from functools import partial
from time import monotonic, sleep

from mp_connection.channel import (
    DONTWAIT,
    PROTOCOL,
    Message,
    padded_packet,
    send_packet,
)
from mp_connection.handover import Handover, hand_over
from mp_connection.lean import dumps, loads
from mp_sync._backlog import COUNT
from mp_sync._queue_core import (
    NOW,
    ROOM,
    SLEEP,
    WANTED,
    BusyError,
    QueueCore,
)
from mp_sync._queue_platform import STEP, create_file, writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from typing_extensions import Buffer


#: Seconds to wait for a reader that is at work, before the backlog is begun.
PATIENCE = 0.02
#: Seconds between two looks at what no event tells of.
_MOMENT = 0.002

# What came of an attempt.
_DONE = 0
_FULL = 1  # the queue has as many items as it may have
_NO_ROOM = 2  # the kernel takes no more, or others come first


class Putting(QueueCore):
    """The half of a queue that puts."""

    def _put(self, message: Message, deadline: float | None) -> None:
        packet = padded_packet(message, STEP)
        until = deadline if deadline == NOW else None
        while True:
            self._check()
            seen = self._words.get(ROOM)
            try:
                if packet is None:
                    outcome = self._hand_over(message, deadline == NOW)
                else:
                    offer = partial(self._offer, packet, message.handles)
                    outcome = self._counted(offer)
                if outcome == _NO_ROOM and packet is not None:
                    if until is None:
                        until = monotonic() + PATIENCE
                    if self._soon(until):
                        continue
                if outcome == _NO_ROOM and not message.handles:
                    outcome = self._under_lock(partial(self._defer, message))
            except (BrokenPipeError, ValueError):
                self._check()
                if self._ignore_epipe:
                    return  # concurrent.futures has closed the reading end alone
                raise
            except BusyError:
                self._late.append(message)
                return
            if outcome == _DONE:
                return
            self._wait_for_room(seen, deadline, outcome == _FULL)

    def _soon(self, until: float) -> bool:
        """Whether a reader that is at work makes room until then."""
        seconds = until - monotonic()
        if seconds <= 0 or self._numbers[COUNT]:
            return False
        return writable(self._ends.writer, seconds)

    def _counted(self, attempt: Callable[[], int]) -> int:
        """Call a function that puts one item, if there may be one more."""
        if not self._counting and not self._maxsize:
            return attempt()
        return self._under_lock(lambda: _FULL if self._is_full() else attempt())

    def _offer(self, packet: Sequence[Buffer], handles: Sequence[int]) -> int:
        """Put a packet if the kernel has room, and nothing else comes before it."""
        if self._numbers[COUNT]:
            return _NO_ROOM
        try:
            send_packet(self._ends.writer, packet, handles, DONTWAIT)
        except BrokenPipeError:
            raise
        except OSError:
            self._check()
            return _NO_ROOM  # or it is too long for one packet
        return _DONE

    def _hand_over(self, message: Message, at_once: bool) -> int:
        """Put a large item, which goes by itself, if nothing else comes before it."""
        patience = 0.0 if at_once else PATIENCE
        while True:
            if self._numbers[COUNT]:
                return _NO_ROOM
            try:
                handover = hand_over(message, STEP, create_file, not at_once)
            except OSError:
                if message.handles:
                    raise
                return _NO_ROOM  # of descriptors there are none: but memory, perhaps
            try:
                outcome = self._counted(partial(self._announce, handover))
                if outcome != _DONE or self._complete(handover, patience):
                    return outcome
            except BlockingIOError:
                # More is in flight than this user may have.  What was announced is
                # torn, and will be passed over.
                return _NO_ROOM
            finally:
                handover.close()

    @staticmethod
    def _complete(handover: Handover, patience: float) -> bool:
        """See to all of it; False if its receiver died, or gave it up.

        Raises:
            BlockingIOError: too many descriptors are in flight.
        """
        try:
            if not handover.send(patience):
                handover.leave()
        except BrokenPipeError:
            return False
        return True

    def _announce(self, handover: Handover) -> int:
        if self._numbers[COUNT]:
            return _NO_ROOM
        try:
            handover.announce(self._ends.writer)
        except BlockingIOError:
            return _NO_ROOM
        return _DONE

    def _is_full(self) -> bool:
        """Whether there is no room, and somebody will say when there is."""
        if not self._maxsize or self._size() < self._maxsize:
            return False
        self._numbers[WANTED] = 1
        # Once more, lest somebody has made room before that.
        return self._size() >= self._maxsize

    def _defer(self, message: Message) -> int:
        """Put a message in the backlog; the lock is held."""
        if self._is_full():
            return _FULL
        self._backlog.append(message)
        self._nudge()
        return _DONE

    def _wait_for_room(self, seen: int, deadline: float | None, full: bool) -> None:
        seconds = SLEEP
        if deadline is not None:
            seconds = min(seconds, deadline - monotonic())
            if seconds <= 0:
                raise_full()
        if full:
            self._words.sleep(ROOM, seen, seconds)
        else:
            sleep(min(seconds, _MOMENT))

    def _put_pickles(self, pickles: list[bytes], deadline: float | None) -> None:
        """Put items, in order, by way of the backlog."""
        self._check()
        while pickles:
            seen = self._words.get(ROOM)
            try:
                done = self._under_lock(lambda: self._append_items(pickles))
            except BusyError:
                self._late.extend(Message([data]) for data in pickles)
                return
            del pickles[:done]
            if pickles:
                self._wait_for_room(seen, deadline, True)

    def _put_group(self, pickle: bytes, items: int) -> None:
        """Put plain items that are one pickle, in a queue without a maximum."""
        self._check()
        try:
            self._under_lock(lambda: self._append_group(pickle, items))
        except BusyError:
            singles = [Message([dumps(item, PROTOCOL)]) for item in loads(pickle)]
            self._late.extend(singles)

    def _append_group(self, pickle: bytes, items: int) -> None:
        self._backlog.append_group(pickle, items)
        self._nudge()

    def _append_items(self, pickles: Sequence[bytes]) -> int:
        if self._maxsize:
            if self._is_full():
                return 0
            pickles = pickles[: self._maxsize - self._size()]
        self._backlog.append_items(pickles)
        self._nudge()
        return len(pickles)

    def _put_late(self, message: Message) -> None:
        packet = padded_packet(message, STEP)
        if packet is None or self._offer(packet, message.handles) != _DONE:
            self._backlog.append(message)
            self._nudge()


def raise_full() -> NoReturn:
    """Raise what the manual says of a queue that stays full."""
    from queue import Full  # brings `threading` along

    raise Full
