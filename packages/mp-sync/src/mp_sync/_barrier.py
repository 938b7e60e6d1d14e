"""Barriers: to wait until so many processes have come.

Everything is changed by the holder of a recursive lock.  A party that has come takes a
seat, another such lock, for as long as it waits; by the seat the others see, at the end
of each slice of their sleep, that it has died.  The seats are twice as many as parties,
as those who may go on leave theirs only when they run.
"""

from __future__ import annotations

from time import monotonic

from mp_sync._backend import RLock, Words
from mp_sync.arena import allocate
from mp_sync.errors import OwnerDiedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeVar

    T = TypeVar("T")

# Indices of the words.
_SEQUENCE = 0  # what they sleep on
_ROUND = 1  # counts the times that all have come, and the resets
_ARRIVED = 2
_BROKEN = 3
_RESETS = 4
_RESET_ROUNDS = 8  # and the seven that follow: the rounds that were reset last

_EVERYBODY = 2**31 - 1
_MODULUS = 2**32


class _Visit:
    """What one call of `wait` leaves to be undone.

    Attributes:
        round: that in which it came.
        seat: what it took, or tried to.
    """

    __slots__ = ("round", "seat")

    def __init__(self) -> None:
        self.round: int | None = None
        self.seat: RLock | None = None


class Barrier:
    """A barrier that processes and threads share (manual, "Barrier").

    Args:
        parties: how many have to come, one at least.
        action: called by the last of them, before any goes on; takes nothing.
        timeout: of `wait`, where that is given none.
        ctx: taken for the sake of programs that say it.

    Raises:
        ValueError: there are no parties.
        OSError: there is no shared memory left, or no descriptor.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        ctx: object = None,
    ) -> None:
        if parties < 1:
            raise ValueError(f"a barrier has one party at least, not {parties}")
        self._parties = parties
        self._action = action
        self._timeout = timeout
        self._lock = RLock()
        self._words = Words()
        self._seats = [RLock() for _ in range(2 * parties)]
        self._block = allocate(8 * parties)
        #: the rounds in which the seats were taken
        self._taken_in = self._block.memory().cast("I")

    def __getstate__(self) -> dict[str, object]:
        state = self.__dict__.copy()
        del state["_taken_in"]
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._taken_in = self._block.memory().cast("I")

    @property
    def parties(self) -> int:
        """How many have to come."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many have come and wait."""
        return 0 if self.broken else self._words.get(_ARRIVED)

    @property
    def broken(self) -> bool:
        """Whether nobody can wait here until `reset`."""
        return self._words.get(_BROKEN) != 0

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have come.

        Args:
            timeout: seconds to wait at most, None for the barrier's own; when they
                are over, or when a signal handler raises, the barrier is broken.

        Returns:
            A number from 0 to ``parties - 1``, to each party another.

        Raises:
            threading.BrokenBarrierError: the barrier is broken or was reset: by a call,
                a time-out, an interrupted party, one that died, or a failed action.
            Exception: what the action raised, in the party that ran it.
        """
        if timeout is None:
            timeout = self._timeout
        deadline = None if timeout is None else monotonic() + timeout
        visit = _Visit()
        try:
            return self._wait(visit, deadline)
        except BaseException:
            if visit.round is not None:
                self._under_lock(lambda: self._break(visit.round))
            raise
        finally:
            if visit.seat is not None and visit.seat._depth():
                visit.seat._release_all()

    def _wait(self, visit: _Visit, deadline: float | None) -> int:
        words = self._words
        index, current = self._under_lock(lambda: self._arrive(visit))
        while True:
            seen = words.get(_SEQUENCE)
            if self._is_over(current):
                return index
            left = None if deadline is None else deadline - monotonic()
            late = words.sleep(_SEQUENCE, seen, left)
            if late and not self._is_over(current):
                self._under_lock(lambda: self._break(current))
            elif words.get(_SEQUENCE) == seen:
                self._look_for_the_dead(current)

    def _arrive(self, visit: _Visit) -> tuple[int, int]:
        """Come; the number of this party, and the round."""
        words = self._words
        current = words.get(_ROUND)
        index = words.get(_ARRIVED)
        if index + 1 == self._parties:
            self._break_for_the_dead(current)
        if words.get(_BROKEN):
            _fail("the barrier is broken; it can be reset")
        visit.round = current
        if index + 1 < self._parties:
            self._take_seat(visit, current, index)
            words.set(_ARRIVED, index + 1)
        else:
            if self._action is not None:
                self._action()
            self._next_round(current)
        return index, current

    def _take_seat(self, visit: _Visit, current: int, index: int) -> None:
        seats = self._seats
        # The likely one first: parties of the round before may be in the other half.
        first = index + self._parties * (current & 1)
        while True:
            for number in (*range(first, len(seats)), *range(first)):
                seat = seats[number]
                if seat._depth():
                    continue  # this thread's: a signal handler waits within a wait
                visit.seat = seat
                try:
                    taken = seat.acquire(False)
                except OwnerDiedError:  # in a round that is over, or is being broken
                    taken = self._taken_in[number] != current and seat.recover()
                if taken:
                    self._taken_in[number] = current
                    return
            # They all belong to parties that may go on and have not run yet.
            self._words.sleep(_SEQUENCE, self._words.get(_SEQUENCE), 0.001)

    def _is_over(self, current: int) -> bool:
        """Whether all have come; raises if the round ended otherwise."""
        words = self._words
        if words.get(_ROUND) != current:
            noted = current % (_MODULUS - 1) + 1  # zero is none
            if noted in [words.get(_RESET_ROUNDS + i) for i in range(8)]:
                _fail("the barrier was reset")
            return True
        if words.get(_BROKEN):
            _fail("the barrier is broken: a party gave up, failed or died")
        return False

    def _look_for_the_dead(self, current: int) -> None:
        lock = self._lock
        try:
            if lock.acquire(block=False) and self._words.get(_ROUND) == current:
                self._break_for_the_dead(current)
        except OwnerDiedError:
            self._repair()
        finally:
            if lock._depth():
                lock._release_all()

    def _break_for_the_dead(self, current: int) -> None:
        for number, taken_in in enumerate(self._taken_in):
            seat = self._seats[number]
            if taken_in != current or seat._depth():
                continue
            try:
                if seat.acquire(block=False):
                    seat.release()  # not taken in this round, but in one like it
            except OwnerDiedError:
                self._break(current)

    def _next_round(self, current: int) -> None:
        words = self._words
        words.set(_ARRIVED, 0)
        words.set(_ROUND, (current + 1) % _MODULUS)
        words.wake(_SEQUENCE, _EVERYBODY)

    def _break(self, current: int | None) -> None:
        words = self._words
        if words.get(_ROUND) == current:
            words.set(_BROKEN, 1)
            words.wake(_SEQUENCE, _EVERYBODY)

    def abort(self) -> None:
        """Break the barrier: all who wait, or come, get an error until `reset`."""
        self._under_lock(lambda: self._break(self._words.get(_ROUND)))

    def reset(self) -> None:
        """Make the barrier as new; those who wait get an error."""
        self._under_lock(self._reset)

    def _reset(self) -> None:
        words = self._words
        current = words.get(_ROUND)
        if words.get(_ARRIVED) or words.get(_BROKEN):
            number = words.add(_RESETS, 1) % 8
            words.set(_RESET_ROUNDS + number, current % (_MODULUS - 1) + 1)
            self._next_round(current)
            words.set(_BROKEN, 0)

    def _under_lock(self, function: Callable[[], T]) -> T:
        entered = False
        while True:
            try:
                with self._lock:
                    entered = True
                    return function()
            except OwnerDiedError:
                if entered:  # it is the action's own
                    raise
                self._repair()

    def _repair(self) -> None:
        """Break the barrier for a party that died within a call."""
        lock = self._lock
        try:
            if lock.recover():
                self._break(self._words.get(_ROUND))
        finally:
            if lock._depth():
                lock._release_all()

    def __repr__(self) -> str:
        state = "broken" if self.broken else f"{self.n_waiting} waiting"
        return f"<{type(self).__name__} parties={self._parties} {state}>"


def _fail(text: str) -> NoReturn:
    from mp_sync._broken import BrokenBarrierError

    raise BrokenBarrierError(text)


Barrier.__module__ = "mp_sync"
