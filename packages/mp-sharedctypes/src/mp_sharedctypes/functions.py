"""The functions as type checkers see them; what they do is in the private modules.

Apart from those, as the overloads are long, and `typing` is not imported at run time.
There are types of functions, so that contexts can have them as attributes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import (
        Array as Array_,
        _SimpleCData as SimpleT,
        c_byte,
        c_char,
        c_double,
        c_float,
        c_int,
        c_long,
        c_longlong,
        c_short,
        c_ubyte,
        c_uint,
        c_ulong,
        c_ulonglong,
        c_ushort,
        c_wchar,
    )
    from typing import Any, Literal, Protocol, TypeVar, overload

    from mp_sharedctypes._raw_functions import (
        DataT,
        IntT,
        RawArrayFunction as RawArrayFunction,
        RawValueFunction as RawValueFunction,
        RealT,
    )
    from mp_sharedctypes._synchronized import (
        Synchronized,
        SynchronizedArray,
        SynchronizedString,
        SynchronizedStructure,
        SynchronizedText,
    )
    from mp_sync.cells import LockLike, Values

    T = TypeVar("T")
    ObjectT = TypeVar("ObjectT")

    class Context(Protocol):
        """What makes locks: a context, or the package itself."""

        def RLock(self) -> LockLike: ...

    class ValueFunction(Protocol):
        """The type of `Value`."""

        @overload
        def __call__(
            self,
            typecode_or_type: Literal["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"],
            *args: int,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> Synchronized[int]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["f", "d"],
            *args: float,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> Synchronized[float]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["c"],
            *args: bytes,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> Synchronized[bytes]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["u"],
            *args: str,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> Synchronized[str]: ...
        @overload
        def __call__(  # type: ignore[overload-overlap]
            self,
            typecode_or_type: type[SimpleT[T]],
            *args: object,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> Synchronized[T]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[DataT],
            *args: object,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> SynchronizedStructure[DataT]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["c"],
            *args: bytes,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_char: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["b"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_byte: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["B"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_ubyte: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["u"],
            *args: str,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_wchar: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["h"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_short: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["H"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_ushort: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["i"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_int: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["I"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_uint: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["l"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_long: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["L"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_ulong: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["q"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_longlong: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["Q"],
            *args: int,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_ulonglong: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["f"],
            *args: float,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_float: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["d"],
            *args: float,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> c_double: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[DataT],
            *args: object,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> DataT: ...
        @overload
        def __call__(
            self,
            typecode_or_type: str | type[DataT],
            *args: object,
            lock: LockLike | bool | None = ...,
            ctx: Context | None = ...,
        ) -> Any: ...

    class ArrayFunction(Protocol):
        """The type of `Array`."""

        @overload
        def __call__(
            self,
            typecode_or_type: Literal["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"],
            size_or_initializer: int | Values[int],
            *,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> SynchronizedArray[int]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["f", "d"],
            size_or_initializer: int | Values[float],
            *,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> SynchronizedArray[float]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["c"] | type[c_char],
            size_or_initializer: int | Values[bytes | int],
            *,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> SynchronizedString: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["u"] | type[c_wchar],
            size_or_initializer: int | Values[str],
            *,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> SynchronizedText: ...
        @overload
        def __call__(  # type: ignore[overload-overlap]
            self,
            typecode_or_type: type[SimpleT[T]],
            size_or_initializer: int | Values[T],
            *,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> SynchronizedArray[T]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[DataT],
            size_or_initializer: int | Values[object],
            *,
            lock: LockLike | Literal[True] | None = ...,
            ctx: Context | None = ...,
        ) -> SynchronizedArray[DataT]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["c"],
            size_or_initializer: int | Values[bytes | int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_char]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["b"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_byte]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["B"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_ubyte]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["u"],
            size_or_initializer: int | Values[str],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_wchar]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["h"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_short]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["H"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_ushort]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["i"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_int]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["I"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_uint]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["l"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_long]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["L"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_ulong]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["q"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_longlong]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["Q"],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_ulonglong]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["f"],
            size_or_initializer: int | Values[float],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_float]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["d"],
            size_or_initializer: int | Values[float],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_double]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[c_char],
            size_or_initializer: int | Values[bytes | int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_char]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[c_wchar],
            size_or_initializer: int | Values[str],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[c_wchar]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[IntT],
            size_or_initializer: int | Values[int],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[IntT]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[RealT],
            size_or_initializer: int | Values[float],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[RealT]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[DataT],
            size_or_initializer: int | Values[object],
            *,
            lock: Literal[False],
            ctx: Context | None = ...,
        ) -> Array_[DataT]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: str | type[DataT],
            size_or_initializer: int | Values[object],
            *,
            lock: LockLike | bool | None = ...,
            ctx: Context | None = ...,
        ) -> Any: ...

    Array: ArrayFunction
    RawArray: RawArrayFunction
    RawValue: RawValueFunction
    Value: ValueFunction

    def copy(obj: ObjectT) -> ObjectT: ...

    @overload
    def synchronized(  # type: ignore[overload-overlap]
        obj: Array_[c_char], lock: LockLike | None = ..., ctx: Context | None = ...
    ) -> SynchronizedString: ...
    @overload
    def synchronized(  # type: ignore[overload-overlap]
        obj: Array_[c_wchar], lock: LockLike | None = ..., ctx: Context | None = ...
    ) -> SynchronizedText: ...
    @overload
    def synchronized(  # type: ignore[overload-overlap]
        obj: Array_[IntT], lock: LockLike | None = ..., ctx: Context | None = ...
    ) -> SynchronizedArray[int]: ...
    @overload
    def synchronized(  # type: ignore[overload-overlap]
        obj: Array_[RealT], lock: LockLike | None = ..., ctx: Context | None = ...
    ) -> SynchronizedArray[float]: ...
    @overload
    def synchronized(  # type: ignore[overload-overlap]
        obj: Array_[SimpleT[T]], lock: LockLike | None = ..., ctx: Context | None = ...
    ) -> SynchronizedArray[T]: ...
    @overload
    def synchronized(  # type: ignore[overload-overlap]
        obj: Array_[DataT], lock: LockLike | None = ..., ctx: Context | None = ...
    ) -> SynchronizedArray[DataT]: ...
    @overload
    def synchronized(  # type: ignore[overload-overlap]
        obj: SimpleT[T], lock: LockLike | None = ..., ctx: Context | None = ...
    ) -> Synchronized[T]: ...
    @overload
    def synchronized(
        obj: ObjectT, lock: LockLike | None = ..., ctx: Context | None = ...
    ) -> SynchronizedStructure[ObjectT]: ...
    def synchronized(
        obj: object, lock: LockLike | None = None, ctx: Context | None = None
    ) -> object: ...


else:
    from mp_sharedctypes import _factories, _raw

    Array = _factories.Array
    RawArray = _raw.RawArray
    RawValue = _raw.RawValue
    Value = _factories.Value
    copy = _raw.copy
    synchronized = _factories.synchronized

__all__ = ("Array", "RawArray", "RawValue", "Value", "copy", "synchronized")
