"""`wait` on Windows: not written yet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    from mp_connection._wait import Waitable

    T = TypeVar("T", bound=Waitable)


def wait(object_list: Iterable[T], timeout: float | None = None) -> list[T]:
    """Refuses: says what is missing."""
    raise NotImplementedError("mp-connection cannot wait for objects on win32 yet")
