"""Where there are no queues yet."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from typing_extensions import Buffer


STEP = 512


def _refuse() -> NoReturn:
    raise NotImplementedError(f"there are no queues yet on {sys.platform}")


def limit_buffer(writer: Any) -> None:
    """Refuse."""
    _refuse()


def level(reader: Any) -> int:
    """Refuse."""
    _refuse()


def items_in(reader: Any) -> int:
    """Refuse."""
    _refuse()


def writable(writer: Any, seconds: float) -> bool:
    """Refuse."""
    _refuse()


def create_file() -> int:
    """Refuse."""
    _refuse()


def write(fd: int, buffers: Sequence[Buffer], offset: int) -> None:
    """Refuse."""
    _refuse()


def read_into(fd: int, view: memoryview, offset: int) -> None:
    """Refuse."""
    _refuse()


def shorten(fd: int) -> None:
    """Refuse."""
    _refuse()


def drop_before(fd: int, start: int, end: int) -> int:
    """Refuse."""
    _refuse()


def identity(pid: int) -> int:
    """Refuse."""
    _refuse()


def is_alive(number: int) -> bool:
    """Refuse."""
    _refuse()


def peek(reader: Any, seconds: float) -> None:
    """Refuse."""
    _refuse()


def blocks(sock: Any) -> bool:
    """Refuse."""
    _refuse()
