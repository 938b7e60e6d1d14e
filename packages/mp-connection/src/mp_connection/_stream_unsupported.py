"""The names of `_stream_posix`, where stream channels are not written yet."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn, Protocol

    from typing_extensions import Buffer

    from mp_connection._channel import Received
    from mp_connection._framing import Message

    class Stream(Protocol):
        """What a channel needs of a socket."""

        def fileno(self) -> int: ...

        def close(self) -> None: ...

        def recv(self, bufsize: int, flags: int = ..., /) -> bytes: ...

        def send(self, data: Any, flags: int = ..., /) -> int: ...


def _refuse() -> NoReturn:
    raise NotImplementedError(
        f"mp-connection has no stream channel for {sys.platform} yet"
    )


def adopt_stream(fd: int) -> Any:
    """Refuses: says what is missing."""
    _refuse()


def closed_error() -> OSError:
    """Refuses."""
    _refuse()


def deadline_error() -> BlockingIOError:
    """Refuses."""
    _refuse()


class StreamChannel:
    """Refuses to be made."""

    sock: Any
    own: bool
    bulky: bool
    kept: list[Any]

    def __init__(self, sock: Any, own: bool = False) -> None:
        _refuse()

    @property
    def carries_handles(self) -> bool:
        _refuse()

    @property
    def receiving(self) -> bool:
        _refuse()

    @property
    def idle(self) -> bool:
        _refuse()

    @property
    def pending(self) -> bool:
        _refuse()

    @property
    def stalled(self) -> bool:
        _refuse()

    @property
    def buffered(self) -> bool:
        _refuse()

    def open(self) -> bool:
        _refuse()

    def fileno(self) -> int:
        _refuse()

    def close(self) -> None:
        _refuse()

    def detach(self) -> int:
        _refuse()

    def send(self, message: Message, deadline: float | None = None) -> None:
        _refuse()

    @staticmethod
    def whole(message: Message) -> list[Buffer]:
        _refuse()

    def check_handles(self) -> None:
        _refuse()

    def send_parts(
        self,
        parts: Sequence[Buffer],
        handles: Sequence[int] = (),
        deadline: float | None = None,
    ) -> None:
        _refuse()

    def recv(
        self,
        deadline: float | None = None,
        into: memoryview | None = None,
        limit: int | None = None,
        objects: bool = False,
        patience: float = 0.2,
    ) -> Received:
        _refuse()

    def send_small(self, data: bytes) -> bool:
        _refuse()

    def recv_small(self) -> bytes | None:
        _refuse()

    def keep(self, received: Received) -> None:
        _refuse()
