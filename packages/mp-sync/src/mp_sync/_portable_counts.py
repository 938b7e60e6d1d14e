"""Semaphores, events and words of the portable backend."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from operator import index as as_index

from mp_sync._backend import _rebuild_portable
from mp_sync._libc import EVERYBODY, MUTEX_SIZE, enter, sleep_on, unlock, wake
from mp_sync._permits import Permits
from mp_sync._portable_base import Shared, TakenByTasks, deadline_of
from mp_sync.arena import Block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

_MAX_VALUE = 2**31 - 1
_MASK = 2**32 - 1

# Words of a semaphore.
_VALUE = 0
_MAXIMUM = 1
_WAITED = 2

# Words of an event.
_WORD = 0  # the lowest bit: whether it is set; the others count the settings
_AWAITED = 1


class Semaphore(TakenByTasks):
    """A count that processes and threads share (manual, "Semaphore").

    Args:
        value: how often it can be taken before anybody waits; 0 to 2**31 - 1.
        robust: whether each permit belongs to the process that took it.  No other can
            release it then, and when the process ends, what it holds is given back.
            The value is 1 at least and never rises above it.

    Raises:
        ValueError: the value is out of range.
        OSError: there is no shared memory left, or no descriptor.
    """

    __slots__ = ("_permits",)

    _waited: ClassVar[int] = _WAITED
    _bounded: ClassVar[bool] = False
    _permits: Permits | None

    def __new__(
        cls, value: int = 1, *, robust: bool = False, ctx: object = None
    ) -> Self:
        number = as_index(value)
        if not 0 <= number <= _MAX_VALUE:
            raise ValueError(
                f"a semaphore begins with 0 to {_MAX_VALUE}, not with {value!r}"
            )
        if robust:
            return cls._attach(Permits(number))
        self = cls._make()
        self._words[_MAXIMUM] = number if cls._bounded else _MAX_VALUE
        self._words[_VALUE] = number
        return self

    @classmethod
    def _attach(cls, contents: Block | Permits) -> Self:
        if isinstance(contents, Permits):
            self = object.__new__(cls)
            self._permits = contents
        else:
            self = super()._attach(contents)
            self._permits = None
        return self

    def __reduce__(self) -> tuple[object, ...]:
        contents = self._block if self._permits is None else self._permits
        attributes = getattr(self, "__dict__", None)
        return _rebuild_portable, (type(self), contents), attributes

    def _acquire(self, taken: list[bool], deadline: float | None) -> bool:
        if self._permits is not None:
            return self._permits._acquire(taken, deadline)
        return super()._acquire(taken, deadline)

    def _try(self, taken: list[bool], waiting: bool) -> bool:
        words, address = self._words, self._address
        more = False
        try:
            enter(address)
            value = words[_VALUE]
            if waiting:
                words[_WAITED] = 1
            if not value:
                return False
            words[_VALUE] = value - 1
            taken[0] = True
            more = waiting and value > 1
            return True
        finally:
            unlock(address)
            if more:  # several were released, and only the first woke anybody
                wake(self._word(_WAITED), 1)

    def release(self) -> None:
        """Raise the value by one, and wake a waiter; any process and thread may.

        Raises:
            ValueError: the value is as high as it may be, or the semaphore is robust
                and this process holds no permit.
        """
        if self._permits is not None:
            self._permits.release()
            return
        words, address = self._words, self._address
        waited = 0
        try:
            enter(address)
            value = words[_VALUE]
            if value >= words[_MAXIMUM]:
                raise ValueError("the semaphore is released too many times")
            waited = words[_WAITED]
            words[_WAITED] = 0
            words[_VALUE] = value + 1
        finally:
            unlock(address)
            if waited:
                wake(address + MUTEX_SIZE + 4 * _WAITED, 1)

    def get_value(self) -> int:
        """How often it can be taken right now."""
        if self._permits is not None:
            return self._permits.get_value()
        return self._words[_VALUE]

    def locked(self) -> bool:
        """Whether it cannot be taken at once."""
        return not self.get_value()

    def __repr__(self) -> str:
        name = type(self).__name__
        if self._permits is not None:
            return f"<{name} {self._permits}>"
        maximum = self._words[_MAXIMUM]
        rest = "" if maximum == _MAX_VALUE else f" maximum={maximum}"
        return f"<{name} value={self._words[_VALUE]}{rest}>"

    def _announce(self, change: int) -> None:
        if self._permits is not None:
            self._permits._announce(change)

    def _poll(self) -> bool:
        return super()._poll() if self._permits is None else self._permits._poll()

    def _seen(self) -> tuple[int, int]:
        return super()._seen() if self._permits is None else self._permits._seen()


class BoundedSemaphore(Semaphore):
    """A semaphore whose value never gets above the first one.

    Args and errors are those of Semaphore.
    """

    __slots__ = ()

    _bounded: ClassVar[bool] = True


class Event(Shared):
    """A flag that processes and threads wait for (manual, "Event").

    Raises:
        OSError: there is no shared memory left, or no descriptor.
    """

    __slots__ = ()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._words[_WORD] & 1 == 1

    def set(self) -> None:
        """Set it, and let all go on who wait; it waits for none of them."""
        words, address = self._words, self._address
        awaited = 0
        try:
            enter(address)
            if not words[_WORD] & 1:
                awaited = words[_AWAITED]
                words[_AWAITED] = 0
                words[_WORD] = (words[_WORD] + 2 | 1) & _MASK
        finally:
            unlock(address)
            if awaited:
                wake(address + MUTEX_SIZE + 4 * _WORD, EVERYBODY)

    def clear(self) -> None:
        """Unset it."""
        words, address = self._words, self._address
        try:
            enter(address)
            words[_WORD] &= ~1 & _MASK
        finally:
            unlock(address)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, also if it is cleared again at once.

        Args:
            timeout: seconds to wait at most; None for ever, negative is zero.

        Returns:
            Whether it was set; False when the time is over.
        """
        deadline = deadline_of(timeout)
        # Any change from an unset word is a setting: clearing one leaves it as it is.
        first = self._words[_WORD]
        if first & 1:
            return True
        late = False
        while not late:
            self._announce(1)
            late = sleep_on(self._word(_WORD), first, deadline)
            if self._words[_WORD] != first:
                return True
        return False

    async def await_(self, timeout: float | None = None) -> bool:
        """Wait in an event loop, where other tasks run meanwhile.

        Args and result are those of wait.
        """
        from mp_sync import _async

        return await _async.wait(self, timeout)

    def _announce(self, change: int) -> None:
        # The flag is for all who wait; the next to set it takes it down.
        if change > 0:
            words, address = self._words, self._address
            try:
                enter(address)
                words[_AWAITED] = 1
            finally:
                unlock(address)

    def _seen(self) -> tuple[int, int]:
        return self._word(_WORD), self._words[_WORD]

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"


