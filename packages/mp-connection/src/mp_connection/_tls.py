"""TLS over streams, by the platform's means.  Loaded when a context is given."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    from mp_connection._tls_posix import (
        check_context as check_context,
        connection_over as connection_over,
        open_client as open_client,
        tls_channel as tls_channel,
    )
else:
    from mp_connection._tls_unsupported import (
        check_context as check_context,
        connection_over as connection_over,
        open_client as open_client,
        tls_channel as tls_channel,
    )
