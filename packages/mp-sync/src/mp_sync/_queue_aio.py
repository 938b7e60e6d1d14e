"""Queues for tasks of an event loop: what need not wait, until it succeeds.

A task that is cancelled has either not received an item or returned it.
"""

from __future__ import annotations

import asyncio
from queue import Empty, Full

from mp_connection.channel import SLICE_SECONDS, readable
from mp_sync._queue_core import NOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_connection.channel import Message
    from mp_sync._queue import Queue

#: Seconds to wait for what no event of a loop tells of: the first time, and at most.
_MOMENT = 0.001
_LONGEST = 0.02


async def put(queue: Queue[Any], message: Message) -> None:
    """Put a pickled item, when there is room."""
    seconds = _MOMENT
    while True:
        try:
            return queue._put(message, NOW)
        except Full:
            await asyncio.sleep(seconds)
            seconds = min(2 * seconds, _LONGEST)


async def get(queue: Queue[Any]) -> Any:
    """Take an item, when there is one."""
    ticket: int | None = None
    while True:
        try:
            return queue.get_nowait()
        except Empty:
            pass
        if queue._kept:  # the rest of a large item comes by another way
            await asyncio.sleep(_MOMENT)
        else:
            channel = queue._channel
            ticket = await readable(channel, ticket, SLICE_SECONDS)
