"""Addresses of listeners, by the platform's means."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

    #: What may be given: a path or abstract name, or (host, port) and, for IPv6,
    #: (host, port, flow, scope).
    Address = str | bytes | PathLike[str] | tuple[str, int] | tuple[str, int, int, int]

if sys.platform != "win32":
    from mp_connection._addresses_posix import (
        FAMILIES as FAMILIES,
        Door as Door,
        connect as connect,
    )
else:
    from mp_connection._addresses_unsupported import (
        FAMILIES as FAMILIES,
        Door as Door,
        connect as connect,
    )


def family_of(address: object, family: str | None) -> str:
    """The family of an address, or the one that was asked for.

    Raises:
        ValueError: there is no such family, on this platform or at all.
    """
    if family is None:
        family = _guess(address)
    if family in FAMILIES:
        return family
    if family == "AF_PIPE":
        raise ValueError(f"family AF_PIPE does not exist on {sys.platform}")
    known = ", ".join(FAMILIES)
    raise ValueError(f"family {family!r} is not known here; there are {known}")


def _guess(address: object) -> str:
    if address is None:
        return FAMILIES[0]
    if isinstance(address, tuple) and len(address) in (2, 4):
        return "AF_INET6" if ":" in str(address[0]) else "AF_INET"
    if isinstance(address, str) and address.startswith("\\\\"):
        return "AF_PIPE"
    if isinstance(address, (str, bytes)) or hasattr(address, "__fspath__"):
        return "AF_UNIX"
    raise ValueError(f"{address!r} is the address of no family")
