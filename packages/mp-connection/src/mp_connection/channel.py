"""Packet channels, for the layers above and for programs that want no `Connection`.

`PacketChannel` carries a `Message` made by `pickle_message`; `unpickle` is the way
back.
"""

from __future__ import annotations

from mp_connection._channel import (
    CLOEXEC as CLOEXEC,
    CONTROL_SIZE as CONTROL_SIZE,
    DONTWAIT as DONTWAIT,
    NOSIGNAL as NOSIGNAL,
    PACKET_SIZE as PACKET_SIZE,
    SLICE_SECONDS as SLICE_SECONDS,
    PacketChannel as PacketChannel,
    Received as Received,
    adopt as adopt,
    arrivals as arrivals,
    keeping as keeping,
    packet_pair as packet_pair,
    poller as poller,
    ready_to_read as ready_to_read,
    receiver as receiver,
    send_packet as send_packet,
    senders as senders,
)
from mp_connection._framing import INLINE_LIMIT as INLINE_LIMIT, Message as Message
from mp_connection._lookout import Lookout as Lookout, recent as recent
from mp_connection._padding import padded_packet as padded_packet
from mp_connection._pickling import (
    PROTOCOL as PROTOCOL,
    message_of as message_of,
    message_of_bytes as message_of_bytes,
    message_reductions as message_reductions,
    pickle_message as pickle_message,
    pickle_with_handles as pickle_with_handles,
    unpickle as unpickle,
)
from mp_connection._tasks import (
    close_channel as close_channel,
    readable as readable,
)

__all__ = (
    "CLOEXEC",
    "CONTROL_SIZE",
    "DONTWAIT",
    "INLINE_LIMIT",
    "NOSIGNAL",
    "PACKET_SIZE",
    "PROTOCOL",
    "SLICE_SECONDS",
    "Lookout",
    "Message",
    "PacketChannel",
    "Received",
    "adopt",
    "arrivals",
    "close_channel",
    "keeping",
    "message_of",
    "message_of_bytes",
    "message_reductions",
    "packet_pair",
    "padded_packet",
    "pickle_message",
    "pickle_with_handles",
    "poller",
    "readable",
    "ready_to_read",
    "receiver",
    "recent",
    "send_packet",
    "senders",
    "unpickle",
)
