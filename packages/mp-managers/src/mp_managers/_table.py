"""The objects of a server, and who refers to them.  No I/O.

An `Entry` lives as long as somebody refers to it, as any object of Python does: the
leases of the clients, the proxies that lie in other objects of the same server, and the
tickets of proxies that are on their way.  Cycles of objects that only refer to one
another are collected with everything else.
"""

from __future__ import annotations

import threading
import time
from itertools import count
from weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

#: Seconds that a proxy may be on its way, from one process to another.
_LONGEST_WAY = 600.0


class Entry:
    """An object that is shared.

    Attributes:
        ident: its name in the protocol, unlike that of any object of any other server.
        typeid: the type that it was registered as.
        obj: the object.
        exposed: the methods that may be called.
        names: the same, as a set.
        plain: those whose result is sent as it is.
        returns: for methods whose result becomes a shared object, its type.
    """

    __slots__ = (
        "__weakref__", "exposed", "ident", "names", "obj", "plain", "returns", "typeid",
    )  # fmt: skip

    def __init__(
        self,
        ident: str,
        typeid: str,
        obj: Any,
        exposed: tuple[str, ...],
        returns: Mapping[str, str] | None,
    ) -> None:
        self.ident = ident
        self.typeid = typeid
        self.obj = obj
        self.exposed = exposed
        self.names = frozenset(exposed)
        self.plain = self.names - set(returns or ())
        self.returns = returns


class Leases:
    """What one client refers to: how often each object."""

    __slots__ = ("_counts", "_lock", "entries")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self.entries: dict[str, Entry] = {}

    def grant(self, entry: Entry, number: int = 1) -> None:
        """Refer to an object once more."""
        ident = entry.ident
        with self._lock:
            self._counts[ident] = self._counts.get(ident, 0) + number
            self.entries[ident] = entry

    def drop(self, ident: str) -> None:
        """Refer to an object once less.

        Raises:
            KeyError: it is not referred to.
        """
        with self._lock:
            left = self._counts[ident] - 1
            if left:
                self._counts[ident] = left
                return
            del self._counts[ident]
            entry = self.entries.pop(ident)
        # Its destructor, which is the user's, runs here, without the lock.
        del entry

    def count(self, ident: str) -> int:
        """How often an object is referred to."""
        return self._counts.get(ident, 0)

    def clear(self) -> None:
        """Refer to nothing any more."""
        with self._lock:
            entries = list(self.entries.values())
            self.entries.clear()
            self._counts.clear()
        entries.clear()


class Table:
    """All objects of a server.

    Args:
        server_id: a name that no other server has.
        now: the time, in seconds.
    """

    def __init__(
        self, server_id: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._prefix = f"{server_id}-"
        self._now = now
        self._numbers = count(1)
        self._entries: dict[str, ref[Entry]] = {}
        self._tickets: dict[str, tuple[float, Entry]] = {}

    def add(
        self,
        typeid: str,
        obj: Any,
        exposed: Iterable[str],
        returns: Mapping[str, str] | None,
    ) -> Entry:
        """Share an object; nobody refers to it yet but the caller."""
        ident = f"{self._prefix}{next(self._numbers):x}"
        entry = Entry(ident, typeid, obj, tuple(exposed), returns or None)
        entries = self._entries

        def forget(_: ref[Entry]) -> None:
            entries.pop(ident, None)

        entries[ident] = ref(entry, forget)
        return entry

    def find(self, ident: object) -> Entry | None:
        """The object of a name, if it still exists."""
        reference = self._entries.get(ident)  # type: ignore[call-overload]
        return None if reference is None else reference()

    def all(self) -> list[Entry]:
        """The objects that exist."""
        found = [reference() for reference in list(self._entries.values())]
        return [entry for entry in found if entry is not None]

    def hold(self, entry: Entry) -> str:
        """Keep an object for a proxy that is on its way.

        Returns:
            The ticket that whoever unpickles the proxy gives back.
        """
        now = self._now()
        for ticket, (since, _) in list(self._tickets.items()):
            if now - since < _LONGEST_WAY:
                break  # they are in the order of time
            self._tickets.pop(ticket, None)
        ticket = f"{next(self._numbers):x}"
        self._tickets[ticket] = now, entry
        return ticket

    def redeem(self, ticket: str | None, ident: str) -> Entry | None:
        """The object of a proxy that has arrived, if it still exists."""
        if ticket is not None:
            _, entry = self._tickets.pop(ticket, (0.0, None))
            if entry is not None:
                return entry
        return self.find(ident)
