"""Anonymous shared memory: a file without a name, mapped."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import errno
import os


def create(size: int) -> int:
    """A descriptor of *size* zero bytes, all of which are there.

    Raises:
        OSError: there is no memory, no descriptor or no place for the file.
    """
    fd = anonymous_file("mp-arena")
    try:
        if sys.platform == "linux":
            _claim(fd, size)
        else:
            os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


if sys.platform == "linux":
    #: Bytes that are claimed in one call.  A signal that interrupts it takes back what
    #: the call had done, so that a timer could keep a large one from ever ending.
    _AT_ONCE = 1 << 26

    def _claim(fd: int, size: int) -> None:
        """Have the kernel set memory aside, so that what is missing is an error now.

        When it is touched, it would kill the process (SIGBUS).
        """
        if size > 1 << 30 and size > _total_memory():
            # The kernel would try, and kill somebody for it.
            raise OSError(
                errno.ENOMEM, f"{size} bytes are more memory than this machine has"
            )
        for start in range(0, size, _AT_ONCE):
            os.posix_fallocate(fd, start, min(_AT_ONCE, size - start))

    def _total_memory() -> int:
        """Bytes, those that can be swapped out included."""
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        try:
            with open("/proc/meminfo") as file:
                for line in file:
                    if line.startswith("SwapTotal:"):
                        total += int(line.split()[1]) << 10
        except OSError:
            pass
        return total


def anonymous_file(name: str) -> int:
    """A descriptor of an empty file without a name.

    Args:
        name: what those see who look at the descriptors of a process.

    Raises:
        OSError: there is no descriptor or no place for the file.
    """
    if sys.platform == "linux":
        try:
            return os.memfd_create(name, os.MFD_CLOEXEC)
        except (AttributeError, OSError):
            # The C library lacks it, or a sandbox forbids it.
            pass
    import tempfile

    directory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    fd, path = tempfile.mkstemp(prefix=f"{name}-", dir=directory)
    os.unlink(path)
    return fd
