"""The names of `_handover_linux`, where there are no packet channels yet."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import NoReturn

    from mp_connection._framing import Message


def _refuse() -> NoReturn:
    raise NotImplementedError(
        f"mp-connection has no packet channel for {sys.platform} yet"
    )


def hand_over(
    message: Message, step: int, make_file: Callable[[], int], patient: bool = True
) -> Handover:
    _refuse()


class Handover:
    """There are none."""

    def announce(self, writer: _socket.socket) -> None:
        _refuse()

    def send(self, seconds: float) -> bool:
        _refuse()

    def leave(self) -> None:
        _refuse()

    def close(self) -> None:
        _refuse()
