"""The names of `_aio_linux`, where there are no connections yet."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TypeVar

    from mp_connection._connection import Connection
    from mp_connection._listener import Listener

    SendT = TypeVar("SendT")
    RecvT = TypeVar("RecvT")


def _refuse() -> NoReturn:
    raise NotImplementedError(
        f"mp-connection has no support for asyncio on {sys.platform} yet"
    )


async def send(connection: Connection[SendT, RecvT], obj: SendT) -> None:
    _refuse()


async def send_bytes(connection: Connection[SendT, RecvT], data: memoryview) -> None:
    _refuse()


async def recv(connection: Connection[SendT, RecvT]) -> RecvT:
    _refuse()


async def recv_bytes(
    connection: Connection[SendT, RecvT], maxlength: int | None
) -> bytes:
    _refuse()


async def accept(listener: Listener[SendT, RecvT]) -> Connection[SendT, RecvT]:
    _refuse()
