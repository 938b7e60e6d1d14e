"""The names of `_tls_posix`, where streams are not written yet."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from mp_connection._allowing import AllowList
    from mp_connection._connection import Connection
    from mp_connection._stream import StreamChannel


def _refuse() -> NoReturn:
    raise NotImplementedError(f"mp-connection has no TLS for {sys.platform} yet")


def check_context(context: object, family: str, server: bool) -> None:
    _refuse()


def tls_channel(
    sock: Any, context: Any, server_hostname: str | None = None
) -> StreamChannel:
    _refuse()


def open_client(
    sock: Any, context: Any, server_hostname: str, deadline: float | None
) -> StreamChannel:
    _refuse()


def connection_over(
    channel: StreamChannel, allow: AllowList | None = None
) -> Connection[Any, Any]:
    _refuse()
