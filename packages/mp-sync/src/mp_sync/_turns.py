"""Whose turn it is to go on, when a condition is notified; and the wait for it.

Who waits has a ticket, which are numbered in order.  A notification of all who wait
moves a line: whoever has a ticket below it goes on.  One of some adds to a number of
grants, and notes which tickets were there: a waiter that comes later cannot take one
away from those that it was meant for.  Everything is changed by the holder of the lock
only, and a grant is taken by a waiter after it has the lock back.  So the grant of one
that is killed before stays for the next, which looks for it at the end of its slice.

A waiter that is killed, or interrupted at a bad moment, remains counted until all are
notified.  Never is one counted too few, which would lose notifications; one too many
may at worst let a later notification of some wake one waiter more.

``native/condition.c`` is the same in C, on the same words.
"""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Words(Protocol):
        """Of either backend."""

        def get(self, index: int, /) -> int: ...
        def set(self, index: int, value: int, /) -> None: ...
        def add(self, index: int, change: int, /) -> int: ...
        def wake(self, index: int, count: int, /) -> None: ...
        def sleep(self, index: int, seen: int, timeout: float | None, /) -> bool: ...

    class Lock(Protocol):
        """Of the portable backend."""

        def _depth(self) -> int: ...
        def _release_all(self) -> None: ...
        def _take_back(self, depth: int) -> None: ...


# Indices of the words.
SEQUENCE = 0  # what they sleep on
_NEXT = 1  # the next ticket
_WAITING = 2  # tickets that are not below the line
_GRANTS = 3  # how many of those may go on
_GRANTED_BELOW = 4  # if their ticket is below this
_LINE = 5  # all tickets below this may go on

_EVERYBODY = 2**31 - 1
_MODULUS = 2**32


def condition_wait(lock: Lock, words: Words, timeout: float | None) -> bool:
    """Let go of the lock, wait for a notification, take the lock back."""
    depth = lock._depth()
    if not depth:
        raise RuntimeError("who waits for a condition has to hold the lock")
    deadline = None if timeout is None else monotonic() + timeout
    ticket = take_ticket(words)
    while True:
        seen = words.get(SEQUENCE)
        try:
            lock._release_all()
            late = _sleep(words, ticket, seen, deadline)
        except BaseException:
            lock._take_back(depth)
            withdraw(words, ticket)
            raise
        lock._take_back(depth)
        if take_grant(words, ticket):
            return True
        if late:
            withdraw(words, ticket)
            return False


def condition_notify(lock: Lock, words: Words, n: int) -> None:
    """Let *n* of those who wait go on, or all if they are fewer."""
    if not lock._depth():
        raise RuntimeError("who notifies those who wait has to hold the lock")
    waiting = words.get(_WAITING)
    if n <= 0 or not waiting:
        return
    grants = words.get(_GRANTS) + n
    if grants >= waiting:
        words.set(_LINE, words.get(_NEXT))
        words.set(_WAITING, 0)
        words.set(_GRANTS, 0)
        words.wake(SEQUENCE, _EVERYBODY)
    else:
        words.set(_GRANTED_BELOW, words.get(_NEXT))
        words.set(_GRANTS, grants)
        words.wake(SEQUENCE, n)


def take_ticket(words: Words) -> int:
    """Begin to wait."""
    ticket = words.add(_NEXT, 1)
    if not words.add(_WAITING, 1):
        words.set(_LINE, ticket)  # nobody's is above; so it never lags by 2**31
        words.set(_GRANTS, 0)
    return ticket


def _below(ticket: int, line: int) -> bool:
    # Tickets start again at zero after 2**32.
    return 0 < (line - ticket) % _MODULUS < _MODULUS // 2


def _sleep(words: Words, ticket: int, seen: int, deadline: float | None) -> bool:
    """Until there is a grant to be had; whether the time is over."""
    late = False
    while not late and not may_go(words, ticket):
        left = None if deadline is None else deadline - monotonic()
        late = words.sleep(SEQUENCE, seen, left)
        seen = words.get(SEQUENCE)
    return late


def may_go(words: Words, ticket: int) -> bool:
    """Whether there is a notification to be had."""
    return _below(ticket, words.get(_LINE)) or (
        words.get(_GRANTS) > 0 and _below(ticket, words.get(_GRANTED_BELOW))
    )


def take_grant(words: Words, ticket: int) -> bool:
    """Take the notification, if there is one, and so end to wait."""
    if not may_go(words, ticket):
        return False
    if not _below(ticket, words.get(_LINE)):
        words.add(_GRANTS, -1)
        words.add(_WAITING, -1)
    return True


def withdraw(words: Words, ticket: int) -> None:
    """End to wait without one."""
    if not _below(ticket, words.get(_LINE)):
        waiting = words.add(_WAITING, -1) - 1
        words.set(_GRANTS, min(words.get(_GRANTS), waiting))
