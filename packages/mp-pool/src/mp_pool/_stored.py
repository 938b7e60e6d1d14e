"""Large functions, which a worker is given once and not with every chunk.

The bound method of a large object is its object.  It is pickled once, into memory
without a name, and chunks carry a reference to that: a descriptor.  A worker unpickles
it with the first chunk of the call that it gets, and keeps it until there is another.
"""

from __future__ import annotations

import os
from itertools import count
from mmap import ACCESS_READ, mmap

from mp_connection.handles import Handle
from mp_connection.lean import dumps, follow_reducers, loads
from mp_connection.lifecycle import close_after_fork
from mp_pool._progress import anonymous_file
from mp_pool._wire import PROTOCOL, SMALL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mp_connection.handles import ReceivedHandle

follow_reducers(globals())

_numbers = count(1)


class StoredFunction:
    """What stands for a function in the chunks of a call.

    Args:
        pickled: the function.

    Raises:
        OSError: there is no descriptor or no memory left.
    """

    __slots__ = ("__weakref__", "_fd", "_key", "_size")

    def __init__(self, pickled: bytes) -> None:
        self._key = os.getpid(), next(_numbers)
        self._size = len(pickled)
        self._fd = anonymous_file()
        close_after_fork(self)
        try:
            rest = memoryview(pickled)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the descriptor.  A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd != -1:
            os.close(fd)

    __del__ = close

    def __reduce__(self) -> tuple[object, ...]:
        return _function, (self._key, self._size, Handle(self._fd))


def stored(function: Callable[..., object]) -> object:
    """What is to be sent for a function in several chunks: itself, if it is small."""
    try:
        pickled = dumps(function, PROTOCOL)
    except Exception:
        return function  # with descriptors, or not at all: see `pickle_chunk`
    if len(pickled) <= SMALL:
        return function
    try:
        return StoredFunction(pickled)
    except OSError:
        return function  # it can still be sent


#: The function that this worker was given last.
_latest: tuple[tuple[int, int], object] = (0, 0), None


def _function(key: tuple[int, int], size: int, handle: ReceivedHandle) -> object:
    global _latest
    if _latest[0] != key:
        _latest = (0, 0), None  # before there are two
        fd = handle.take()
        try:
            with mmap(fd, size, access=ACCESS_READ) as memory:
                _latest = key, loads(memory)
        finally:
            os.close(fd)
    return _latest[1]
