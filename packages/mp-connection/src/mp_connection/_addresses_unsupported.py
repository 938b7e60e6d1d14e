"""The names of `_addresses_posix`, where listeners are not written yet."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

FAMILIES = ("AF_PIPE", "AF_INET", "AF_INET6")


def _refuse() -> NoReturn:
    raise NotImplementedError(f"mp-connection has no listener for {sys.platform} yet")


class Door:
    """Refuses to be made."""

    address: Any

    def __init__(self, family: str, address: object, backlog: int) -> None:
        _refuse()

    def fileno(self) -> int:
        _refuse()

    def accept(self) -> tuple[Any, Any]:
        _refuse()

    def wait(self, seconds: float) -> None:
        _refuse()

    def close(self) -> None:
        _refuse()


def connect(family: str, address: object, deadline: float | None) -> Any:
    """Refuses: says what is missing."""
    _refuse()
