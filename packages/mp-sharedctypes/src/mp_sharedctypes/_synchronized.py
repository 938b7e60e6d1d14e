"""ctypes objects in shared memory, each access to which takes a lock.

Numbers and characters, and arrays of them, are cells of mp_sync: they are read and
written without an object of ctypes, which is made when somebody asks for it.  Anything
else is reached through its ctypes object, within the lock.
"""

from __future__ import annotations

import ctypes

from mp_sharedctypes._types import CTYPES, FORMATS, Shared, at, plain
from mp_sync.cells import Cell, CellArray, Guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ctypes import _SimpleCData
    from typing import Any, Generic, SupportsIndex, TypeVar, overload

    from typing_extensions import Buffer

    from mp_sharedctypes._types import CObject, CType
    from mp_sync.arena import Block
    from mp_sync.cells import LockLike, Values

    ObjectT = TypeVar("ObjectT")
    T = TypeVar("T")
    KindT = TypeVar("KindT", bound="SynchronizedBase[Any]")
else:
    from mp_sharedctypes._subscripts import Generic

    ObjectT = T = None
    _SimpleCData = Generic


class SynchronizedBase(Guarded[ObjectT], Generic[ObjectT]):
    """An object in shared memory and the lock that guards it.

    ``with`` holds the lock, which an access within does not take again.  Made by
    `Value`, `Array` and `synchronized`, inherited by children and sent like locks are.
    """

    __slots__ = ()

    def get_obj(self) -> ObjectT:
        """The ctypes object itself, which is not guarded."""
        cell: Guarded[ObjectT] = self
        if cell.object is None:
            cell.object = self._make_object()
        return cell.object

    def _ctype(self) -> CType:
        if self.object is not None:
            return plain(type(self.object))
        assert self.format is not None
        return CTYPES[self.format]

    def _make_object(self) -> CObject:
        assert self.block is not None
        return at(self._ctype(), self.block, self.start - self.block.offset)

    def __reduce__(self) -> tuple[object, ...]:
        block, obj = self.block, self.object
        if block is not None and self.format is not None:
            where = block, self.start - block.offset
            how = type(self), self.format, self.count, self.get_lock(), *where
            return _rebuild, how
        if not isinstance(obj, Shared):
            raise TypeError(
                "the object is not in shared memory, and cannot be sent with its lock:"
                " make it by Value, Array or copy"
            )
        return wrapped, (obj, self.get_lock())

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return self.__reduce__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} wrapper for {self.get_obj()!r}>"


class Synchronized(
    SynchronizedBase[_SimpleCData[T]], Cell[_SimpleCData[T], T], Generic[T]
):
    """A number or character (manual, "Value").

    Attributes:
        value: read and written under the lock.
    """

    __slots__ = ()

    def update(self, function: Callable[[T], T]) -> T:
        """Replace the value by what a function makes of it, under the lock.

        Args:
            function: called with the value.  What it raises is raised here, and the
                value stays.

        Returns:
            The new value.

        Raises:
            OwnerDiedError: a process died that held the lock.
        """
        cell: Cell[_SimpleCData[T], T] = self
        with self.get_lock():
            cell.value = function(cell.value)
            return cell.value


class SynchronizedObject(Synchronized[T], Generic[T]):
    """As `Synchronized`, of types that cells do not know."""

    __slots__ = ()

    if not TYPE_CHECKING:

        @property
        def value(self) -> T:
            """Read and written under the lock."""
            with self.get_lock():
                return self.get_obj().value

        @value.setter
        def value(self, value: T) -> None:
            with self.get_lock():
                self.get_obj().value = value

        def add(self, change: T) -> T:
            """Add to the value, under the lock; the new value."""
            with self.get_lock():
                self.get_obj().value += change
                return self.get_obj().value


class SynchronizedArray(
    SynchronizedBase[ctypes.Array[_SimpleCData[T]]],
    CellArray[ctypes.Array[_SimpleCData[T]], T],
    Generic[T],
):
    """An array (manual, "Array"): a sequence of constant length.

    Each access of an item or a slice takes the lock once.  ``memoryview(array)`` and
    ``numpy.frombuffer(array)`` are the memory itself, without a lock.
    """

    __slots__ = ()

    def _ctype(self) -> CType:
        whole: CType = super()._ctype()
        return whole if self.object is not None else whole * self.count

    def __repr__(self) -> str:
        return f"<{type(self).__name__} wrapper for {self._ctype().__name__}>"


