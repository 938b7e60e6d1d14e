"""What makes shared objects, with and without a lock."""

from __future__ import annotations

from mp_sharedctypes._raw import RawArray, RawValue, length_of
from mp_sharedctypes._synchronized import (
    Synchronized,
    SynchronizedBase,
    fresh,
    fresh_array,
    wrapped,
)
from mp_sharedctypes._types import FORMATS, TYPECODES, ctype_of
from mp_sync import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_sharedctypes._types import CObject
    from mp_sync.cells import LockLike

#: Formats of cells, by what stands for the type.
_CODES: dict[object, str] = {code: code for code in TYPECODES}
_CODES.update((ctype, code) for ctype, code in FORMATS.items())


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:
    """A ctypes object in shared memory (manual, "Value").

    Args:
        typecode_or_type: as of `RawValue`.
        args: for the constructor of the type.  Without any, it is all zero.
        lock: True: each access takes a recursive lock of its own, see
            `Synchronized`.  A lock: takes that.  False: there is none, see
            `RawValue`.
        ctx: whose ``RLock`` to make; what any context makes works with all.

    Raises:
        TypeError: there is no such type, or its constructor refuses the arguments.
        AttributeError: *lock* is no lock.
        OSError: there is no shared memory left, or no descriptor.
    """
    if lock is True and ctx is None:
        code = _CODES.get(typecode_or_type)
        if code is not None and len(args) < 2:
            cell: Synchronized[Any] = Synchronized.fresh(code, 1)
            if args:
                cell.value = args[0]
            return cell
        made = fresh(ctype_of(typecode_or_type))
        if args:
            _initialize(made, *args)
        return made
    if lock is False:
        return RawValue(typecode_or_type, *args)
    lock = _lock_of(lock, ctx)
    return wrapped(RawValue(typecode_or_type, *args), lock)


def Array(
    typecode_or_type: Any,
    size_or_initializer: Any,
    *,
    lock: Any = True,
    ctx: Any = None,
) -> Any:
    """A ctypes array in shared memory (manual, "Array").

    Args:
        typecode_or_type: of the elements, as of `RawValue`.
        size_or_initializer: as of `RawArray`.
        lock: as of `Value`; see `SynchronizedArray`, and of ``c_char``
            `SynchronizedString`.
        ctx: as of `Value`.

    Raises:
        TypeError: there is no such type, or the elements are none of it.
        ValueError: the size is negative.
        OverflowError: it is larger than any address.
        AttributeError: *lock* is no lock.
        OSError: there is no shared memory left, or no descriptor.
    """
    if lock is True and ctx is None:
        element = ctype_of(typecode_or_type)
        length = length_of(size_or_initializer)
        if length is not None:
            return fresh_array(element, length)
        made = fresh_array(element, len(size_or_initializer))
        if made.format is None:
            _initialize(made, *size_or_initializer)
        else:
            made[:] = size_or_initializer
        return made
    if lock is False:
        return RawArray(typecode_or_type, size_or_initializer)
    lock = _lock_of(lock, ctx)
    return wrapped(RawArray(typecode_or_type, size_or_initializer), lock)


def synchronized(obj: CObject, lock: Any = None, ctx: Any = None) -> Any:
    """A ctypes object, each access to which takes a lock (manual, "synchronized").

    Args:
        obj: what is to be wrapped.  Only one in shared memory can be sent.
        lock: the lock; None for a new recursive one.
        ctx: as of `Value`.

    Raises:
        TypeError: it is no ctypes object.
        AttributeError: *lock* is no lock.
    """
    return wrapped(obj, _lock_of(lock, ctx))


def _initialize(made: SynchronizedBase[Any], *args: Any) -> None:
    obj = made.get_obj()
    obj.__init__(*args)


def _lock_of(lock: Any, ctx: Any) -> LockLike:
    if lock is True or lock is None:
        made: LockLike = RLock() if ctx is None else ctx.RLock()
        return made
    if not hasattr(lock, "acquire") or not hasattr(lock, "release"):
        # The standard library's error for it.
        raise AttributeError(f"{lock!r} is no lock: it has no acquire and release")
    given: LockLike = lock
    return given
