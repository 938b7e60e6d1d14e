"""Blocks of anonymous memory that processes share.

A block is a part of an arena, which is a file without a name, mapped by every process
that has a block of it.  Forked children inherit blocks; everybody else gets them in a
message (as an argument of a process, or through a connection, a queue or a pool), which
carries the arena's descriptor once, however many blocks of it are in the message.

When is memory used again?  A process allocates from arenas of its own only, and hands
a block out again after the last `Block` object is gone **if no other process can ever
have reached it**: no fork happened since it was allocated, and nobody sent it.  That it
was sent stands in the arena, where whoever sends it notes it, be it the owner or a
forked child.  Any other block stays unused until its whole arena is dropped, which
happens when the owner has no block of it left: unmapping memory takes it from nobody,
and the kernel frees the file when the last process has unmapped it.  Nothing is
counted, so nothing is miscounted when a process is killed.
"""

from __future__ import annotations

import mmap
import os
import sys
from _thread import RLock
from _weakref import ref

from mp_connection.handles import Handle
from mp_connection.lifecycle import after_fork
from mp_sync._freelist import GRANULE, UNIT, FreeList, rounded
from mp_sync._memory import create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mp_connection.handles import ReceivedHandle

__all__ = ("Block", "allocate")

_FIRST_SIZE = 1 << 16
_LARGEST_SIZE = 1 << 20
_PAGE = mmap.PAGESIZE
#: Blocks of a page or more have an arena to themselves, whose memory returns to the
#: system with them, wherever they were sent.  Each arena takes a descriptor or two,
#: so where a process has many of them only large blocks do.
_MANY = 64
_LARGE = _LARGEST_SIZE // 4


