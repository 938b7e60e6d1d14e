"""Waits of tasks in event loops, and one thread for all of them.

A futex has no descriptor that an event loop could watch.  So there is one thread in
the process, as long as any task waits, that sleeps on the words of all of them
(futex_waitv(2), Linux 5.16) and tells their event loops what changed.  What is awaited
is taken in the task itself, so that it belongs to the thread of the event loop, and a
task that is cancelled has taken nothing; a wake-up that was meant for it is passed on.

Where the kernel cannot sleep on several words, or there are more than it takes, the
tasks look themselves, in intervals that grow to 20 ms.
"""

from __future__ import annotations

import asyncio
import threading
from time import monotonic

from mp_connection.lifecycle import after_fork
from mp_sync import _turns
from mp_sync._backend import Lock, Words, sleep_on_any, wake_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, Protocol

    class Announcing(Protocol):
        """What waiters announce themselves to."""

        def _announce(self, change: int, /) -> None: ...
        def _seen(self) -> tuple[int, int]: ...

    class Taking(Announcing, Protocol):
        """What can be taken."""

        def _poll(self) -> bool: ...
        def release(self) -> None: ...

    _Waited = tuple[object, int, int, asyncio.AbstractEventLoop]


#: Seconds after which each looks again: whoever was woken may have been killed.
_SLICE = 0.15
#: Seconds after which the thread ends when nobody has waited.
_IDLE = 0.15
#: Words that the thread sleeps on at a time, beside its own.
_MOST = 120
#: Seconds between the looks of a task that the thread cannot help.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02


async def acquire(lock: Taking, timeout: float | None) -> bool:
    """Take a lock or a semaphore; whether it was taken."""
    deadline = _deadline_of(timeout)
    if lock._poll():
        return True
    wait = _Wait()
    while deadline is None or monotonic() < deadline:
        lock._announce(1)
        try:
            address, seen = lock._seen()
            if lock._poll():
                return True
            try:
                await wait.changed(lock, address, seen, deadline)
            except BaseException:
                # The wake-up that we got, if we did, was one for somebody.
                wake_one(address)
                raise
        finally:
            lock._announce(-1)
        if lock._poll():
            return True
    return False


async def release(lock: Taking, timeout: None) -> None:
    """What ``async with`` ends with."""
    lock.release()


async def wait(event: Announcing, timeout: float | None) -> bool:
    """Wait for an event; whether it was set."""
    deadline = _deadline_of(timeout)
    address, first = event._seen()
    if first & 1:
        return True
    waiting = _Wait()
    while deadline is None or monotonic() < deadline:
        event._announce(1)
        try:
            await waiting.changed(event, address, first, deadline)
        finally:
            event._announce(-1)
        # Any change from an unset word is a setting.
        if event._seen()[1] != first:
            return True
    return False


async def wait_for_turn(lock: Lock, words: Words, timeout: float | None) -> bool:
    """Wait for a condition; whether it was notified."""
    if not lock._depth():
        raise RuntimeError("who waits for a condition has to hold the lock")
    deadline = _deadline_of(timeout)
    ticket = _turns.take_ticket(words)
    waiting = _Wait()
    address, seen = words._seen(_turns.SEQUENCE)
    lock._release_all()
    held = False
    try:
        while deadline is None or monotonic() < deadline:
            if _turns.may_go(words, ticket):
                held = await _take_back(lock)
                if _turns.take_grant(words, ticket):
                    return True
                lock._release_all()
                held = False
            await waiting.changed(words, address, seen, deadline)
            seen = words._seen(_turns.SEQUENCE)[1]
        held = await _take_back(lock)
        if _turns.take_grant(words, ticket):
            return True
    except BaseException as error:
        if not held and not isinstance(error, _CancelledWithLock):
            try:
                await _take_back(lock)
            except _CancelledWithLock:
                pass
        _turns.withdraw(words, ticket)
        wake_one(address)  # what woke us was for somebody
        raise
    _turns.withdraw(words, ticket)
    return False


