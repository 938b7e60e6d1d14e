"""Where there are no blocks of shared memory yet."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def _refuse() -> NoReturn:
    raise NotImplementedError(f"there is no shared memory yet on {sys.platform}")


def create(
    name: str | None, random_name: str, size: int, track: bool
) -> tuple[int, int | None]:
    """Refuse.

    Raises:
        NotImplementedError: always.
    """
    _refuse()


def attach(name: str) -> tuple[int, int, int]:
    """Refuse; see `create`."""
    _refuse()


def publish(fd: int, inode: int, name: str, track: bool) -> int:
    """Refuse; see `create`."""
    _refuse()


def withdraw(name: str, inode: int, index: int) -> None:
    """Refuse; see `create`."""
    _refuse()


def inode_of(fd: int) -> int:
    """Refuse; see `create`."""
    _refuse()
