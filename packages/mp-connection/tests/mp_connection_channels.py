"""What several modules of tests do with channels."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import time

from mp_connection._receiver_linux import Receiver
from mp_connection.channel import DONTWAIT, PacketChannel

Channels = tuple[PacketChannel, PacketChannel]


def some_bytes(size: int) -> bytearray:
    """So many, which are not alike."""
    return bytearray((os.urandom(1000) * (size // 1000 + 1))[:size])


def received_by(channel: PacketChannel) -> bytes:
    """The bytes of the next message, in time."""
    received = channel.recv(time.monotonic() + 20)
    return b"".join(received.parts)


def begun_by(receiver: Receiver) -> bool:
    """Take the announcement, or a step more, of a message; not all of it."""
    try:
        assert receiver.step(DONTWAIT) is None
    except BlockingIOError:
        return False
    return receiver.started
