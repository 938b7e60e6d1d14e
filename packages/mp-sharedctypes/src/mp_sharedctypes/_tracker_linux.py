"""The resource tracker: unlinks the names that are left when their owners are dead.

It is one process for all processes that descend from the first which named a block, or
which started others with that in mind.  They share a table of names, a file without a
name itself, and a lock on that file which the kernel keeps for as long as one of them
has it open or mapped: nobody sends messages, and nobody can forget to.  The tracker
waits for the lock, unlinks what the table holds, and ends.

Run as a script by the register, which see; so it imports nothing of ours.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

DIRECTORY = "/dev/shm"

#: Names that the table has room for.  It begins with a byte for each: whether it is in
#: use.  Records follow: the inode, the length of the name, the name.  Where nothing was
#: written the file has holes, which take no memory.
CAPACITY = 1 << 16
RECORD = 272
INODE = slice(0, 8)
LENGTH = 8
NAME = 16
LONGEST_NAME = 255
SIZE = CAPACITY * (1 + RECORD)

#: Instead of an inode: the name is random, and whatever bears it is ours.
OURS = 0


def record_at(index: int) -> int:
    """Where a record begins."""
    return CAPACITY + index * RECORD


def parse(record: bytes) -> tuple[int, str]:
    """The inode and the name of a record."""
    name = record[NAME : NAME + record[LENGTH]]
    return int.from_bytes(record[INODE], sys.byteorder), os.fsdecode(name)


def is_there(name: str, inode: int) -> bool:
    """Whether a name still is that of the block that it was given to."""
    try:
        status = os.lstat(f"{DIRECTORY}/{name}")
    except OSError:
        return False
    return inode in (OURS, status.st_ino)


def sweep(table: int) -> None:
    """Unlink every name in the table, unless somebody else has it by now."""
    used = os.pread(table, CAPACITY, 0)
    index = used.find(1)
    while index != -1:
        inode, name = parse(os.pread(table, RECORD, record_at(index)))
        if is_there(name, inode):
            try:
                os.unlink(f"{DIRECTORY}/{name}")
            except OSError:
                pass
        index = used.find(1, index + 1)


def main(inherited: int) -> None:
    """Wait until all who have the table are dead, and sweep.

    Args:
        inherited: a descriptor of the table.
    """
    import fcntl
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for name in os.listdir("/proc/self/fd"):
        # What was inherited by chance: others may wait for everybody to close it.
        if int(name) not in (0, 1, 2, inherited):
            try:
                os.close(int(name))
            except OSError:
                pass  # of the listing itself
    ready, tell = os.pipe()
    if os.fork():
        # So that the tracker is nobody's child: who waits for any child of his is not
        # to wait for it.
        os.close(tell)
        os._exit(0 if os.read(ready, 1) else 1)
    os.close(ready)
    # Opened anew: it is not to hold the lock that it waits for.
    table = os.open(f"/proc/self/fd/{inherited}", os.O_RDWR | os.O_CLOEXEC)
    os.close(inherited)
    # Says that there is a tracker.  After the close, which would take it away.
    fcntl.lockf(table, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
    os.write(tell, b"1")
    os.close(tell)
    os.chdir("/")
    fcntl.flock(table, fcntl.LOCK_EX)
    sweep(table)


if __name__ == "__main__":
    main(int(sys.argv[1]))
