"""Calls of methods for tasks of an event loop."""

from __future__ import annotations

import asyncio

from mp_managers._protocol import RETURN
from mp_managers._session import Announced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mp_managers._proxy import BaseProxy


async def call(
    proxy: BaseProxy, name: str, args: Sequence[Any], kwds: Mapping[str, Any]
) -> Any:
    """See `BaseProxy._acallmethod`."""
    session = proxy._session
    idle = getattr(session, "idle", None)
    if idle is None or session.standard:
        return await asyncio.to_thread(proxy._callmethod, name, args, kwds)
    try:
        link = idle.pop()
    except IndexError:
        link = await asyncio.to_thread(session.open_link)
    connection = link.connection
    try:
        await connection.asend((proxy._id, name, args, kwds))
        kind, value = await connection.arecv()
    except BaseException as error:
        # A reply may still be on its way, for nobody: what the task has acquired
        # meanwhile is taken back by the server, as for a client that is gone.
        session.discard(connection)
        if isinstance(error, (EOFError, OSError)):
            session.ended(error)
        raise
    idle.append(link)
    if kind == RETURN:
        return value
    reply = [value, kind]
    del value
    result = session.translate(reply)
    return proxy._introduce(result) if type(result) is Announced else result
