"""Messages as XML (``serializer="xmlrpclib"``): plain data only, and nothing that runs.

Tuples arrive as lists, and exceptions as text: XML-RPC has neither.
"""

from __future__ import annotations

from xmlrpc import client

from mp_managers._protocol import ERROR, TRACEBACK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def dump(obj: Any) -> bytes:
    """A message.

    Raises:
        TypeError: it holds something else than plain data.
        OverflowError: it holds a large integer.
    """
    if isinstance(obj, tuple) and len(obj) == 2:
        kind, value = obj
        if kind == ERROR:
            obj = TRACEBACK, f"{type(value).__name__}: {value}"
        elif type(value) in _VIEWS:
            obj = kind, list(value)
    return client.dumps((obj,), allow_none=True).encode("utf-8", "surrogatepass")


def load(data: bytes) -> Any:
    """What a message holds.

    Raises:
        ExpatError: it is no XML.
    """
    ((obj,), _) = client.loads(data, use_builtin_types=True)
    return obj