class SynchronizedObjectArray(SynchronizedArray[T], Generic[T]):
    """As `SynchronizedArray`, of types that cells do not know."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __len__(self) -> int:
            return len(self.get_obj())

        def __getitem__(self, key: Any) -> Any:
            with self.get_lock():
                return self.get_obj()[key]

        def __setitem__(self, key: Any, value: Any) -> None:
            with self.get_lock():
                self.get_obj()[key] = value

        def __iter__(self) -> Iterator[Any]:
            for index in range(len(self)):
                yield self[index]


class SynchronizedString(SynchronizedArray[bytes]):
    """An array of ``c_char``; its slices are bytes.

    Attributes:
        value: the bytes before the first that is zero.
        raw: all bytes.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __getitem__(self, key: SupportsIndex, /) -> bytes: ...
        @overload
        def __getitem__(self, key: slice, /) -> bytes: ...
        def __getitem__(self, key: SupportsIndex | slice, /) -> bytes: ...

        @overload
        def __setitem__(self, key: SupportsIndex, value: bytes, /) -> None: ...
        @overload
        def __setitem__(
            self, key: slice, values: Values[bytes] | Buffer, /
        ) -> None: ...
        def __setitem__(
            self, key: SupportsIndex | slice, value: Values[bytes] | Buffer, /
        ) -> None: ...

    @property
    def value(self) -> bytes:
        """The bytes before the first that is zero."""
        return self[:].split(b"\0", 1)[0]

    @value.setter
    def value(self, value: bytes) -> None:
        if len(value) > len(self):
            raise ValueError(f"{len(value)} bytes do not fit into {len(self)}")
        ended = bytes(value) + b"\0"
        self[: len(ended)] = ended[: len(self)]

    @property
    def raw(self) -> bytes:
        """All bytes."""
        return self[:]

    @raw.setter
    def raw(self, value: Buffer) -> None:
        with memoryview(value) as view:
            if view.nbytes > len(self):
                raise ValueError(f"{view.nbytes} bytes do not fit into {len(self)}")
            self[: view.nbytes] = bytes(view)


class SynchronizedText(SynchronizedArray[str]):
    """An array of ``c_wchar``; its slices are strings.

    Attributes:
        value: the characters before the first that is zero.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __getitem__(self, key: SupportsIndex, /) -> str: ...
        @overload
        def __getitem__(self, key: slice, /) -> str: ...
        def __getitem__(self, key: SupportsIndex | slice, /) -> str: ...

    @property
    def value(self) -> str:
        """The characters before the first that is zero."""
        return self[:].split("\0", 1)[0]

    @value.setter
    def value(self, value: str) -> None:
        if len(value) > len(self):
            raise ValueError(f"{len(value)} characters do not fit into {len(self)}")
        ended = value + "\0"
        self[: len(ended)] = ended[: len(self)]


class SynchronizedStructure(SynchronizedBase[ObjectT], Generic[ObjectT]):
    """A structure or union; its fields and methods are those of the object.

    Each access takes the lock.  A field that is an array or a structure itself is
    returned as it is, without a lock.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        with self.get_lock():
            return getattr(self.get_obj(), name)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "object":
            super().__setattr__(name, value)
            return
        with self.get_lock():
            setattr(self.get_obj(), name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self.get_obj())})


for _class in (
    SynchronizedBase,
    Synchronized,
    SynchronizedArray,
    SynchronizedString,
    SynchronizedText,
    SynchronizedStructure,
):
    _class.__module__ = "mp_sharedctypes"


def simple_class(ctype: CType) -> type[Synchronized[Any]]:
    """Of the wrapper of a simple type."""
    return Synchronized if ctype in FORMATS else SynchronizedObject


def array_class(element: CType) -> type[SynchronizedArray[Any]]:
    """Of the wrapper of an array of a type."""
    code = FORMATS.get(element)
    if code == "c":
        return SynchronizedString
    if code == "u":
        return SynchronizedText
    return SynchronizedArray if code else SynchronizedObjectArray


def wrapped(obj: CObject, lock: LockLike) -> SynchronizedBase[Any]:
    """A wrapper around a ctypes object.

    Raises:
        TypeError: it is none.
    """
    ctype: Any = plain(type(obj))
    if issubclass(ctype, ctypes.Array):
        element: CType = ctype._type_
        length: int = ctype._length_
        code = FORMATS.get(element)
        count = length if code else ctypes.sizeof(ctype)
        return array_class(element).wrap(code, count, lock, obj)
    code = FORMATS.get(ctype)
    if issubclass(ctype, (ctypes._SimpleCData, ctypes._Pointer)):
        return simple_class(ctype).wrap(code, 1, lock, obj)
    if issubclass(ctype, (ctypes.Structure, ctypes.Union)):
        return SynchronizedStructure.wrap(None, ctypes.sizeof(ctype), lock, obj)
    raise TypeError(f"a ctypes object is synchronized, not {obj!r}")


def fresh(ctype: Any) -> SynchronizedBase[Any]:
    """A zeroed object with a recursive lock, both in one block."""
    code = FORMATS.get(ctype)
    if code is not None:
        return Synchronized.fresh(code, 1)
    if issubclass(ctype, ctypes.Array):
        element: CType = ctype._type_
        length: int = ctype._length_
        return fresh_array(element, length, ctype)
    kind: type[SynchronizedBase[Any]] = simple_class(ctype)
    if issubclass(ctype, (ctypes.Structure, ctypes.Union)):
        kind = SynchronizedStructure
    return _with_object(kind, ctype)


def fresh_array(
    element: CType, length: int, ctype: CType | None = None
) -> SynchronizedArray[Any]:
    """A zeroed array with a recursive lock, both in one block."""
    code = FORMATS.get(element)
    if code is not None and length >= 0:
        return array_class(element).fresh(code, length)
    return _with_object(array_class(element), ctype or element * length)


def _with_object(kind: type[KindT], ctype: CType) -> KindT:
    made = kind.fresh(None, ctypes.sizeof(ctype))
    assert made.block is not None
    made.object = at(ctype, made.block, made.start - made.block.offset)
    return made


def _rebuild(
    kind: type[SynchronizedBase[Any]],
    code: str,
    count: int,
    lock: LockLike,
    block: Block,
    offset: int,
) -> SynchronizedBase[Any]:
    return kind.attach(code, count, lock, block, offset)
