"""Numbers and characters under a lock, in the portable backend: by ctypes.

On CPython 3.11 objects of Python code cannot have the buffer protocol, and these do
not.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes

from mp_sync._libc import make_mutex
from mp_sync._portable_locks import RLock
from mp_sync.arena import Block, allocate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from mp_sync.cells import LockLike

    T = TypeVar("T")

_TYPES: dict[str, Any] = {
    "b": ctypes.c_byte, "B": ctypes.c_ubyte, "h": ctypes.c_short, "H": ctypes.c_ushort,
    "i": ctypes.c_int, "I": ctypes.c_uint, "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong, "f": ctypes.c_float,
    "d": ctypes.c_double, "?": ctypes.c_bool, "c": ctypes.c_char, "u": ctypes.c_wchar,
}  # fmt: skip
_GENERIC_ALIAS: Any = type(list[int])
_NUMBERS = "bBhHiIlLqQfd"
#: Where in its block the items begin that share it with their lock.
_BESIDE_LOCK = 128


class Guarded:
    """Memory and the lock that guards it."""

    __slots__ = (
        "__weakref__", "_items", "_lock", "block", "count", "format", "object", "start"
    )  # fmt: skip

    _items: Any
    _lock: LockLike
    block: Block | None
    count: int
    format: str | None
    object: Any
    start: int

    @classmethod
    def __class_getitem__(cls, parameters: object) -> object:
        return _GENERIC_ALIAS(cls, parameters)

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        raise TypeError(f"a {cls.__name__} is made by the functions of its module")

    @classmethod
    def _make(
        cls,
        format: str | None,
        count: int,
        lock: LockLike,
        block: Block | None,
        memory: Any,
        start: int,
    ) -> Self:
        if format is not None and format not in _TYPES:
            raise ValueError(f"there is no format {format!r}")
        kind = _TYPES[format] if format is not None else ctypes.c_char
        size = len(memoryview(memory).cast("B"))
        width = ctypes.sizeof(kind)
        if start < 0 or start % width or count < 0 or start + count * width > size:
            raise ValueError("the items do not lie in the memory")
        made = object.__new__(cls)
        _put(made, "_items", (kind * count).from_buffer(memory, start))
        _put(made, "_lock", lock)
        _put(made, "block", block)
        _put(made, "count", count)
        _put(made, "format", format)
        _put(made, "object", None)
        _put(made, "start", start)
        return made

    @classmethod
    def fresh(cls, format: str | None, count: int) -> Self:
        """Zeroed items of a format, in a block and with a lock of their own."""
        if format is not None and format not in _TYPES:
            raise ValueError(f"there is no format {format!r}")
        size = ctypes.sizeof(_TYPES[format]) if format is not None else 1
        if not 0 <= count <= (sys.maxsize - _BESIDE_LOCK) // size:
            raise OverflowError("there is no room for so many items")
        block = allocate(_BESIDE_LOCK + max(count * size, 1))
        lock = RLock._attach(block)
        make_mutex(lock._address, recursive=False)
        start = block.offset + _BESIDE_LOCK
        return cls._make(format, count, lock, block, block.mapping, start)

    @classmethod
    def attach(
        cls, format: str | None, count: int, lock: LockLike, block: Block, at: int
    ) -> Self:
        """Items of a format, so many, a lock, a block, and where in that they begin."""
        start = block.offset + at
        return cls._make(format, count, lock, block, block.mapping, start)

    @classmethod
    def wrap(cls, format: str | None, count: int, lock: LockLike, owner: Any) -> Self:
        """Items of a format, so many, a lock, and an object with a buffer."""
        made = cls._make(format, count, lock, None, owner, 0)
        _put(made, "object", owner)
        return made

    def get_lock(self) -> LockLike:
        """The lock."""
        return self._lock

    @property
    def acquire(self) -> Callable[..., bool]:
        """That of the lock."""
        return self._lock.acquire

    @property
    def release(self) -> Callable[[], None]:
        """That of the lock."""
        return self._lock.release

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.__exit__(kind, error, traceback)

    def __buffer__(self, flags: int) -> memoryview:
        if self.format is None and self.object is None:
            raise BufferError("get_obj() has the buffer")
        return memoryview(self._items if self.format is not None else self.object)

    def _guarded(self, function: Callable[[], T]) -> T:
        """Under the lock, which is not taken again if this thread holds it."""
        depth = getattr(self._lock, "_depth", None)
        if depth is not None and depth():
            return function()
        with self._lock:
            return function()

    def _formatted(self) -> Any:
        if self.format is None:
            raise TypeError("what lies here is known to get_obj() only")
        return self._items


def _put(made: Guarded, name: str, value: object) -> None:
    # Subclasses may take attributes for those of what lies there.
    object.__setattr__(made, name, value)


class Cell(Guarded):
    """A number or a character, read and written under a lock."""

    __slots__ = ()

    @property
    def value(self) -> Any:
        """The value, read and written under the lock."""
        items = self._formatted()
        return self._guarded(lambda: items[0])

    @value.setter
    def value(self, value: object) -> None:
        items = self._formatted()
        converted = _converted(self.format, value)
        self._guarded(lambda: items.__setitem__(0, converted))

    @value.deleter
    def value(self) -> None:
        raise TypeError("the value cannot be deleted")

    def add(self, change: Any) -> Any:
        """Add to the value, under the lock; the new value."""
        items = self._formatted()
        if self.format is None or self.format not in _NUMBERS:
            raise TypeError("this value is no number")
        converted = _converted(self.format, change)

        def add() -> Any:
            items[0] += converted
            return items[0]

        return self._guarded(add)


class CellArray(Guarded):
    """Numbers or characters, read and written under a lock."""

    __slots__ = ()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Any) -> Any:
        items = self._formatted()
        return self._guarded(lambda: items[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        items = self._formatted()
        if not isinstance(key, slice):
            converted = _converted(self.format, value)
            self._guarded(lambda: items.__setitem__(key, converted))
            return
        where = range(*key.indices(self.count))
        given = list(value)
        if len(given) != len(where):
            raise ValueError("a slice is replaced by as many items as it has")
        values = (_TYPES[self.format or "c"] * len(given))(*given)

        def store() -> None:
            for index, item in zip(where, values, strict=True):
                items[index] = item

        self._guarded(store)

    def __delitem__(self, key: object) -> None:
        raise TypeError("items of an array cannot be deleted")

    def __iter__(self) -> Iterator[Any]:
        for index in range(self.count):
            yield self[index]


def _converted(code: str | None, value: object) -> Any:
    """The value as ctypes converts it; before the lock is taken, as it may run code."""
    return _TYPES[code or "c"](value).value


for _kind in (Guarded, Cell, CellArray):
    _kind.__module__ = "mp_sync.cells"
