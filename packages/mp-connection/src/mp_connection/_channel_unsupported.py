"""The names of `_channel_linux`, for platforms whose packet channel is not written yet.

Importing the package works there, so that programs can be type-checked and can ask;
making a channel says what is missing.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, NoReturn

    from typing_extensions import Buffer

    from mp_connection._framing import Message
    from mp_connection._native import Arrival, Packet


PACKET_SIZE = CONTROL_SIZE = CLOEXEC = DONTWAIT = NOSIGNAL = 0
SLICE_SECONDS = 0.2
keeping: set[PacketChannel] = set()
notified: list[Callable[[object], object]] = []


def _refuse() -> NoReturn:
    raise NotImplementedError(
        f"mp-connection has no packet channel for {sys.platform} yet"
    )


class Received:
    """A message as it arrived."""

    def __init__(
        self, parts: Sequence[Buffer], handles: list[int], pickled: bool
    ) -> None:
        self.parts: list[Buffer] = list(parts)
        self.handles = handles
        self.pickled = pickled
        self.placed = False

    def close(self) -> None:
        """Close the descriptors."""
        _refuse()


class PacketChannel:
    """Refuses to be made."""

    sock: _socket.socket
    shared: bool
    kept: list[Any]

    def __init__(self, sock: _socket.socket, shared: bool = False) -> None:
        _refuse()

    def fileno(self) -> int:
        _refuse()

    def close(self) -> None:
        _refuse()

    def detach(self) -> int:
        _refuse()

    @property
    def pending(self) -> bool:
        _refuse()

    def push(self, message: Message) -> None:
        _refuse()

    def flush(self) -> bool:
        _refuse()

    def send(self, message: Message) -> None:
        _refuse()

    def recv(
        self, deadline: float | None = None, into: memoryview | None = None
    ) -> Received:
        _refuse()

    def try_recv(self) -> Received | None:
        _refuse()

    def received(
        self,
        packet: bytes,
        control: Sequence[tuple[int, int, bytes]],
        control_flags: int,
        deadline: float | None = None,
        into: memoryview | None = None,
    ) -> Received:
        _refuse()

    def keep(
        self,
        packet: bytes,
        control: Sequence[tuple[int, int, bytes]],
        control_flags: int,
    ) -> None:
        _refuse()

    def put_back(self, entry: object) -> None:
        _refuse()

    def go_on(self, deadline: float) -> Received | None:
        _refuse()


def packet_pair(shared: bool) -> tuple[_socket.socket, _socket.socket]:
    _refuse()


def slice_reads(sock: _socket.socket) -> None:
    _refuse()


def slice_writes(sock: _socket.socket) -> None:
    _refuse()


def is_packet_socket(fd: int) -> bool:
    return False


def adopt(fd: int) -> _socket.socket:
    _refuse()


def arrivals(
    sock: _socket.socket, flags: int = 0, bare: bool = False
) -> Iterator[Arrival]:
    _refuse()


def peeker(fileno: Callable[[], int]) -> Callable[[], bool] | None:
    _refuse()


def receiver(sock: _socket.socket) -> Callable[[int], Packet]:
    _refuse()


def senders(
    sock: _socket.socket,
) -> tuple[
    Callable[[bytes | memoryview, int], object],
    Callable[[bytes | memoryview, int], object],
]:
    _refuse()


def poller(fd: int) -> Callable[[float | None], list[tuple[int, int]]]:
    _refuse()


def ready_to_read(fd: int, seconds: float | None) -> bool:
    _refuse()


def send_packet(
    sock: _socket.socket,
    buffers: Sequence[Buffer],
    handles: Sequence[int] = (),
    flags: int = 0,
) -> None:
    _refuse()
