"""The permits of a robust semaphore: who holds how many, and is it still there.

There is a slot for each process that holds permits: its number, when it started, and
how many it has.  Whoever changes a slot holds a recursive lock, whose own robustness
lets others go on when one is killed there; each single store leaves the slots right.
What is left is the first number less all that is held, so that nothing has to be given
back for a process that ended: its slot is emptied by the next one that finds no permit
left.
"""

from __future__ import annotations

import os
from time import monotonic

from mp_sync import _backend
from mp_sync.arena import allocate
from mp_sync.errors import OwnerDiedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

# Indices of the words.
_SEQUENCE = 0  # what they sleep on
_WAITERS = 1

# Words of a slot.
_PID, _START, _COUNT, _WIDTH = 0, 1, 2, 4

#: Processes that can hold permits of one semaphore at a time; others wait.
_MOST_HOLDERS = 1024


class Permits:
    """So many permits.

    Raises:
        ValueError: there is none, or there are too many.
        OSError: there is no shared memory left, or no descriptor.
    """

    def __init__(self, value: int) -> None:
        if value < 1:
            raise ValueError(
                "a robust semaphore begins with one permit at least, as nobody can"
                " release what he does not hold"
            )
        self._value = value
        self._lock = _backend.RLock()
        self._words = _backend.Words()
        self._slots = allocate(4 * _WIDTH * min(value, _MOST_HOLDERS))

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; see `Semaphore.acquire`."""
        deadline = None if timeout is None else monotonic() + timeout
        if timeout is not None and timeout != timeout:
            raise ValueError("the timeout is not a number")
        taken = [False]
        try:
            return self._acquire(taken, deadline if block else 0.0)
        except BaseException:
            # A signal handler raised, maybe when it was just taken.
            if taken[0]:
                self.release()
            raise

    def _acquire(self, taken: list[bool], deadline: float | None) -> bool:
        words = self._words
        late = False
        if self._under_lock(lambda: self._take(taken)):
            return True
        if deadline == 0.0:
            return False
        while not late:
            words.add(_WAITERS, 1)
            try:
                seen = words.get(_SEQUENCE)
                if self._under_lock(lambda: self._take(taken)):
                    return True
                left = None if deadline is None else deadline - monotonic()
                late = words.sleep(_SEQUENCE, seen, left)
            finally:
                words.add(_WAITERS, -1)
        return self._under_lock(lambda: self._take(taken))

    def release(self) -> None:
        """Give a permit back; see `Semaphore.release`."""
        if not self._under_lock(self._give_back):
            raise ValueError(
                "this process holds no permit of the semaphore, and cannot release one"
            )
        if self._words.get(_WAITERS):
            self._words.wake(_SEQUENCE, 1)

    def get_value(self) -> int:
        """How many are left, as far as anybody knows."""
        return self._value - sum(self._view()[_COUNT::_WIDTH])

    def _view(self) -> memoryview:
        return self._slots.memory().cast("I")

    def _take(self, taken: list[bool]) -> bool:
        view = self._view()
        if self._value == sum(view[_COUNT::_WIDTH]):
            self._look_for_the_dead(view)
            if self._value == sum(view[_COUNT::_WIDTH]):
                return False
        pid, start = _this_process()
        free = None
        for at in range(0, len(view), _WIDTH):
            if not view[at + _COUNT]:
                free = at if free is None else free
            elif view[at] == pid and view[at + _START] == start:
                view[at + _COUNT] += 1
                taken[0] = True  # with no call in between
                return True
        if free is None:
            return False
        view[free] = pid
        view[free + _START] = start
        view[free + _COUNT] = 1  # last: from here on it counts
        taken[0] = True
        return True

    def _give_back(self) -> bool:
        view = self._view()
        pid, start = _this_process()
        for at in range(0, len(view), _WIDTH):
            if view[at + _COUNT] and view[at] == pid and view[at + _START] == start:
                view[at + _COUNT] -= 1
                return True
        return False

    @staticmethod
    def _look_for_the_dead(view: memoryview) -> None:
        for at in range(0, len(view), _WIDTH):
            if view[at + _COUNT] and not _lives(view[at], view[at + _START]):
                view[at + _COUNT] = 0

    def _under_lock(self, function: Callable[[], T]) -> T:
        while True:
            try:
                with self._lock:
                    return function()
            except OwnerDiedError:
                try:
                    self._lock.recover()  # the slots are right after each store
                finally:
                    if self._lock._depth():
                        self._lock._release_all()

    # For event loops.

    def _announce(self, change: int) -> None:
        self._words.add(_WAITERS, change)

    def _poll(self) -> bool:
        return self._under_lock(lambda: self._take([False]))

    def _seen(self) -> tuple[int, int]:
        return self._words._seen(_SEQUENCE)

    def __str__(self) -> str:
        return f"value={self.get_value()} maximum={self._value} robust"


_started: dict[int, int] = {}


def _this_process() -> tuple[int, int]:
    pid = os.getpid()
    start = _started.get(pid)
    if start is None:
        _started.clear()  # of the parent we were forked from
        start = _started[pid] = _start_of(pid) or 0
    return pid, start


def _lives(pid: int, start: int) -> bool:
    """Whether a process runs: the same one, as numbers are used again."""
    try:
        now = _start_of(pid)
    except OSError:
        # Not there, or it cannot be looked at.
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return True
    return now is not None and (now == start or not start)


def _start_of(pid: int) -> int | None:
    """When a process started, in the kernel's ticks; None if it has ended."""
    # Only Linux has the primitives below so far, and it has this.
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The name, in parentheses, may contain anything.
        fields = file.read().rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19]) & (2**32 - 1)
