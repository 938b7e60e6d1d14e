"""What the portable backend calls of the C library: robust mutexes, and futexes.

Two facts make critical sections in Python possible.  A mutex of the kinds used here can
be unlocked by its holder only, and the call does nothing for anybody else.  And Python
runs signal handlers after calls and at jumps back, but not between the beginning of a
``finally`` clause and a call of a C function that stands there first.  So in::

    try:
        enter(address)
        ...
    finally:
        unlock(address)

the mutex is let go of exactly if it was taken, at whatever point a handler raises.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import errno
import os
from time import monotonic, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Of a mutex, on every platform and C library.
MUTEX_SIZE = 48
#: Seconds that nobody sleeps beyond without looking again: who was woken may be dead.
SLICE = 0.15
EVERYBODY = 2**31 - 1

_PROCESS_SHARED = 1
_ROBUST = 1
_NORMAL = 0
_RECURSIVE = 1
_FUTEX_WAIT = 0
_FUTEX_WAKE = 1
_SIZE_32 = 2
_SYS_FUTEX_WAITV = 449  # everywhere
_SYS_FUTEX = {
    "x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98, "ppc64le": 221,
    "ppc64": 221, "s390x": 238, "i686": 240, "armv7l": 240, "armv8l": 240,
}.get(os.uname().machine if sys.maxsize > 2**32 else "i686")  # fmt: skip

# One keeps the GIL, for what never waits; the other lets go of it.
_quick = ctypes.PyDLL(None)
_slow = ctypes.CDLL(None, use_errno=True)


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Waiter(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )


#: Of the C library, given an address; each returns an errno.
trylock = _quick.pthread_mutex_trylock
trylock.argtypes = (ctypes.c_void_p,)
unlock = _quick.pthread_mutex_unlock
unlock.argtypes = (ctypes.c_void_p,)
consistent = _quick.pthread_mutex_consistent
consistent.argtypes = (ctypes.c_void_p,)


def make_mutex(address: int, *, recursive: bool) -> None:
    """Make a mutex of zeroed memory, which processes share and whose holder may die.

    Raises:
        OSError: the C library or the kernel has none.
    """
    attributes = ctypes.create_string_buffer(64)
    _checked(_quick.pthread_mutexattr_init(attributes))
    _checked(_quick.pthread_mutexattr_setpshared(attributes, _PROCESS_SHARED))
    _checked(_quick.pthread_mutexattr_setrobust(attributes, _ROBUST))
    kind = _RECURSIVE if recursive else _NORMAL
    _checked(_quick.pthread_mutexattr_settype(attributes, kind))
    _checked(_quick.pthread_mutex_init(ctypes.c_void_p(address), attributes))
    _quick.pthread_mutexattr_destroy(attributes)


def _checked(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


def enter(address: int) -> None:
    """Take the mutex that guards the state of an object, for a moment.

    It is recursive, so that a signal handler may use the object as well.
    """
    error = trylock(address)
    if error:
        _enter_slowly(address, error)


def _enter_slowly(address: int, error: int) -> None:
    pause = 0.00002
    while error:
        if error == errno.EOWNERDEAD:
            # Every store within a critical section leaves a state that is right.
            consistent(address)
            return
        if error != errno.EBUSY:
            _checked(error)
        sleep(pause)
        pause = min(2 * pause, 0.001)
        error = trylock(address)


def sleep_on(address: int, seen: int, deadline: float | None) -> bool:
    """Sleep while the word has a value, for a slice, to the deadline or to a signal.

    Returns:
        Whether the deadline has passed.
    """
    left = SLICE
    if deadline is not None:
        left = min(left, deadline - monotonic())
        if left <= 0:
            return True
    if _SYS_FUTEX is None:
        sleep(min(left, 0.002))
    else:
        time = _Time(0, int(left * 1e9))
        _slow.syscall(
            ctypes.c_long(_SYS_FUTEX),
            ctypes.c_void_p(address),
            _FUTEX_WAIT,
            ctypes.c_uint32(seen),
            ctypes.byref(time),
            None,
            0,
        )
    return False


def wake(address: int, count: int) -> None:
    """Wake so many who sleep on a word."""
    if _SYS_FUTEX is not None:
        number = ctypes.c_long(_SYS_FUTEX)
        _quick.syscall(
            number, ctypes.c_void_p(address), _FUTEX_WAKE, count, None, None, 0
        )


def wake_one(address: int) -> None:
    """Wake one who sleeps at an address."""
    wake(address, 1)


def sleep_on_any(pairs: Sequence[tuple[int, int]], seconds: float) -> list[int]:
    """Sleep while each word has its value.

    The memory has to stay mapped meanwhile.

    Returns:
        The indices of those that were changed or woken.

    Raises:
        OSError: the kernel cannot.
    """
    waiters = (_Waiter * len(pairs))()
    for waiter, (address, seen) in zip(waiters, pairs, strict=True):
        waiter.address, waiter.value, waiter.flags = address, seen, _SIZE_32
    until = monotonic() + seconds
    time = (ctypes.c_int64 * 2)(int(until), int(until % 1 * 1e9))
    result = _slow.syscall(
        ctypes.c_long(_SYS_FUTEX_WAITV), waiters, len(pairs), 0, time, 1
    )
    error = ctypes.get_errno()
    if result < 0 and error not in (errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR):
        raise OSError(error, os.strerror(error))
    return [
        index
        for index, (address, seen) in enumerate(pairs)
        if index == result or ctypes.c_uint32.from_address(address).value != seen
    ]
