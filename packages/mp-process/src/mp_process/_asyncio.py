"""Waiting for a process in an event loop."""

from __future__ import annotations

import asyncio
import os
import time

from mp_process._child import SLICE_SECONDS, Child
from mp_process._descriptor import Descriptor, no_fork


async def ended(child: Child, timeout: float | None = None) -> bool:
    """Wait until *child* has ended; whether it has.

    Args:
        child: any number of tasks, of any number of loops, may wait for it.
        timeout: seconds; None waits for ever.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = 0.0005
    while child.poll() is None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        # As `Child.wait` does: a descriptor says when, but nobody trusts it for long.
        slice_ = SLICE_SECONDS if left is None else min(left, SLICE_SECONDS)
        if await _readable(child, slice_) and child.poll() is None:
            pause = min(2 * pause, 0.05)
            await asyncio.sleep(pause)
    return True


async def _readable(child: Child, seconds: float) -> bool:
    """Whether there may be news of *child* within so many seconds."""
    # A duplicate: a loop has one reader for each descriptor, and the next task that
    # waits would take its place.
    with no_fork:
        fd = child._waiting_fd()
        if fd == -1:
            return True  # another thread has waited for it, and closed it
        try:
            own = Descriptor(os.dup(fd)).private()
        except OSError:
            # Closed just now, or there are no descriptors left: look again soon.
            own = None
    if own is None:
        await asyncio.sleep(min(seconds, 0.01))
        return False
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    try:
        loop.add_reader(own.fileno(), news.set)
        try:
            await asyncio.wait_for(news.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(own.fileno())
    finally:
        own.close()
    return True
