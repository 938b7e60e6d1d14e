"""Blocks of shared memory, with and without a name."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import errno
import os

from mp_sharedctypes import _files_linux as files
from mp_sharedctypes._register_linux import (
    create_published,
    publish as publish,
    withdraw as withdraw,
)


def create(
    name: str | None, random_name: str, size: int, track: bool
) -> tuple[int, int | None]:
    """A new block.

    Args:
        name: its name; None for none.
        random_name: a name that it may get because it cannot be without one.
        size: bytes.
        track: whether a name is to be unlinked when its owners are dead.

    Returns:
        A descriptor, and what `withdraw` is to be told; None if it has no name.

    Raises:
        FileExistsError: there is a block of this name.
        OSError: there is no room, no descriptor; or a block cannot have this name.
    """
    if name is not None:
        files.path_of(name)  # an error before anything is made
    try:
        fd = files.create_nameless(size)
        if fd is None:
            return create_published(name or random_name, size, track)
    except OSError as error:
        if name is not None or error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        # It can do without /dev/shm, as long as nobody asks for its name.
        fd = files.create_outside("mp-shm", size)
    if name is None:
        return fd, None
    try:
        return fd, publish(fd, inode_of(fd), name, track)
    except BaseException:
        os.close(fd)
        raise


def attach(name: str) -> tuple[int, int, int]:
    """A descriptor of the block of a name, its size and its inode.

    Raises:
        FileNotFoundError: there is none.
        OSError: a block cannot have this name, or it is another user's.
    """
    try:
        fd = files.open_named(files.path_of(name))
    except OSError as error:
        # That name and not the path.
        raise OSError(error.errno, error.strerror, name) from None
    status = os.fstat(fd)
    return fd, status.st_size, status.st_ino


def inode_of(fd: int) -> int:
    """The number of the file."""
    return os.fstat(fd).st_ino
