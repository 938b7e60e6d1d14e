"""Stream channels of the platform that this runs on."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from mp_connection._stream_posix import (
        StreamChannel as StreamChannel,
        adopt_stream as adopt_stream,
        closed_error as closed_error,
        deadline_error as deadline_error,
    )
else:
    from mp_connection._stream_unsupported import (
        StreamChannel as StreamChannel,
        adopt_stream as adopt_stream,
        closed_error as closed_error,
        deadline_error as deadline_error,
    )

TYPE_CHECKING = False
if TYPE_CHECKING:
    if sys.platform != "win32":
        from mp_connection._stream_posix import Stream as Stream
    else:
        from mp_connection._stream_unsupported import Stream as Stream
