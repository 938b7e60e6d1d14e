"""Queues on Linux: the length of packets counts items, and a file holds the rest.

The kernel says how many bytes lie unread in a packet socket (FIONREAD, which adds up
the packets of a ``SOCK_SEQPACKET``).  So each packet with an item is filled up to one
byte more than a multiple of `STEP`, and the sum modulo `STEP` is the number of items:
read in one call, whatever other processes do meanwhile and whoever was killed.  There
is no counter beside the packets that could be wrong.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import fcntl
import mmap
import os
import select

from mp_connection.channel import SLICE_SECONDS, ready_to_read
from mp_sync._memory_posix import anonymous_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

#: Above the number of packets that the kernel's buffer can hold.
STEP = 512
#: The kernel doubles it, and counts 833 bytes at least for a packet of `STEP` + 1.
_BUFFER = 212_992
_FIONREAD = 0x541B
_FOUR = bytes(4)
#: Clock ticks since the machine was started; a pid has 22 bits.
_START_BITS = 41
#: IOV_MAX, and what a single call may write (2**31 less a page).
_MOST_BUFFERS = 1024
_MOST_BYTES = 1 << 30


def limit_buffer(writer: _socket.socket) -> None:
    """Bound what lies unread in the kernel, whatever the system's default is."""
    writer.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _BUFFER)


def level(reader: _socket.socket) -> int:
    """Bytes that lie unread.

    Raises:
        ValueError: another thread has closed the queue.
    """
    fd = reader.fileno()
    if fd == -1:
        raise ValueError("this queue is closed")
    answer = fcntl.ioctl(fd, _FIONREAD, _FOUR)
    return int.from_bytes(answer, sys.byteorder)


def items_in(reader: _socket.socket) -> int:
    """Items that lie unread."""
    return level(reader) % STEP


def peek(reader: _socket.socket, seconds: float) -> None:
    """Wait for a packet and leave it there; not longer than a slice.

    Of many that wait the kernel wakes one for each packet.
    """
    if seconds > SLICE_SECONDS:
        try:
            reader.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            pass
    elif seconds > 0 and (fd := reader.fileno()) != -1:
        ready_to_read(fd, seconds)


def writable(writer: _socket.socket, seconds: float) -> bool:
    """Wait until the kernel's buffer is three quarters empty; whether it is."""
    if writer.fileno() == -1:
        return False
    poll = select.poll()
    poll.register(writer, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def create_file() -> int:
    """A descriptor of an empty file without a name."""
    return anonymous_file("mp-queue")


def write(fd: int, buffers: Sequence[Buffer], offset: int) -> None:
    """Write all of it.

    Raises:
        OSError: there is no memory left for it; part of it may be written.
    """
    views = [view for buffer in buffers if (view := memoryview(buffer)).nbytes]
    while views:
        done = os.pwritev(fd, views[:_MOST_BUFFERS], offset)
        offset += done
        while views and done >= len(views[0]):
            done -= len(views.pop(0))
        if done:
            views[0] = views[0][done:]


def read_into(fd: int, view: memoryview, offset: int) -> None:
    """Fill the memory."""
    while view:
        done = os.preadv(fd, [view[:_MOST_BYTES]], offset)
        if not done:
            raise EOFError("the file of a queue is shorter than it says")
        offset += done
        view = view[done:]


def shorten(fd: int) -> None:
    """Give the memory of the whole file back."""
    os.ftruncate(fd, 0)


def drop_before(fd: int, start: int, end: int) -> int:
    """Give back the memory of what was read; where the rest begins."""
    start = start // mmap.PAGESIZE * mmap.PAGESIZE
    end = end // mmap.PAGESIZE * mmap.PAGESIZE
    if end > start:
        with mmap.mmap(fd, end - start, offset=start) as mapping:
            mapping.madvise(mmap.MADV_REMOVE)
    return end


def identity(pid: int) -> int:
    """A number for a process that no later one gets, however its pid is used again.

    Returns:
        0 if the process is dead, also if nobody has waited for it yet.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program, in parentheses, may contain anything.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        if os.path.exists("/proc/self/stat"):
            return 0
        return pid << _START_BITS if _may_live(pid) else 0
    state, start = fields[0], int(fields[19])
    return 0 if state in (b"Z", b"X") else pid << _START_BITS | start


def is_alive(number: int) -> bool:
    """Whether the process of an `identity` lives."""
    return identity(number >> _START_BITS) == number


def _may_live(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def blocks(sock: _socket.socket) -> bool:
    """Whether calls wait: others may have made the description O_NONBLOCK."""
    fd = sock.fileno()
    return fd == -1 or os.get_blocking(fd)
