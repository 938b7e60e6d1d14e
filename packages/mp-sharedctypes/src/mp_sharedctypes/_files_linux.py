"""Files in /dev/shm, which are what POSIX shared memory is on Linux."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import errno
import mmap
import os

from mp_sharedctypes._tracker_linux import DIRECTORY as DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def path_of(name: str) -> str:
    """Where a block of a name lies.

    Raises:
        OSError: EINVAL: a block cannot have this name, as in ``shm_open``.
        ValueError: there is a null character in it.
    """
    if "\0" in name:
        raise ValueError(f"a name has no null character: {name!r}")
    bare = name.lstrip("/")
    if not bare or "/" in bare or bare in (".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return f"{DIRECTORY}/{bare}"


def create_nameless(size: int) -> int | None:
    """A descriptor of a file that can be given a name later.

    Returns:
        None if this system has no such files.

    Raises:
        OSError: ENOSPC: there is no room for it.  ENOSYS: there is no /dev/shm.
    """
    try:
        fd = os.open(DIRECTORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        if not os.path.isdir(DIRECTORY):
            raise OSError(
                errno.ENOSYS, f"there is no {DIRECTORY}, where blocks with names lie"
            ) from None
        return None
    return _sized(fd, size)


def create_outside(label: str, size: int) -> int:
    """A descriptor of a file that lies elsewhere, and can get no name.

    Args:
        label: what those see who look at the descriptors of a process.
        size: bytes.

    Raises:
        OSError: there is no room for it.
    """
    try:
        fd = os.memfd_create(label, os.MFD_CLOEXEC)
    except (AttributeError, OSError):
        # The C library lacks it, or a sandbox forbids it.
        import tempfile

        directory = DIRECTORY if os.access(DIRECTORY, os.W_OK) else None
        fd, path = tempfile.mkstemp(prefix=f"{label}-", dir=directory)
        os.unlink(path)
    try:
        os.ftruncate(fd, size)
        mmap.mmap(fd, size).close()  # an error now, if it is too large
    except BaseException:
        os.close(fd)
        raise
    return fd


def create_named(path: str, size: int) -> int:
    """A descriptor of a new file of a name.

    Raises:
        FileExistsError: there is one.
        OSError: ENOSPC: there is no room for it.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    try:
        return _sized(fd, size)
    except BaseException:
        os.unlink(path)
        raise


def _sized(fd: int, size: int) -> int:
    try:
        system = os.fstatvfs(fd)
        # Touching what is not there would kill the process (SIGBUS).  It may still be
        # taken by others between here and then, as allocating it now takes long.
        if system.f_blocks and system.f_bavail * system.f_frsize < size:
            raise OSError(
                errno.ENOSPC,
                f"{size} bytes are more than {DIRECTORY} has room for",
            )
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _find_linkat() -> Callable[[int, bytes, int, bytes, int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).linkat
    except (OSError, AttributeError):
        return None
    function.argtypes = (
        ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int,
    )  # fmt: skip
    return function


_linkat = _find_linkat()
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000


def give_name(fd: int, path: str) -> None:
    """Let a nameless file have a name.

    Raises:
        FileExistsError: another has it.
        FileNotFoundError: it had one, which is gone: there is no second.
    """
    if _linkat is not None:
        # Only root may do so before Linux 6.10; twice as fast as the way below.
        if not _linkat(fd, b"", _AT_FDCWD, os.fsencode(path), _AT_EMPTY_PATH):
            return
        number = ctypes.get_errno()
        if number == errno.EEXIST:
            raise FileExistsError(number, os.strerror(number), path)
    # With a directory descriptor, although the path is a whole one: without, Python
    # calls link(), which does not follow the symbolic link.
    source = f"/proc/self/fd/{fd}"
    os.link(source, path, src_dir_fd=fd, follow_symlinks=True)


def open_named(path: str) -> int:
    """A descriptor of the file of a name.

    Raises:
        FileNotFoundError: there is none.
    """
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
