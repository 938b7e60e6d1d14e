"""The types of shared objects: typecodes, and subclasses whose memory is shared.

An object in shared memory is an instance of the type that was asked for; its class is a
subclass that knows which block it lies in, so that it can be sent.  The type itself is
left as it is: objects of it elsewhere in the program are none of our business.
"""

from __future__ import annotations

import ctypes
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_sync.arena import Block

    #: A ctypes type, and an object of one.
    CType = type[Any]
    CObject = Any

#: Those of the `array` module, and ``c``.
TYPECODES: dict[str, CType] = {
    "c": ctypes.c_char,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "u": ctypes.c_wchar,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}

#: How a cell reads and writes them.  Subclasses, and types of another byte order, are
#: none of these.
FORMATS: dict[CType, str] = {
    **{ctype: code for code, ctype in TYPECODES.items()},
    ctypes.c_bool: "?",
}
CTYPES: dict[str, CType] = {**TYPECODES, "?": ctypes.c_bool}


def ctype_of(typecode_or_type: object) -> CType:
    """The ctypes type that is meant.

    Raises:
        TypeError: there is no such typecode, or it is no ctypes type.
    """
    if isinstance(typecode_or_type, str):
        try:
            return TYPECODES[typecode_or_type]
        except KeyError:
            raise TypeError(
                f"{typecode_or_type!r} is none of the typecodes {''.join(TYPECODES)}"
            ) from None
    if not isinstance(typecode_or_type, type):
        raise TypeError(f"not a typecode and not a ctypes type: {typecode_or_type!r}")
    ctypes.sizeof(typecode_or_type)
    return plain(typecode_or_type)


class Shared:
    """Mixed into the ctypes types whose objects lie in shared memory.

    Attributes:
        _block: where the object lies; kept as long as it, or a view of it, is there.
    """

    __slots__ = ()

    _block: Block
    _plain: CType

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        # Python 3 says which protocol to use; copyreg has nothing to say of this type.
        return self.__reduce__()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (described(self._plain), self._block, _offset_of(self))

    def __copy__(self) -> CObject:
        """A copy in the memory of this process."""
        return self._plain.from_buffer_copy(self)

    def __deepcopy__(self, memo: object) -> CObject:
        return self.__copy__()


class SharedSimple(Shared):
    """A number, a character or a pointer; it is shown as that of the plain type is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.__copy__())


def plain(ctype: CType) -> CType:
    """The type that was asked for, of one that may be a subclass of ours."""
    found: CType = ctype._plain if issubclass(ctype, Shared) else ctype
    return found


#: Of simple types.  Others keep theirs among their subclasses, and go with it.
_simple: dict[CType, CType] = {}


def shared(ctype: CType) -> CType:
    """The subclass for objects that lie in shared memory."""
    found = _simple.get(ctype)
    if found is not None:
        return found
    for subclass in type.__subclasses__(ctype):
        if "_plain" in subclass.__dict__:
            return subclass
    mixin: type = SharedSimple
    if issubclass(ctype, (ctypes.Array, ctypes.Structure, ctypes.Union)):
        mixin = Shared
    namespace: dict[str, object] = {
        "__slots__": ("_block",),
        "__module__": "mp_sharedctypes",
        "__qualname__": ctype.__qualname__,
        "__doc__": ctype.__doc__,
        "_plain": ctype,
    }
    for base in mixin.__mro__[-2::-1]:
        items = vars(base).items()
        namespace.update((k, v) for k, v in items if isinstance(v, FunctionType))
    if hasattr(ctype, "_flags_"):  # a function: it is not inherited
        namespace["_flags_"] = ctype._flags_
    metaclass: Any = type(ctype)
    # In this order, because each access to a value looks for the class of ctypes that
    # has it among the bases, one by one; so the methods have to be its own.
    made: CType = metaclass(ctype.__name__, (ctype, mixin), namespace)
    if ctype in FORMATS:
        _simple[ctype] = made
    return made


def at(ctype: CType, block: Block, offset: int = 0) -> CObject:
    """The object of a plain type that lies at an offset of a block."""
    made = shared(ctype).from_buffer(block.mapping, block.offset + offset)
    made._block = block
    return made


def _offset_of(obj: CObject) -> int:
    block = obj._block
    if block.size == 0:
        return 0
    start = ctypes.addressof(ctypes.c_char.from_buffer(block.mapping, block.offset))
    offset: int = ctypes.addressof(obj) - start
    return offset


def _rebuild(description: object, block: Block, offset: int) -> CObject:
    ctype = type_of(description)
    if not 0 <= offset <= block.size - ctypes.sizeof(ctype):
        raise ValueError(f"a {ctype.__qualname__} does not lie within {block!r}")
    return at(ctype, block, offset)


#: Attributes of a simple type that hold it in another byte order.
_ORDERS = ("__ctype_be__", "__ctype_le__")


def described(ctype: Any) -> object:
    """A plain type as it is pickled.

    Types of arrays and pointers that ctypes makes on the way are not found by name.
    """
    if issubclass(ctype, ctypes.Array):
        element, length = ctype._type_, ctype._length_
        if ctype is element * length:
            return described(element), length
    elif issubclass(ctype, ctypes._Pointer) and ctype is ctypes.POINTER(ctype._type_):
        return described(ctype._type_), None
    elif issubclass(ctype, ctypes._SimpleCData):
        native = getattr(ctypes, ctype.__qualname__, None)
        for order in _ORDERS:
            if native is not ctype and getattr(native, order, None) is ctype:
                return described(native), order
    return FORMATS.get(ctype, ctype)


def type_of(description: Any) -> CType:
    """The type that `described` was given, perhaps in another process."""
    found: CType
    if isinstance(description, tuple):
        inner, how = description
        found = type_of(inner)
        if how in _ORDERS:
            found = getattr(found, how)
        else:
            found = ctypes.POINTER(found) if how is None else found * how
        return found
    if isinstance(description, str):
        return CTYPES[description]
    found = description
    return found
