"""What tasks of an event loop do with connections, by the platform's means."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from mp_connection._aio_linux import (
        accept as accept,
        recv as recv,
        recv_bytes as recv_bytes,
        send as send,
        send_bytes as send_bytes,
    )
else:
    from mp_connection._aio_unsupported import (
        accept as accept,
        recv as recv,
        recv_bytes as recv_bytes,
        send as send,
        send_bytes as send_bytes,
    )
