"""What the types of the portable backend have in common."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import math
import os
from _thread import get_native_id
from time import monotonic

from mp_sync._backend import _rebuild_portable
from mp_sync._libc import MUTEX_SIZE, make_mutex, sleep_on
from mp_sync.arena import Block, allocate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, ClassVar, Literal, Self


#: The deadline of who does not wait.
AT_ONCE = 0.0


def me() -> tuple[int, int]:
    """Process and thread: the kernel gives no other thread this number meanwhile."""
    return os.getpid(), get_native_id()


def deadline_of(timeout: float | None) -> float | None:
    """When a wait of so many seconds ends; None if it does not."""
    if timeout is None:
        return None
    seconds = timeout + 0.0
    if math.isnan(seconds):
        raise ValueError("the timeout is not a number")
    return monotonic() + max(seconds, 0) if seconds < 4e9 else None


class Shared:
    """An object over a block: a mutex first, then words.

    The block is mapped as long as this object lives.
    """

    __slots__ = ("__weakref__", "_address", "_anchor", "_block", "_words")

    #: bytes of the block
    _size: ClassVar[int] = 64
    #: whether the mutex guards the words, and is not the lock itself
    _guarded: ClassVar[bool] = True

    _address: int
    _anchor: object
    _block: Block
    _words: memoryview

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # The standard package's classes have to be told a context.
        if (args or kwargs.keys() - {"ctx"}) and cls.__init__ is object.__init__:
            raise TypeError("no arguments are expected")
        return cls._make()

    @classmethod
    def _make(cls) -> Self:
        self = cls._attach(allocate(cls._size))
        make_mutex(self._address, recursive=self._guarded)
        return self

    @classmethod
    def _attach(cls, block: Block) -> Self:
        self = object.__new__(cls)
        self._place(block, cls._size)
        return self

    def _place(self, block: Block, size: int) -> None:
        if block.offset + size > len(block.mapping):
            raise ValueError("the block does not lie in its arena")
        self._block = block
        self._anchor = ctypes.c_char.from_buffer(block.mapping, block.offset)
        self._address = ctypes.addressof(self._anchor)
        start = block.offset + MUTEX_SIZE
        self._words = memoryview(block.mapping)[start : block.offset + size].cast("I")

    def _word(self, index: int) -> int:
        """The address of a word."""
        return self._address + MUTEX_SIZE + 4 * index

    def __reduce__(self) -> tuple[object, ...]:
        attributes = getattr(self, "__dict__", None)
        return _rebuild_portable, (type(self), self._block), attributes


class Taken(Shared):
    """What can be acquired and released.

    Who waits stores 1 in a word before it looks whether it can take the object; a
    release stores 0 there after the object is free, and wakes one.  As others may be
    asleep beside that one, it stores 1 again when it takes the object.
    """

    __slots__ = ()

    #: the index of that word
    _waited: ClassVar[int]

    def _try(self, taken: list[bool], waiting: bool) -> bool:
        """Take it if that can be done at once, and note so in the same step."""
        raise NotImplementedError

    def _undo(self, taken: list[bool]) -> None:
        """Give back what was taken when a signal handler raised."""
        if taken[0]:
            self.release()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it, waiting if need be; returns whether it was taken.

        Args:
            block: whether to wait.
            timeout: seconds to wait at most; None for ever, negative is zero.
        """
        deadline = deadline_of(timeout) if block else AT_ONCE
        taken = [False]
        try:
            return self._acquire(taken, deadline)
        except BaseException:
            self._undo(taken)
            raise

    def _acquire(self, taken: list[bool], deadline: float | None) -> bool:
        if self._try(taken, False):
            return True
        late = deadline == AT_ONCE
        while not late:
            if self._try(taken, True):
                return True
            late = sleep_on(self._word(self._waited), 1, deadline)
            if self._try(taken, True):
                return True
        return False

    def release(self) -> None:
        """Let go of it."""
        raise NotImplementedError

    def __enter__(self) -> Literal[True]:
        # Whatever a signal handler raises, also after it was taken: the body of the
        # with statement is not entered, and nobody would release it.
        taken = [False]
        try:
            self._acquire(taken, None)
        except BaseException:
            self._undo(taken)
            raise
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    # For event loops.

    def _announce(self, change: int) -> None:
        pass  # each look announces

    def _poll(self) -> bool:
        return self._try([False], True)

    def _seen(self) -> tuple[int, int]:
        return self._word(self._waited), 1


class TakenByTasks(Taken):
    """What tasks of event loops can acquire as well."""

    __slots__ = ()

    async def aacquire(self, timeout: float | None = None) -> bool:
        """Take it in an event loop, where other tasks run meanwhile.

        Args:
            timeout: seconds to wait at most; None for ever, negative is zero.

        Returns:
            Whether it was taken.  A wait that is cancelled has not taken it.
        """
        from mp_sync import _async

        return await _async.acquire(self, timeout)

    async def __aenter__(self) -> Literal[True]:
        await self.aacquire()
        return True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
