"""What differs between platforms: waiting for many descriptors, waking a waiter up."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    #: What one call of recvmsg returns: bytes, ancillary data, flags, address.
    Packet = tuple[bytes, Sequence[tuple[int, int, bytes]], int, object]

if sys.platform == "linux":
    from mp_pool._platform_linux import (
        PEEK_NOW as PEEK_NOW,
        RECEIVE as RECEIVE,
        RECEIVE_NOW as RECEIVE_NOW,
        SEND_NOW as SEND_NOW,
        Poller as Poller,
        Waker as Waker,
        available_cpus as available_cpus,
        end_reading as end_reading,
        end_sending as end_sending,
        receiver as receiver,
        resident_bytes as resident_bytes,
        sender as sender,
    )
else:
    from mp_pool._platform_unsupported import (
        PEEK_NOW as PEEK_NOW,
        RECEIVE as RECEIVE,
        RECEIVE_NOW as RECEIVE_NOW,
        SEND_NOW as SEND_NOW,
        Poller as Poller,
        Waker as Waker,
        available_cpus as available_cpus,
        end_reading as end_reading,
        end_sending as end_sending,
        receiver as receiver,
        resident_bytes as resident_bytes,
        sender as sender,
    )
