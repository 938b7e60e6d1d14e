"""The names of `_platform_linux`, where there is no packet channel yet."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import NoReturn

    from mp_pool._platform import Packet


RECEIVE = RECEIVE_NOW = PEEK_NOW = SEND_NOW = 0


def _refuse() -> NoReturn:
    raise NotImplementedError(f"mp-pool has no pool for {sys.platform} yet")


def receiver(sock: _socket.socket) -> Callable[[int], Packet]:
    _refuse()


def sender(sock: _socket.socket) -> Callable[[bytes | memoryview, int], object]:
    _refuse()


def available_cpus() -> int:
    _refuse()


def resident_bytes(pid: int) -> int:
    _refuse()


def end_sending(sock: _socket.socket) -> None:
    _refuse()


def end_reading(sock: _socket.socket) -> None:
    _refuse()


class Waker:
    """Refuses to be made."""

    def __init__(self) -> None:
        _refuse()

    def fileno(self) -> int:
        _refuse()

    def set(self) -> None:
        _refuse()

    def clear(self) -> None:
        _refuse()

    def close(self) -> None:
        _refuse()


class Poller:
    """Refuses to be made."""

    READ = 1
    WRITE = 2

    def __init__(self) -> None:
        _refuse()

    def watch(self, fd: int, events: int) -> None:
        _refuse()

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        _refuse()

    def close(self) -> None:
        _refuse()
