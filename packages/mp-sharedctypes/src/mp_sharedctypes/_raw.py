"""ctypes objects in shared memory, without a lock."""

from __future__ import annotations

import ctypes
from operator import index
from sys import byteorder

from mp_sharedctypes._types import FORMATS, TYPECODES, at, ctype_of, plain, shared
from mp_sync.arena import allocate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_sharedctypes._types import CObject, CType

#: Marks of native byte order in the format of a buffer.
_NATIVE = "@=" + ("<" if byteorder == "little" else ">")

#: subclass, size and alignment, by what stands for the type
_layouts: dict[object, tuple[CType, int, int]] = {}


def _layout(ctype: CType) -> tuple[CType, int, int]:
    return shared(ctype), ctypes.sizeof(ctype), ctypes.alignment(ctype)


for _code, _ctype in TYPECODES.items():
    _layouts[_code] = _layouts[_ctype] = _layout(_ctype)


def RawValue(typecode_or_type: object, *args: object) -> CObject:
    """A ctypes object in shared memory, without a lock (manual, "RawValue").

    Args:
        typecode_or_type: a ctypes type, or a typecode: one of the `array` module,
            or ``c``.
        args: for the constructor of the type.  Without any, it is all zero.

    Returns:
        An instance of the type.

    Raises:
        TypeError: there is no such type, or its constructor refuses the arguments.
        OSError: there is no shared memory left, or no descriptor.
    """
    layout = _layouts.get(typecode_or_type)
    if layout is None:
        layout = _layout(ctype_of(typecode_or_type))
    kind, size, alignment = layout
    block = allocate(size or 1, alignment)
    made = kind.from_buffer(block.mapping, block.offset)
    made._block = block
    if args:
        made.__init__(*args)
    return made


def length_of(size_or_initializer: Any) -> int | None:
    """The size that is meant, or None if it is an initializer."""
    if isinstance(size_or_initializer, int):
        return size_or_initializer
    kind = type(size_or_initializer)
    # Arrays of numpy have both; they are initializers.
    if hasattr(kind, "__index__") and not hasattr(kind, "__len__"):
        return index(size_or_initializer)
    return None


def RawArray(typecode_or_type: object, size_or_initializer: Any) -> CObject:
    """A ctypes array in shared memory, without a lock (manual, "RawArray").

    Args:
        typecode_or_type: of the elements, as of `RawValue`.
        size_or_initializer: how many, which are zero then; or anything that can be
            gone through and has a length.

    Raises:
        TypeError: there is no such type, or the elements are none of it.
        ValueError: the size is negative.
        OverflowError: it is larger than any address.
        OSError: there is no shared memory left, or no descriptor.
    """
    element = ctype_of(typecode_or_type)
    length = length_of(size_or_initializer)
    if length is not None:
        return _new(element * length)
    made = _new(element * len(size_or_initializer))
    if not _fill_from_buffer(made, FORMATS.get(element), size_or_initializer):
        made.__init__(*size_or_initializer)
    return made


def _new(ctype: CType) -> CObject:
    size = ctypes.sizeof(ctype)
    return at(ctype, allocate(size or 1, ctypes.alignment(ctype)))


def _fill_from_buffer(made: CObject, code: str | None, values: object) -> bool:
    """Copy from an array of the same numbers, if it is one."""
    try:
        view = memoryview(values)  # type: ignore[arg-type]
    except TypeError:
        return False
    with view:
        wanted = "B" if code == "c" else code
        if view.format.lstrip(_NATIVE) != wanted or not view.c_contiguous:
            return False
        if view.nbytes != ctypes.sizeof(made):
            return False
        with view.cast("B") as source, memoryview(made).cast("B") as target:
            target[:] = source
    return True


def copy(obj: CObject) -> CObject:
    """A copy of a ctypes object, in shared memory (manual, "copy").

    Raises:
        TypeError: it is no ctypes object.
        OSError: there is no shared memory left, or no descriptor.
    """
    ctype = plain(type(obj))
    try:
        size = ctypes.sizeof(ctype)
    except TypeError:
        raise TypeError(f"a ctypes object is copied, not {obj!r}") from None
    made = at(ctype, allocate(size or 1, ctypes.alignment(ctype)))
    ctypes.memmove(ctypes.byref(made), ctypes.byref(obj), size)
    return made