class _Descriptor:
    """Closes what it holds when nobody refers to it any more."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd: int = fd

    def __del__(self, close: Callable[[int], object] = os.close) -> None:
        close(self.fd)


def _map(fd: int, size: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):
        # One descriptor is enough: ours, which others are sent.
        return mmap.mmap(fd, size, trackfd=False)
    return mmap.mmap(fd, size)


class _Arena:
    """A mapped file.

    Attributes:
        mapping: its memory, which is unmapped when there is no view of it left.
        name: the same in every process, so that none maps it twice.
    """

    # No __del__: with one, another thread could find an arena that is being closed.
    __slots__ = ("__weakref__", "_file", "mapping", "name", "size")

    def __init__(self, file: _Descriptor, size: int, name: bytes) -> None:
        self._file: _Descriptor = file
        self.size: int = size
        self.name: bytes = name
        self.mapping: mmap.mmap = _map(file.fd, size)

        def forget(gone: ref[_Arena]) -> None:
            if _arenas.get(name) is gone:
                del _arenas[name]

        _arenas[name] = ref(self, forget)

    def __reduce__(self) -> tuple[object, ...]:
        return _receive_arena, (Handle(self._file.fd), self.size, self.name)


def _create_arena(size: int) -> _Arena:
    return _Arena(_Descriptor(create(size)), size, os.urandom(16))


#: Those of this process, wherever they came from.
_arenas: dict[bytes, ref[_Arena]] = {}


def _found(name: bytes) -> _Arena | None:
    reference = _arenas.get(name)
    return None if reference is None else reference()


def _receive_arena(handle: ReceivedHandle, size: int, name: bytes) -> _Arena:
    arena = _found(name)
    if arena is not None:
        return arena  # the descriptor is closed with the message
    file = _Descriptor(handle.take())
    if os.fstat(file.fd).st_size < size:
        raise ValueError("the arena that was received is shorter than it says")
    return _Arena(file, size, name)


class Block:
    """Memory that processes share, for as long as this object lives, here or there.

    Pickled, it travels with messages that can carry descriptors.  A copy of this
    object in another process, or in this one, is the same memory.

    Attributes:
        mapping: the arena's memory, which has the buffer protocol.
        offset: where in it the block begins.
        size: bytes, as many as were asked for.
    """

    __slots__ = (
        "__weakref__", "_arena", "_birth", "_home", "_span", "mapping", "offset", "size"
    )  # fmt: skip

    def __init__(
        self,
        arena: _Arena,
        offset: int,
        size: int,
        home: _Home | None = None,
        span: int = 0,
        birth: int = 0,
    ) -> None:
        self._arena: _Arena = arena
        self.mapping: mmap.mmap = arena.mapping
        self.offset: int = offset
        self.size: int = size
        self._span: int = span
        self._birth: int = birth
        # Last: a block that a signal handler's exception leaves half made is lost to
        # its arena, and no harm is done.
        self._home: _Home | None = home

    def memory(self) -> memoryview:
        """The memory itself, writable.

        Keep the block as long as the view: without it the memory may be handed out
        again.
        """
        return memoryview(self.mapping)[self.offset : self.offset + self.size]

    def __del__(self) -> None:
        # From any thread, at any point of `allocate`: it only takes a note.
        home = getattr(self, "_home", None)
        if home is not None:
            # At the end of the interpreter there is no heap any more.
            forks = getattr(_heap, "forks", -1)
            sole = self._birth == forks and not _heap.forking
            home.returned.append((self.offset, self._span, sole))

    def __reduce__(self) -> tuple[object, ...]:
        if self.offset:
            # Before the message exists, so that the owner sees it in time.
            self.mapping[self.offset // UNIT] = 1
        return Block, (self._arena, self.offset, self.size)

    def _part(self, offset: int) -> Block:
        """What begins at an offset of the arena, to be sent; for `mp_sync._native`.

        A block that others have a part of is noted as sent.
        """
        if offset == self.offset:
            return self
        self.mapping[self.offset // GRANULE] = 1
        return Block(self._arena, offset, self.offset + self.size - offset)

    def __repr__(self) -> str:
        return f"<Block of {self.size} bytes>"


class _Home:
    """An arena that this process allocates from.

    Its first part has a byte for each unit: whether the block that begins there was
    ever sent.
    """

    __slots__ = ("arena", "free", "live", "returned", "stuck")

    def __init__(self, size: int) -> None:
        self.arena: _Arena = _create_arena(size)
        self.free: FreeList = FreeList(rounded(size // UNIT), size)
        self.live: int = 0
        #: blocks whose last object is gone: offset, span, whether nobody inherited it
        self.returned: list[tuple[int, int, bool]] = []
        #: whether there is memory that cannot be used again
        self.stuck: bool = False

    def take_back(self) -> None:
        """Make what was returned free, if no other process can have it."""
        returned = self.returned
        while returned:
            offset, span, sole = returned.pop()
            self.live -= 1
            mapping = self.arena.mapping
            if sole and not mapping[offset // UNIT]:
                mapping[offset : offset + span] = bytes(span)
                self.free.free(offset, span)
            else:
                self.stuck = True


class _Heap:
    """The arenas that this process allocates from, and how often it was forked."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.busy = False
        self.homes: list[_Home] = []
        self.forks = 0
        self.forking = 0
        #: a block that `mp_sync._native` makes small objects of
        self.slab: object = None

    def before_fork(self) -> None:
        # The two together leave no moment out: what is freed from here until the fork
        # is over may have been copied, and so may what is allocated in between.
        self.forking += 1
        self.forks += 1

    def after_fork_in_parent(self) -> None:
        self.forks += 1
        self.forking -= 1

    def allocate(self, size: int, alignment: int) -> Block | None:
        """A small block; None if this thread is within this function already."""
        with self.lock:
            if self.busy:  # a signal handler, or a finalizer, that allocates
                return None
            try:
                self.busy = True
                return self._allocate(size, alignment)
            finally:
                self.busy = False

    def _allocate(self, size: int, alignment: int) -> Block:
        unit = alignment if alignment < GRANULE else GRANULE
        needed = (size + unit - 1) & -unit
        homes = self.homes
        for home in homes[::-1]:
            if home.returned:
                home.take_back()
                if home.stuck and not home.live:
                    homes.remove(home)
                    continue
            offset = home.free.allocate(needed, alignment)
            if offset is not None:
                break
        else:
            larger = _FIRST_SIZE << len(homes)
            home = _Home(max(min(larger, _LARGEST_SIZE), 2 * (needed + alignment)))
            homes.append(home)
            offset = home.free.allocate(needed, alignment)
            assert offset is not None
        home.live += 1
        return Block(home.arena, offset, size, home, needed, self.forks)


_heap = _Heap()


def allocate(size: int, alignment: int = GRANULE) -> Block:
    """Shared memory, all zero.

    Threads may call it at any time.  A forked child has what its parent had, and
    allocates in arenas of its own.

    Args:
        size: bytes, one at least.
        alignment: a power of two, a page at most: the address is a multiple of it.
            Below that of a cache line (64 bytes) the block may share one with others,
            and takes less memory.

    Raises:
        ValueError: the size or the alignment is out of range.
        OSError: there is no memory or no descriptor left.
    """
    if size < 1:
        raise ValueError(f"a block has one byte at least, not {size}")
    if alignment != GRANULE:
        if not 0 < alignment <= _PAGE or alignment & (alignment - 1):
            raise ValueError(
                f"an alignment is a power of two up to {_PAGE}, not {alignment}"
            )
        alignment = max(alignment, UNIT)
    if size < _PAGE or (size < _LARGE and len(_arenas) >= _MANY):
        block = _heap.allocate(size, alignment)
        if block is not None:
            return block
    return Block(_create_arena(rounded(size)), 0, size)


def _in_forked_child() -> None:
    # The parent goes on to allocate from its arenas; its blocks that are inherited
    # return to a home that nobody looks at.
    global _heap
    _heap = _Heap()


after_fork(_in_forked_child)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _heap.before_fork(),
        after_in_parent=lambda: _heap.after_fork_in_parent(),
    )
