"""Queues that know how many of their items are unfinished.

An item is unfinished while it is in the queue, and from then on until a process calls
`task_done`.  What is in the queue is known in any case.  For the rest each process has
a number in shared memory, of the items that it took less the calls it made; the sum
says what is under way.  The number of a process that died is dropped if it had taken
more than it had finished, and so nobody waits for what it will never do.

Items are taken and finished by the holder of the queue's lock, who waits for nothing
meanwhile.  So the numbers are exact, and a process that is killed within has either
taken an item and counted it, or has lost one that nobody counts.
"""

from __future__ import annotations

import os

from mp_sync._queue import Queue
from mp_sync._queue_core import EVERYBODY, MORE, SLEEP
from mp_sync._queue_platform import identity, is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import TypeVar as TypeVarWithDefault

    T = TypeVarWithDefault("T", default=Any)
else:
    T = None

#: Processes that may take items at the same time and be known by name, so that the
#: words need less than a page.  What others had taken is not released at their death.
_PROCESSES = 240
#: So many new ones come before a place of one that is dead is looked for.
_MANY = 8

_USED = MORE  # how many of the following were ever used
_OWNERS = MORE + 1  # identities of processes
_HELD = _OWNERS + _PROCESSES + 1  # what each has taken and not finished
_NOBODYS = _PROCESSES  # the index of what is in no process's name

_FINISHED = 1  # the word that `join` sleeps on


class JoinableQueue(Queue[T]):
    """A queue that can be waited for until its items are done (see the manual).

    Args:
        maxsize: how many items it holds at most; zero or less for any number.
        ctx: as for `Queue`.
    """

    _words_needed = _HELD + _PROCESSES + 1
    _counting = True

    #: The process that `_place` is about.
    _pid = 0
    _place = _NOBODYS

    def task_done(self) -> None:
        """Say that an item which was got is finished.

        Any process may say so, once for each item.

        Raises:
            ValueError: no item is unfinished, or the queue is closed.
        """
        self._check()
        if not self._under_lock(self._finish):
            raise ValueError("task_done() was called more often than items were put")

    def _finish(self) -> bool:
        left = self._unfinished()
        if left > 0:
            self._count(-1)
        if left == 1:
            self._words.add(_FINISHED, 1)
            self._words.wake(_FINISHED, EVERYBODY)
        return left > 0

    def join(self) -> None:
        """Wait until there is no unfinished item.

        Items that a process had got when it ended count as finished.

        Raises:
            ValueError: the queue is closed.
        """
        while True:
            self._check()
            seen = self._words.get(_FINISHED)
            if not self._under_lock(self._unfinished):
                return
            if not self._under_lock(self._unfinished_by_the_living):
                return
            self._words.sleep(_FINISHED, seen, SLEEP)

    def _unfinished_by_the_living(self) -> int:
        self._release_the_dead()
        return self._unfinished()

    def _unfinished(self) -> int:
        numbers = self._numbers
        used = numbers[_USED]
        held = numbers[_HELD + _NOBODYS] + sum(numbers[_HELD : _HELD + used])
        return max(0, self._size() + held)

    def _release_the_dead(self) -> None:
        numbers = self._numbers
        for place in range(numbers[_USED]):
            owner = numbers[_OWNERS + place]
            if numbers[_HELD + place] > 0 and not is_alive(owner):
                numbers[_HELD + place] = 0

    def _lost(self) -> None:
        self._under_lock(self._finish)

    def _count(self, items: int) -> None:
        self._numbers[self._counter()] += items

    def _counter(self) -> int:
        pid = os.getpid()
        if pid != self._pid:
            self._place = self._find_place(identity(pid))
            self._pid = pid
        return _HELD + self._place

    def _find_place(self, mine: int) -> int:
        numbers = self._numbers
        used = numbers[_USED]
        owners = numbers[_OWNERS : _OWNERS + used].tolist()
        if mine in owners:
            return owners.index(mine)
        if used and used % _MANY == 0:
            self._release_the_dead()
            for place, owner in enumerate(owners):
                if not numbers[_HELD + place] and not is_alive(owner):
                    numbers[_OWNERS + place] = mine
                    return place
        if used == _PROCESSES:
            return _NOBODYS
        numbers[_OWNERS + used] = mine
        numbers[_USED] = used + 1
        return used


JoinableQueue.__module__ = "mp_sync"