class _CancelledWithLock(asyncio.CancelledError):
    """A task was cancelled while it took a lock back, which it holds now."""


async def _take_back(lock: Lock) -> Literal[True]:
    """Hold the lock, however often the task is cancelled meanwhile.

    Raises:
        _CancelledWithLock: it was.
        OwnerDiedError: another holder of a robust lock died.
    """
    cancelled = False
    while True:
        try:
            await acquire(lock, None)
            break
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise _CancelledWithLock
    return True


def _deadline_of(timeout: float | None) -> float | None:
    if timeout is not None and timeout != timeout:
        raise ValueError("the timeout is not a number")
    return None if timeout is None else monotonic() + timeout


class _Wait:
    """One task's waiting, be it helped by the thread or not."""

    __slots__ = ("_pause",)

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE

    async def changed(
        self, owner: object, address: int, seen: int, deadline: float | None
    ) -> None:
        """Until a word of the owner is another, for a slice, or to the deadline."""
        left = _SLICE if deadline is None else min(_SLICE, deadline - monotonic())
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        sleeper = _sleeper.add((owner, address, seen, loop), future)
        if sleeper is None:
            await asyncio.sleep(max(0, min(left, self._pause)))
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return
        handle = loop.call_later(max(0, left), _finish, future)
        try:
            await future
        finally:
            handle.cancel()
            sleeper.remove(future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Thread(threading.Thread):
    """For mp-process: a forked child needs nothing that this thread holds."""

    forks_safely = True


class _Sleeper:
    """The thread, and whom it tells of what."""

    def __init__(self) -> None:
        # Recursive: a task that is collected within `add` removes itself there.
        self._lock = threading.RLock()
        #: What each waits for: a word of an object, which has to stay mapped.
        self._waits: dict[asyncio.Future[None], _Waited] = {}
        #: Changes when there is something new to sleep on; while the thread runs.
        self._news: Words | None = None
        self._able = True

    def add(self, waited: _Waited, future: asyncio.Future[None]) -> _Sleeper | None:
        """Tell of a change of a word; None if that is not possible."""
        with self._lock:
            if not self._able or len(self._waits) >= _MOST:
                return None
            self._waits[future] = waited
            news = self._news
            if news is None:
                self._news = Words()
                thread = _Thread(
                    target=self._run, args=(self._news,), name="mp-sync", daemon=True
                )
                thread.start()
            else:
                news.wake(0, 1)
        return self

    def remove(self, future: asyncio.Future[None]) -> None:
        """Nobody waits for this any more."""
        with self._lock:
            self._waits.pop(future, None)

    def _run(self, news: Words) -> None:
        idle = False
        while True:
            own = news._seen(0)
            with self._lock:
                waits = list(self._waits.items())
                if not waits and idle:
                    self._news = None
                    return
            idle = not waits
            pairs = [(address, seen) for _, (_, address, seen, _) in waits]
            try:
                changed = sleep_on_any([own, *pairs], _IDLE if idle else _SLICE)
            except OSError:  # the kernel is older, or forbids it
                changed = list(range(len(waits) + 1))
                with self._lock:
                    self._able = False
            self._tell([waits[index - 1] for index in changed if index])

    def _tell(self, changed: list[tuple[asyncio.Future[None], _Waited]]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for future, (_, _, _, loop) in changed:
            self.remove(future)
            by_loop.setdefault(loop, []).append(future)
        for loop, futures in by_loop.items():
            try:
                loop.call_soon_threadsafe(_finish_all, futures)
            except RuntimeError:
                pass  # it is closed, and so nobody waits there


def _finish_all(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        _finish(future)


_sleeper = _Sleeper()


def _in_forked_child() -> None:
    # The thread is the parent's.
    global _sleeper
    _sleeper = _Sleeper()


after_fork(_in_forked_child)