class Words(Shared):
    """Sixteen numbers of 32 bits, to build upon."""

    __slots__ = ()

    _size: ClassVar[int] = 128

    def get(self, index: int) -> int:
        """The word of an index."""
        return self._words[_checked(index)]

    def set(self, index: int, value: int) -> None:
        """Set the word of an index to a value."""
        words, address = self._words, self._address
        try:
            enter(address)  # or an addition that goes on would undo it
            words[_checked(index)] = value & _MASK
        finally:
            unlock(address)

    def add(self, index: int, change: int) -> int:
        """Add to the word of an index, at once; what it was before."""
        words, address = self._words, self._address
        try:
            enter(address)
            before = words[_checked(index)]
            words[index] = (before + change) & _MASK
            return before
        finally:
            unlock(address)

    def wake(self, index: int, count: int) -> None:
        """Raise the word of an index, and wake so many who sleep on it."""
        self.add(index, 1)
        wake(self._word(index), min(count, EVERYBODY))

    def sleep(self, index: int, seen: int, timeout: float | None) -> bool:
        """Sleep on the word of an index while it has a value; seconds, or None.

        Returns whether the time is over.  It may return for no reason, and does after
        a slice.
        """
        return sleep_on(self._word(_checked(index)), seen, deadline_of(timeout))

    def _seen(self, index: int) -> tuple[int, int]:
        return self._word(_checked(index)), self._words[index]


def _checked(index: int) -> int:
    if not 0 <= index < 16:
        raise IndexError("there is no such word")
    return index


for _kind in (Semaphore, BoundedSemaphore, Event):
    _kind.__module__ = "mp_sync"
