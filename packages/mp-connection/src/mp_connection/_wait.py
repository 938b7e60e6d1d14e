"""Waiting for several objects, by the platform's means."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol, TypeVar, overload

    class HasFileno(Protocol):
        """Anything that owns a descriptor."""

        def fileno(self) -> int: ...

    Waitable = int | HasFileno
    T = TypeVar("T", bound=Waitable)

    # The usual list of one type.
    @overload
    def wait(object_list: Iterable[T], timeout: float | None = ...) -> list[T]: ...

    # Connections and sentinels together: what mypy finds for T then is `object`.
    @overload
    def wait(  # type: ignore[overload-cannot-match]
        object_list: Iterable[Waitable], timeout: float | None = ...
    ) -> list[Waitable]: ...

    def wait(object_list: Any, timeout: float | None = None) -> Any: ...

elif sys.platform != "win32":
    from mp_connection._wait_posix import wait as wait
else:
    from mp_connection._wait_windows import wait as wait
