"""Channels that tasks of an event loop wait for, for the layers above."""

from __future__ import annotations

from mp_connection._endpoint import closers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection._channel import PacketChannel


async def readable(
    channel: PacketChannel, ticket: int | None = None, seconds: float | None = None
) -> int:
    """Wait until it is worth another attempt to receive; perhaps it is not.

    Args:
        channel: what to read from; if it is closed the wait ends.
        ticket: what an earlier call has returned that was for the same message, so that
            the task does not lose its place to those who came later.
        seconds: the longest wait.

    Returns:
        The ticket.
    """
    from mp_connection._aio_wait import ready  # brings asyncio along

    return await ready(channel, ticket=ticket, seconds=seconds)


def close_channel(channel: PacketChannel) -> None:
    """Close a channel that tasks may wait for: their loops let go of it first."""
    for close in closers:
        close(channel)
    channel.close()
