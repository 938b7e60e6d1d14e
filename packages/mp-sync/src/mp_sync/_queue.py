"""Queues: items that are put by some processes, and got by others.

The usual small item takes one system call each way and no other Python frame than the
method's own.  Everything else goes through the core.
"""

from __future__ import annotations

from io import UnsupportedOperation
from itertools import islice

from mp_connection.channel import (
    CLOEXEC,
    DONTWAIT,
    INLINE_LIMIT,
    NOSIGNAL,
    PROTOCOL,
    Message,
    keeping,
    message_of,
    message_of_bytes,
    pickle_message,
    recent,
    unpickle,
)
from mp_connection.lean import PickleBuffer, dumps, follow_reducers, loads
from mp_sync._backend import RLock, Words
from mp_sync._backlog import COUNT, received
from mp_sync._backlog_format import GROUP_ITEMS, is_plain
from mp_sync._ends import Ends
from mp_sync._putting import Putting
from mp_sync._queue_core import WANTED, time_limit
from mp_sync._queue_platform import STEP, items_in
from mp_sync._taking import Taken, Taking
from mp_sync.arena import allocate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Generic

    from typing_extensions import TypeVar as TypeVarWithDefault

    T = TypeVarWithDefault("T", default=Any)
else:
    from mp_connection.lean import Generic

    T = None

follow_reducers(globals())

_PICKLE = 0x80  # the first byte of a pickle
_RAW = (bytes, bytearray)
_QUICK = DONTWAIT | NOSIGNAL


