"""Conditions: to wait, within a lock, until another process says that it may be time.

How notifications find those that they are for stands in `mp_sync._turns`.
"""

from __future__ import annotations

from time import monotonic

from mp_sync._backend import Lock, RLock, Words, condition_notify, condition_wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Literal, TypeVar

    T = TypeVar("T")

_EVERYBODY = 2**31 - 1


class Condition:
    """A condition that processes and threads share (manual, "Condition").

    Args:
        lock: a `Lock` or `RLock` of this package; None makes a new `RLock`.
        ctx: taken for the sake of programs that say it.

    Raises:
        TypeError: the lock is something else.
        OSError: there is no shared memory left, or no descriptor.
    """

    def __init__(self, lock: Lock | RLock | None = None, *, ctx: object = None) -> None:
        if lock is None:
            lock = RLock()
        elif not isinstance(lock, (Lock, RLock)):
            raise TypeError(
                f"a condition is made over a Lock or an RLock, not over {lock!r}"
            )
        self._lock = lock
        self._words = Words()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take the lock; see there."""
        return self._lock.acquire(block, timeout)

    def release(self) -> None:
        """Let go of the lock; see there."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After a wait that could not take the lock back there is nothing to release.
        if error is None or self._lock._depth():
            self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Let go of the lock, wait until notified, and take the lock back.

        Args:
            timeout: seconds to wait at most; None for ever, negative is zero.  Taking
                the lock back is not limited.

        Returns:
            Whether it was notified; False when the time is over.

        Raises:
            RuntimeError: the caller does not hold the lock.
            OwnerDiedError: another holder of the `RLock` died meanwhile, and the lock
                could not be taken back.
        """
        return condition_wait(self._lock, self._words, timeout)

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until *predicate* is true.

        Args:
            predicate: called within the lock, takes nothing.
            timeout: seconds to wait at most, in all; None for ever.

        Returns:
            What *predicate* returned last, which is false if the time is over.

        Raises:
            RuntimeError: the caller does not hold the lock.
            OwnerDiedError: as by `wait`.
        """
        deadline = None if timeout is None else monotonic() + timeout
        result = predicate()
        while not result:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Let *n* of those who wait go on, or all if they are fewer.

        It does not let go of the lock, which they need before they can.

        Raises:
            RuntimeError: the caller does not hold the lock.
        """
        condition_notify(self._lock, self._words, n)

    def notify_all(self) -> None:
        """Let all go on who wait.

        Raises:
            RuntimeError: the caller does not hold the lock.
        """
        self.notify(_EVERYBODY)

    # For event loops.

    async def __aenter__(self) -> Literal[True]:
        await self._task_lock().aacquire()
        return True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    async def aacquire(self, timeout: float | None = None) -> bool:
        """Take the lock in an event loop; see `Lock.aacquire`.

        Raises:
            TypeError: the lock is an `RLock`.
        """
        return await self._task_lock().aacquire(timeout)

    async def await_(self, timeout: float | None = None) -> bool:
        """Wait in an event loop, where other tasks run meanwhile.

        Args and result are those of `wait`.  A wait that is cancelled holds the lock
        when it ends, as any other does.

        Raises:
            RuntimeError: this thread does not hold the lock.
            TypeError: the lock is an `RLock`, which all tasks of a thread would hold
                at the same time: make the condition over a `Lock`.
        """
        from mp_sync import _async

        return await _async.wait_for_turn(self._task_lock(), self._words, timeout)

    async def await_for(
        self, predicate: Callable[[], T], timeout: float | None = None
    ) -> T:
        """Wait in an event loop until *predicate* is true; see `wait_for`."""
        deadline = None if timeout is None else monotonic() + timeout
        result = predicate()
        while not result:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                break
            await self.await_(left)
            result = predicate()
        return result

    def _task_lock(self) -> Lock:
        if not isinstance(self._lock, Lock):
            raise TypeError(
                "all tasks of a thread hold an RLock at the same time; make the"
                " condition over a Lock: Condition(Lock())"
            )
        return self._lock

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._lock!r}>"


Condition.__module__ = "mp_sync"
