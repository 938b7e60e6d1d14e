"""Numbers and characters in shared memory that are read and written under a lock.

A `Cell` has one `value`, a `CellArray` is a sequence; what mp-sharedctypes makes values
and arrays of.  Each access takes the lock for as long as copying the bytes takes; for
``with cell:`` it does not take it again, also where the lock is not recursive.

Formats are the codes of the `struct` module for native numbers and ``?``, and ``c`` and
``u`` for characters, which are bytes and str; None where items are something else,
which `object` knows.
"""

from __future__ import annotations

from mp_sync._backend import (
    Cell as Cell,
    CellArray as CellArray,
    Guarded as Guarded,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Protocol, TypeVar

    T_co = TypeVar("T_co", covariant=True)

    class LockLike(Protocol):
        """The locks of this package, and others that are used like them."""

        def acquire(self, block: bool = True, timeout: float | None = None) -> bool: ...

        def release(self) -> None: ...

        def __enter__(self) -> bool: ...

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            traceback: TracebackType | None,
            /,
        ) -> None: ...

    class Values(Protocol[T_co]):
        """What can be gone through and has a length."""

        def __len__(self) -> int: ...

        def __iter__(self) -> Iterator[T_co]: ...


__all__ = ("Cell", "CellArray", "Guarded")
