"""Blocks of shared memory as objects."""

from __future__ import annotations

import mmap
import os

from mp_connection.handles import Handle, register_reducer
from mp_sharedctypes import _blocks as blocks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection.handles import ReceivedHandle


class SharedMemory:
    """A block of memory that processes share.

    Without a name it is reached by whoever inherits it or is sent it, like all shared
    objects, and is gone when the last of them is.  With one it can be attached to by
    any process of this user, also by the standard library's class, until somebody
    unlinks the name.  The creator owns the name, with the processes that descend from
    it or its ancestors: when all of them are dead, however they died, it is unlinked.

    Any thread may use it.  A forked child has its own object of the same memory.

    Args:
        name: of the block; None creates one without, which gets a name when somebody
            asks for it.
        create: whether to create the block or to attach to it.
        size: bytes, of a new one.
        track: whether a name of this block is unlinked when its owners are dead.  Who
            attaches never becomes an owner.

    Raises:
        ValueError: the size is not positive, or there is no name to attach to.
        FileExistsError: there is a block of this name.
        FileNotFoundError: there is none.
        OSError: a block cannot have this name; there is no room, or no descriptor.
    """

    # First of all, as __del__ looks at them.
    _fd = -1
    _inode = -1
    _memory: mmap.mmap | None = None
    _buf: memoryview | None = None
    #: where the register has the name; -1: it does not; None: there is no name
    _index: int | None = None

    def __init__(
        self,
        name: str | None = None,
        create: bool = False,
        size: int = 0,
        *,
        track: bool = True,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a name is a string, not {name!r}")
        if size < 0:
            raise ValueError(f"a block has a positive size, not {size}")
        if create and size == 0:
            raise ValueError("a block that is created has a positive size")
        if name is None and not create:
            raise ValueError("a block without a name cannot be attached to by one")
        self._track = track
        if create:
            # Every process that has it knows which name it will get.
            random_name = f"mp-{os.urandom(8).hex()}" if name is None else name
            self._name: str = random_name
            self._size = size
            self._fd, self._index = blocks.create(name, random_name, size, track)
            if name is None:
                _travel_without_names()
        else:
            assert name is not None
            self._name = name
            self._index = -1
            self._fd, self._size, self._inode = blocks.attach(name)

    @property
    def buf(self) -> memoryview:
        """The memory itself, writable; mapped when it is first asked for.

        Raises:
            ValueError: the block is closed, or empty: another process is creating it.
            OSError: there is no room in the address space, or no descriptor.
        """
        if self._buf is None:
            if self._fd == -1:
                raise ValueError("the block of shared memory is closed")
            self._memory = mmap.mmap(self._fd, self._size)
            self._buf = memoryview(self._memory)
        return self._buf

    def _number(self) -> int:
        """The inode: which block it is, whatever its name."""
        if self._inode == -1:
            self._inode = blocks.inode_of(self._fd)
        return self._inode

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    @property
    def name(self) -> str:
        """The name; a block without one gets it now, and is tracked.

        Raises:
            OSError: it cannot get one: there is no /dev/shm, or not enough room in it.
        """
        if self._index is None and self._fd != -1:
            # No lock, which a forked child could find held: of two at once, one fails.
            try:
                self._index = blocks.publish(
                    self._fd, self._number(), self._name, self._track
                )
            except (FileExistsError, FileNotFoundError):
                # Whoever has this block too has given it the name, and may have taken
                # it away again.
                if self._index is None:
                    self._index = -1
        return self._name

    def close(self) -> None:
        """Let go of the memory, which does not touch that of others.

        As long as there are views of it in this process, the memory stays mapped for
        them.  A second call does nothing.
        """
        if self._fd != -1 and self._index is not None:
            self._number()  # for `unlink`, while it can be found out
        buf, self._buf = self._buf, None
        self._memory = None
        if buf is not None:
            try:
                buf.release()
            except BufferError:
                pass  # it goes with the last view
        self._close_descriptor()

    def _close_descriptor(self) -> None:
        fd, self._fd = self._fd, -1
        if fd != -1:
            os.close(fd)

    def unlink(self) -> None:
        """Take the name away: nobody can attach any more.

        Who has the block keeps it.  A block without a name has nothing to unlink.

        Raises:
            FileNotFoundError: the name is gone, or is another block's by now.
        """
        if self._index is not None:
            index, self._index = self._index, -1
            blocks.withdraw(self._name, self._number(), index)

    def __del__(self) -> None:
        # Not as `close` does: somebody may have the view, and keeps the memory by it.
        self._close_descriptor()

    def __reduce__(self) -> tuple[object, ...]:
        # In a plain pickle, which carries no descriptor: a block gets its name.
        if self._index is None and self._fd == -1:
            raise ValueError("the block of shared memory is closed, and has no name")
        return _attach_again, (self.name, self._number())

    def __repr__(self) -> str:
        # Without the property, which would give it a name.
        name = "without a name" if self._index is None else repr(self._name)
        return f"<{type(self).__name__} {name}, {self._size} bytes>"


_registered = False


def _travel_without_names() -> None:
    """Have blocks without a name sent by their descriptors, in messages.

    From the first such block on, as it makes all messages a little slower.
    """
    global _registered
    if not _registered:
        register_reducer(SharedMemory, _by_descriptor)
        _registered = True


def _by_descriptor(block: SharedMemory) -> tuple[object, ...]:
    if block._index is not None or block._fd == -1:
        return block.__reduce__()
    return _receive, (Handle(block._fd), block._name, block._size, block._track)


def _receive(handle: ReceivedHandle, name: str, size: int, track: bool) -> SharedMemory:
    _travel_without_names()
    made = SharedMemory.__new__(SharedMemory)
    made._track, made._name, made._size = track, name, size
    fd = handle.take()
    if os.fstat(fd).st_size < size:
        os.close(fd)
        raise ValueError("the block that was received is shorter than it says")
    made._fd = fd
    return made


def _attach_again(name: str, inode: int) -> SharedMemory:
    made = SharedMemory(name)
    if made._inode != inode:
        made.close()
        raise FileNotFoundError(
            f"the block of shared memory that was sent is gone, and {name!r} is another"
        )
    return made


SharedMemory.__module__ = "mp_sharedctypes.shared_memory"