class Queue(Putting, Taking, Generic[T]):
    """A queue that processes and threads share (manual, "Pipes and queues").

    Any number of processes and threads may put and get.  What one of them has put comes
    out in that order; what several have put, in any.  When `put` has returned the item
    is in the queue for all of them, and the process may end.  A forked child shares the
    queue of its parent; it can be sent wherever descriptors can go.

    Args:
        maxsize: how many items it holds at most; zero or less for any number.
        ctx: taken for the sake of programs that say it; a queue works with processes of
            every start method.

    Raises:
        OSError: there is no shared memory left, or no descriptor.
    """

    def __init__(self, maxsize: int = 0, *, ctx: object = None) -> None:
        ends = Ends.create()
        block = allocate(8 * self._words_needed)
        self._open(ends, RLock(), Words(), block, max(0, maxsize))

    # Subclasses may have attributes that cannot travel: as with the standard package
    # they stay behind, unless the subclass has methods of these names.

    # ------------------------------------------------------------------ state

    def __getstate__(self) -> object:
        self._check()
        return self._parts

    def __setstate__(self, state: Any) -> None:
        self._open(*state)

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if self._closed:
            return f"<{name} closed>"
        limit = f" maxsize={self._maxsize}" if self._maxsize else ""
        return f"<{name}{limit} {self.qsize()} items>"

    def qsize(self) -> int:
        """How many items there are now.

        Raises:
            ValueError: the queue is closed.
        """
        self._check()
        if not self._numbers[COUNT]:
            count = items_in(self._channel.sock)
            if not self._numbers[COUNT]:
                return count
        return self._under_lock(self._size)

    def empty(self) -> bool:
        """Whether there is no item now; of a queue that was closed empty, True.

        Raises:
            ValueError: the queue is closed, and was not empty; an OSError as well.
        """
        if self._closed:
            if self._was_empty:
                return True
            raise UnsupportedOperation(f"this {type(self).__name__} is closed")
        # In this order: readers move items from the one to the other.
        return not self._numbers[COUNT] and not items_in(self._channel.sock)

    def full(self) -> bool:
        """Whether there are *maxsize* items now.

        Raises:
            ValueError: the queue is closed.
        """
        return self.qsize() >= self._maxsize > 0

    def close(self) -> None:
        """Let this process put and get no more.  A second call does nothing."""
        if not self._closed:
            try:
                self._was_empty = self.empty()
            except ValueError:
                pass  # its reading end was closed before
            self._shut()

    def join_thread(self) -> None:
        """Return: what was put is not this process's any more.

        Raises:
            AssertionError: `close` was not called.
        """
        if not self._closed:
            raise AssertionError("join_thread() is for a queue that was closed")

    def cancel_join_thread(self) -> None:
        """Do nothing: no process waits for its items at its end."""

    def _terminate_broken(self) -> None:  # concurrent.futures calls it
        self.close()

    @property
    def _reader(self) -> Any:  # concurrent.futures closes them
        return self._ends.reader

    @property
    def _writer(self) -> Any:
        return self._ends.writer

    # ---------------------------------------------------------------- putting

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in the queue.

        Args:
            obj: the item.
            block: whether to wait for room.
            timeout: seconds to wait at most, None for ever.

        Raises:
            queue.Full: there was no room in time.  That is also if the item holds
                descriptors, and there are so many items that it would have to wait in
                memory.
            ValueError: the queue is closed.
            UnpicklableError: part of the object cannot be pickled.
            OSError: there is no memory left.
        """
        recent.sent = True
        buffers: list[PickleBuffer] = []
        if type(obj) in _RAW and len(obj) > INLINE_LIMIT:  # type: ignore[arg-type]
            whole = message_of_bytes(obj)  # type: ignore[arg-type]
            self._put(whole, time_limit(block, timeout))
            return
        try:
            data = dumps(obj, PROTOCOL, buffer_callback=buffers.append)
        except Exception:
            self._check()
            message = self._message(obj)
            if message is None:
                return
        else:
            size = len(data)
            if not buffers and size <= INLINE_LIMIT and not self._numbers[COUNT]:
                try:
                    self._send(data.ljust((size + STEP - 2 & -STEP) + 1, b"\0"), _QUICK)
                    return
                except OSError:
                    pass  # nothing was sent
            message = message_of(obj, data, buffers)
        self._put(message, time_limit(block, timeout))

    def put_nowait(self, obj: T) -> None:
        """As ``put(obj, False)``."""
        self.put(obj, False)

    async def aput(self, obj: T) -> None:
        """Put an item in the queue, when there is room, in a task of an event loop.

        Raises:
            ValueError: the queue is closed.
            Exception: as `put`.
        """
        from mp_sync._queue_aio import put  # brings asyncio along

        self._check()
        message = self._message(obj)
        if message is not None:
            await put(self, message)

    def _message(self, obj: object) -> Message | None:
        """The item pickled; None if somebody else saw to the error."""
        try:
            return pickle_message(obj, "item")
        except Exception as error:
            if type(self)._on_queue_feeder_error is Queue._on_queue_feeder_error:
                raise
            self._on_queue_feeder_error(error, obj)
            return None

    @staticmethod
    def _on_queue_feeder_error(e: Exception, obj: object) -> None:
        """Called instead of raising, where a class that inherits has its own."""
        raise e

    def put_many(
        self,
        items: Iterable[T],
        block: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Put items in the queue, in order, faster than one by one.

        Args:
            items: the items.
            block: whether to wait for room.
            timeout: seconds to wait at most for all of them, None for ever.

        Raises:
            queue.Full: there was no room in time for some of them; those before are in
                the queue.
            Exception: as `put`; those before the item that it is about are in the
                queue.
        """
        deadline = time_limit(block, timeout)
        iterator = iter(items)
        while True:
            chunk: list[T] = []
            try:
                chunk.extend(islice(iterator, GROUP_ITEMS))
            except BaseException:  # of the iterator's: what it gave before is put
                self._put_chunk(chunk, deadline)
                raise
            if not chunk:
                return
            self._put_chunk(chunk, deadline)

    def _put_chunk(self, chunk: list[T], deadline: float | None) -> None:
        if not self._maxsize and is_plain(chunk):
            group = dumps(chunk, PROTOCOL)
            if len(group) <= INLINE_LIMIT:
                self._put_group(group, len(chunk))
                return
        pickles: list[bytes] = []
        try:
            for obj in chunk:
                try:
                    data = dumps(obj, PROTOCOL)
                except Exception:
                    data = b""
                if data and len(data) <= INLINE_LIMIT:
                    pickles.append(data)
                    continue
                # By itself: with descriptors, buffers or an error of its own.
                message = self._message(obj)
                if message is not None:
                    if message.handles:  # which cannot wait behind the others
                        while pickles:
                            self._put(Message([pickles[0]]), deadline)
                            del pickles[0]
                    self._put_pickles(pickles, deadline)
                    self._put(message, deadline)
        except BaseException:
            if pickles:
                self._put_pickles(pickles, deadline)
            raise
        self._put_pickles(pickles, deadline)

    # ---------------------------------------------------------------- getting

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take an item out of the queue.

        Args:
            block: whether to wait for one.
            timeout: seconds to wait at most for all of it, None for ever.

        Raises:
            queue.Empty: no item came in time.
            ValueError: the queue is closed.
            Exception: whatever unpickling raises; the item is gone.
        """
        numbers = self._numbers
        if block and timeout is None and not numbers[COUNT] and not self._kept:
            if recent.sent:
                self._lookout.look()
            try:
                # No signal handler gets between the kernel and these names.
                for arrival in self._arrivals:  # noqa: B007
                    break
            except OSError:
                pass
            else:
                # Operators and no calls, as above.
                if arrival.__class__ is not bytes:
                    packet, control, flags, _ = arrival
                    plain = not control and flags == CLOEXEC
                    if plain and packet and packet[0] == _PICKLE:
                        arrival = packet
                if arrival.__class__ is bytes:
                    try:
                        if numbers[COUNT] or numbers[WANTED]:
                            self._taken()
                        return loads(arrival)  # type: ignore[no-any-return]
                    except Exception:
                        raise
                    except BaseException:
                        self._channel.put_back(received([arrival]))
                        raise
                kept, channels = self._kept, keeping
                kept += (arrival,)
                channels |= {self._channel}
        message = self._take(time_limit(block, timeout))
        handles = message.handles
        try:
            return unpickle(message)  # type: ignore[no-any-return]
        except Exception:
            raise
        except BaseException:
            if not handles:  # otherwise some may be taken
                self._channel.put_back(message)
            raise

    def get_nowait(self) -> T:
        """As ``get(False)``."""
        return self.get(False)

    async def aget(self) -> T:
        """Take an item out of the queue, when there is one, in a task of an event loop.

        A task that is cancelled has taken nothing.

        Raises:
            ValueError: the queue is closed, perhaps meanwhile.
            Exception: as `get`.
        """
        from mp_sync._queue_aio import get

        return await get(self)  # type: ignore[no-any-return]

    def get_many(
        self,
        max: int | None = None,
        timeout: float | None = None,
        block: bool = True,
    ) -> list[T]:
        """Take items out of the queue, as many as there are; one at least.

        Args:
            max: how many at most; None for any number.
            timeout: seconds to wait at most for the first, None for ever.
            block: whether to wait for the first.

        Raises:
            queue.Empty: no item came in time.
            ValueError: the queue is closed, or *max* is below one.
            Exception: whatever unpickling the first raises.  When that of a later one
                fails, those before it are returned, and the next call raises.
        """
        if max is not None and max < 1:
            raise ValueError(f"at least one item has to be asked for, not {max}")
        most = 1 << 62 if max is None else max
        taken = Taken()
        try:
            self._gather(taken, most, time_limit(block, timeout))
            items, error = self._unpickled(taken)
        except BaseException:
            self._put_back(taken.single())
            raise
        if error is not None:
            raise error
        return items

    def _unpickled(self, taken: Taken) -> tuple[list[T], Exception | None]:
        """The items, up to one that fails; its error, if it is the first."""
        items: list[T] = []
        for place, entry in enumerate(taken.entries):
            try:
                if isinstance(entry, tuple):
                    items += loads(entry[0])[entry[1] : entry[2]]
                elif isinstance(entry, memoryview):
                    items.append(loads(entry))
                else:
                    items.append(unpickle(entry))
            except Exception as error:
                first = not items
                del taken.entries[: place + first]
                rest = taken.single()
                taken.entries.clear()
                self._put_back(rest)
                return items, error if first else None
        return items, None


Queue.__module__ = "mp_sync"
