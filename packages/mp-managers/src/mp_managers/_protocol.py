"""The words of the manager protocol, and what two ends of ours add to it.

A request is ``(ident, method, args, kwds)``, where an ident of None asks the server
itself; a reply is ``(kind, value)``.  A standard client opens a connection for each
request to the server, and one for each thread that starts with ``accept_connection``
and carries the calls of methods.

A client of ours opens one connection for each thread, which starts with ``attach``.  A
standard server answers that with a ``#TRACEBACK``, as it does not know the word.  A
server of ours answers with its name and, over a Unix domain socket, with one end of a
packet pair, on which everything else takes half the system calls.  There

- requests to the server and calls of methods may follow one another at will;
- whatever names a shared object in a reply brings one lease of it;
- `DROP` gives leases back, and is not answered;
- the value of an `ERROR` is the exception and the traceback as text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    #: Who makes the proxies of a class: its module and qualified name; None for those
    #: that are made on the fly.
    Kind: TypeAlias = tuple[str, str] | None

RETURN = "#RETURN"
ERROR = "#ERROR"
PROXY = "#PROXY"
TRACEBACK = "#TRACEBACK"
UNSERIALIZABLE = "#UNSERIALIZABLE"
GETVALUE = "#GETVALUE"

#: Ours only.
GONE = "#GONE"
DROP = "#DROP"
TOO_LONG = "#TOO LONG"  # the request; and the client is to take another connection
BATCH = "#BATCH"

#: Of what `attach` says and is told.
VERSION = 1


def server_of(ident: object) -> str | None:
    """The server of ours that an object of this name lives in; None for another's."""
    if not isinstance(ident, str):
        return None
    server_id, dash, _ = ident.rpartition("-")
    return server_id if dash else None
