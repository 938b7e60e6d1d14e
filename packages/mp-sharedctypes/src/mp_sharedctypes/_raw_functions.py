"""`RawValue` and `RawArray` as type checkers see them; see the module `functions`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import (
        Array as Array_,
        Structure,
        Union as Union_,
        _SimpleCData as SimpleT,
        c_byte,
        c_char,
        c_double,
        c_float,
        c_int,
        c_long,
        c_longdouble,
        c_longlong,
        c_short,
        c_size_t,
        c_ssize_t,
        c_ubyte,
        c_uint,
        c_ulong,
        c_ulonglong,
        c_ushort,
        c_wchar,
    )
    from typing import Any, Literal, Protocol, TypeVar, overload

    from mp_sync.cells import Values

    # An array of c_int is none of _SimpleCData[int].
    IntT = TypeVar(
        "IntT",
        c_byte,
        c_ubyte,
        c_short,
        c_ushort,
        c_int,
        c_uint,
        c_long,
        c_ulong,
        c_longlong,
        c_ulonglong,
        c_size_t,
        c_ssize_t,
    )
    RealT = TypeVar("RealT", c_float, c_double, c_longdouble)
    ObjectT = TypeVar("ObjectT")
    DataT = TypeVar("DataT", bound="Structure | Union_ | Array_[Any] | SimpleT[Any]")

    class RawValueFunction(Protocol):
        """The type of `RawValue`."""

        @overload
        def __call__(self, typecode_or_type: Literal["c"], *args: bytes) -> c_char: ...
        @overload
        def __call__(self, typecode_or_type: Literal["b"], *args: int) -> c_byte: ...
        @overload
        def __call__(self, typecode_or_type: Literal["B"], *args: int) -> c_ubyte: ...
        @overload
        def __call__(self, typecode_or_type: Literal["u"], *args: str) -> c_wchar: ...
        @overload
        def __call__(self, typecode_or_type: Literal["h"], *args: int) -> c_short: ...
        @overload
        def __call__(self, typecode_or_type: Literal["H"], *args: int) -> c_ushort: ...
        @overload
        def __call__(self, typecode_or_type: Literal["i"], *args: int) -> c_int: ...
        @overload
        def __call__(self, typecode_or_type: Literal["I"], *args: int) -> c_uint: ...
        @overload
        def __call__(self, typecode_or_type: Literal["l"], *args: int) -> c_long: ...
        @overload
        def __call__(self, typecode_or_type: Literal["L"], *args: int) -> c_ulong: ...
        @overload
        def __call__(
            self, typecode_or_type: Literal["q"], *args: int
        ) -> c_longlong: ...
        @overload
        def __call__(
            self, typecode_or_type: Literal["Q"], *args: int
        ) -> c_ulonglong: ...
        @overload
        def __call__(self, typecode_or_type: Literal["f"], *args: float) -> c_float: ...
        @overload
        def __call__(
            self, typecode_or_type: Literal["d"], *args: float
        ) -> c_double: ...
        @overload
        def __call__(
            self, typecode_or_type: type[ObjectT], *args: object
        ) -> ObjectT: ...
        @overload
        def __call__(self, typecode_or_type: str, *args: object) -> Any: ...

    class RawArrayFunction(Protocol):
        """The type of `RawArray`."""

        @overload
        def __call__(
            self,
            typecode_or_type: Literal["c"],
            size_or_initializer: int | Values[bytes | int],
        ) -> Array_[c_char]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["b"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_byte]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["B"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_ubyte]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["u"],
            size_or_initializer: int | Values[str],
        ) -> Array_[c_wchar]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["h"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_short]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["H"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_ushort]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["i"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_int]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["I"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_uint]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["l"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_long]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["L"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_ulong]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["q"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_longlong]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["Q"],
            size_or_initializer: int | Values[int],
        ) -> Array_[c_ulonglong]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["f"],
            size_or_initializer: int | Values[float],
        ) -> Array_[c_float]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: Literal["d"],
            size_or_initializer: int | Values[float],
        ) -> Array_[c_double]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[c_char],
            size_or_initializer: int | Values[bytes | int],
        ) -> Array_[c_char]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[c_wchar],
            size_or_initializer: int | Values[str],
        ) -> Array_[c_wchar]: ...
        @overload
        def __call__(
            self, typecode_or_type: type[IntT], size_or_initializer: int | Values[int]
        ) -> Array_[IntT]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[RealT],
            size_or_initializer: int | Values[float],
        ) -> Array_[RealT]: ...
        @overload
        def __call__(
            self,
            typecode_or_type: type[DataT],
            size_or_initializer: int | Values[object],
        ) -> Array_[DataT]: ...
        @overload
        def __call__(
            self, typecode_or_type: str, size_or_initializer: int | Values[object]
        ) -> Array_[Any]: ...
