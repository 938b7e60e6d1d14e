"""Lock and RLock of the portable backend."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import errno
import os

from mp_sync._libc import (
    EVERYBODY,
    MUTEX_SIZE,
    consistent,
    enter,
    make_mutex,
    trylock,
    unlock,
    wake,
)
from mp_sync._portable_base import Shared, Taken, TakenByTasks, me
from mp_sync.arena import Block, allocate
from mp_sync.errors import OwnerDiedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self

# Words of a plain lock.
_HELD = 0
_PID = 1
_TID = 2
_WAITED = 3

# Words of one whose mutex is the lock; 1 and 2 as above.
_ROBUST = 0
_COUNT = 4
_DEAD = 5
_SLEPT_ON = 6

#: Memory of locks that were dropped while a thread of ours held them: its list of
#: robust mutexes, which the kernel walks when the thread ends, leads through it.
_kept: list[object] = []


def _owner_repr(lock: Shared, rest: str = "") -> str:
    pid, tid = lock._words[_PID], lock._words[_TID]
    owner = f"(process {pid}, thread {tid})" if pid else "None"
    return f"<{type(lock).__name__} owner={owner}{rest}>"


class Mutex(Taken):
    """A mutex of which the kernel tells when its holder dies.

    Only its holder changes the words, but for the one that is slept on.  That one is
    stored without a fence; where the processor lets the look at the mutex overtake the
    store, a wake-up may be missed, and the sleeper looks again after its slice.
    """

    __slots__ = ()

    _size: ClassVar[int] = 128
    _guarded: ClassVar[bool] = False
    _waited: ClassVar[int] = _SLEPT_ON

    def _try(self, taken: list[bool], waiting: bool) -> bool:
        words = self._words
        pid, tid = me()
        if waiting:
            words[_SLEPT_ON] = 1
        error = trylock(self._address)
        if error == errno.EBUSY:
            return False
        if error == errno.EOWNERDEAD:
            self._found_dead()
        elif error:
            raise OSError(error, os.strerror(error))
        if words[_DEAD]:
            dead = words[_DEAD]
            self._let_go()  # so that the next one learns it too
            raise OwnerDiedError(dead)
        words[_COUNT] = 1
        words[_TID] = tid
        words[_PID] = pid
        taken[0] = True
        return True

    def _found_dead(self) -> None:
        # Noted before the mutex is declared consistent, in case we are killed here.
        # No owner: it died while it took the lock or let it go, within nothing.
        words = self._words
        if words[_PID]:
            words[_DEAD] = words[_PID]
        words[_PID] = 0
        words[_COUNT] = 0
        consistent(self._address)

    def _undo(self, taken: list[bool]) -> None:
        if taken[0]:
            self._release()
        elif not self._mine():
            unlock(self._address)  # which does nothing if it is not ours

    def _mine(self) -> bool:
        words = self._words
        return words[_PID] == os.getpid() and (words[_PID], words[_TID]) == me()

    def _let_go(self) -> None:
        words, address = self._words, self._word(_SLEPT_ON)
        unlock(self._address)
        if words[_SLEPT_ON]:
            words[_SLEPT_ON] = 0
            wake(address, EVERYBODY if words[_DEAD] else 1)

    def _release(self) -> None:
        self._words[_COUNT] = 0
        self._words[_PID] = 0
        self._let_go()

    def locked(self) -> bool:
        """Whether it cannot be taken at once."""
        return self._words[_PID] != 0

    def recover(self) -> bool:
        """Take the lock of a process that died in possession of it.

        Until somebody does, acquire raises OwnerDiedError, as what the lock protects
        may be half changed.

        Returns:
            True: it is held by the caller now, who sees to the data and releases it.
            False: there is nothing to recover, for instance because another process
            was first; the lock is not taken.
        """
        words = self._words
        if self._mine():
            return False
        pid, tid = me()
        try:
            error = trylock(self._address)
            if error not in (0, errno.EOWNERDEAD):
                return False
            if error:
                self._found_dead()
            if words[_DEAD]:
                words[_COUNT] = 1
                words[_TID] = tid
                words[_PID] = pid
                words[_DEAD] = 0
                return True
        except BaseException:
            if self._mine():
                words[_PID] = 0
            unlock(self._address)
            raise
        self._let_go()
        return False

    def _depth(self) -> int:
        return self._words[_COUNT] if self._mine() else 0

    def _release_all(self) -> None:
        if not self._mine():
            raise AssertionError("who lets go of a lock has to hold it")
        self._release()

    def _take_back(self, depth: int) -> None:
        """Hold it so often, whatever signals arrive."""
        _whatever_happens(self, depth)
        self._words[_COUNT] = depth

    def __del__(self) -> None:
        words = getattr(self, "_words", None)
        if words is not None and words[_PID] == os.getpid():
            _kept.append((self._block, self._anchor))


def _whatever_happens(lock: Lock | Mutex, depth: int) -> None:
    interruption: BaseException | None = None
    while True:
        try:
            if lock._depth():
                break
            lock.acquire()
        except OwnerDiedError:
            raise
        except BaseException as error:
            interruption = error
    if interruption is not None:
        if isinstance(lock, Mutex):
            lock._words[_COUNT] = depth
        raise interruption


class RLock(Mutex):
    """A lock that its holder can take again (manual, "RLock").

    It belongs to a process and thread, which releases it as often as it took it.  When
    that process or thread ends while it holds the lock, the next acquire raises
    OwnerDiedError; see recover.

    Raises:
        OSError: there is no shared memory left, or no descriptor.
    """

    __slots__ = ()

    def _acquire(self, taken: list[bool], deadline: float | None) -> bool:
        if self._mine():
            self._words[_COUNT] += 1
            taken[0] = True
            return True
        return super()._acquire(taken, deadline)

    def _undo(self, taken: list[bool]) -> None:
        if taken[0]:
            self.release()
        else:
            super()._undo(taken)

    def release(self) -> None:
        """Undo one acquire; after the last, one waiter goes on.

        Raises:
            AssertionError: this process and thread does not hold it.
        """
        if not self._mine():
            raise AssertionError(
                "a recursive lock is released by the process and thread that hold it"
            )
        if self._words[_COUNT] > 1:
            self._words[_COUNT] -= 1
        else:
            self._release()

    def __repr__(self) -> str:
        count = self._words[_COUNT]
        return _owner_repr(self, f" count={count}" if count else "")


class Lock(TakenByTasks):
    """A lock that processes and threads share (manual, "Lock").

    It is taken once and may be let go by anybody.  So it stays held when a process dies
    that holds it, unless it is robust.

    Args:
        robust: whether it belongs to the process and thread that take it.  Nobody else
            can release it then, and when they end in possession of it, the next
            acquire raises OwnerDiedError; see recover.

    Raises:
        OSError: there is no shared memory left, or no descriptor.
    """

    __slots__ = ("_mutex",)

    _waited: ClassVar[int] = _WAITED
    _mutex: _OneTimeMutex | None

    def __new__(cls, *args: Any, robust: bool = False, **kwargs: Any) -> Self:
        if (args or kwargs.keys() - {"ctx"}) and cls.__init__ is object.__init__:
            raise TypeError("no arguments are expected")
        if not robust:
            return cls._make()
        block = allocate(Mutex._size)
        mutex = _OneTimeMutex._attach(block)
        make_mutex(mutex._address, recursive=False)
        mutex._words[_ROBUST] = 2
        return cls._attach(block)

    @classmethod
    def _attach(cls, block: Block) -> Self:
        self = super()._attach(block)
        self._mutex = None
        if self._words[_ROBUST] == 2:
            self._mutex = _OneTimeMutex._attach(block)
        return self

    def _acquire(self, taken: list[bool], deadline: float | None) -> bool:
        if self._mutex is not None:
            return self._mutex._acquire(taken, deadline)
        return super()._acquire(taken, deadline)

    def _undo(self, taken: list[bool]) -> None:
        if self._mutex is not None:
            self._mutex._undo(taken)
        else:
            super()._undo(taken)

    def _try(self, taken: list[bool], waiting: bool) -> bool:
        words, address = self._words, self._address
        pid, tid = me()
        try:
            enter(address)
            if words[_HELD]:
                if waiting:
                    words[_WAITED] = 1
                return False
            words[_HELD] = 1
            taken[0] = True
            words[_PID] = pid
            words[_TID] = tid
            if waiting:
                words[_WAITED] = 1
            return True
        finally:
            unlock(address)

    def release(self) -> None:
        """Let go; any process and thread may, whoever took it, unless it is robust.

        Raises:
            ValueError: it is not held.
            AssertionError: it is robust, and another process or thread holds it.
        """
        if self._mutex is not None:
            self._mutex.release()
            return
        words, address = self._words, self._address
        waited = 0
        try:
            enter(address)
            if not words[_HELD]:
                raise ValueError("the lock is not held, and cannot be released")
            waited = words[_WAITED]
            words[_PID] = 0
            words[_WAITED] = 0
            words[_HELD] = 0
        finally:
            unlock(address)
            if waited:
                wake(address + MUTEX_SIZE + 4 * _WAITED, 1)

    def locked(self) -> bool:
        """Whether it cannot be taken at once."""
        if self._mutex is not None:
            return self._mutex.locked()
        return self._words[_HELD] != 0

    def recover(self) -> bool:
        """Take the robust lock of a process that died in possession of it.

        Returns:
            As `RLock.recover`.

        Raises:
            RuntimeError: it was not made with ``robust=True``.
        """
        if self._mutex is None:
            raise RuntimeError(
                "a lock that anybody may release cannot be recovered; make it with"
                " Lock(robust=True)"
            )
        return self._mutex.recover()

    def __repr__(self) -> str:
        return _owner_repr(self)

    def _depth(self) -> int:
        return (self._words[_PID], self._words[_TID]) == me()

    def _release_all(self) -> None:
        self.release()

    def _take_back(self, depth: int) -> None:
        _whatever_happens(self, depth)

    def _poll(self) -> bool:
        return super()._poll() if self._mutex is None else self._mutex._poll()

    def _seen(self) -> tuple[int, int]:
        return super()._seen() if self._mutex is None else self._mutex._seen()


class _OneTimeMutex(Mutex):
    """What a robust lock is."""

    __slots__ = ()

    def release(self) -> None:
        """Let go of it, if it is ours."""
        if self._mine():
            self._release()
        elif self._words[_PID]:
            raise AssertionError(
                "a robust lock is released by the process and thread that hold it"
            )
        else:
            raise ValueError("the lock is not held, and cannot be released")


for _kind in (Lock, RLock):
    _kind.__module__ = "mp_sync"
