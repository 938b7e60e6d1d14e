"""Sleeping until another thread says so, with a time limit and Ctrl-C at any moment.

Whoever waits leaves a function that ends the wait in a list; whoever has news first
makes them visible and then calls what is there.  List operations are single steps, so
that nothing needs a lock that an interrupted thread could leave held.
"""

from __future__ import annotations

from _thread import TIMEOUT_MAX, allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Sleepers = list[Callable[[], object]]


def sleep_until(
    is_done: Callable[[], bool], sleepers: Sleepers, timeout: float | None
) -> None:
    """Sleep until something is done, or was; this may also return too early.

    Args:
        is_done: whether it is; `wake_all` is called when that has become so.
        sleepers: who sleeps for it.
        timeout: seconds at most; None for ever.
    """
    lock = allocate_lock()
    lock.acquire()
    wake = lock.release
    sleepers.append(wake)
    if is_done():
        return  # whoever did it calls `wake`, or has no reason to
    try:
        if timeout is None:
            lock.acquire()
        else:
            lock.acquire(True, min(max(0.0, timeout), TIMEOUT_MAX))
    finally:
        # After a time-out or Ctrl-C nobody else has use for it.
        if not is_done():
            forget(wake, sleepers)


def forget(wake: Callable[[], object], sleepers: Sleepers) -> None:
    """Have a sleeper not woken any more."""
    try:
        sleepers.remove(wake)
    except ValueError:
        pass  # it was woken just now


def wake_all(sleepers: Sleepers) -> None:
    """Wake whoever sleeps."""
    while sleepers:
        try:
            wake = sleepers.pop()
        except IndexError:
            return  # another thread woke it
        wake()


async def wake_up_in_loop(is_done: Callable[[], bool], sleepers: Sleepers) -> None:
    """Do in an event loop what `sleep_until` does in a thread."""
    from asyncio import get_running_loop

    loop = get_running_loop()
    news = loop.create_future()

    def tell() -> None:
        if not news.done():
            news.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    sleepers.append(wake)
    try:
        if not is_done():
            await news
    finally:
        forget(wake, sleepers)
