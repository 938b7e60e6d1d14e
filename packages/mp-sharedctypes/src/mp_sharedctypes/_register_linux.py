"""The register of named blocks, which processes share with their tracker.

Made when the first block is named, or when a process that may name some starts others:
then all of them share one register, and a name lives until the last of them is dead.

Whoever names a block enters the name before the block has it, and strikes it out after
the name is gone.  So there is no moment at which a process could be killed and leave a
name that nobody knows of.  An entry names the file by its inode too: a name that has
passed to another block is left alone.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import errno
import fcntl
import mmap
import os
from _struct import pack

from mp_connection.handles import Handle
from mp_connection.lifecycle import Provider
from mp_sharedctypes import _files_linux as files, _tracker_linux as tracker
from mp_sync import OwnerDiedError, RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection.handles import ReceivedHandle

#: The tracker's number of the table's descriptor.
_INHERITED = 3

#: A struct flock, padded to its size by the empty field: whose is the first byte?
_QUERY = pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
_NOBODY = pack("h", fcntl.F_UNLCK)


def _record(name: str, inode: int) -> bytes:
    encoded = os.fsencode(name)
    length = len(encoded)
    if length > tracker.LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
    return pack("QB7x", inode, length) + encoded


class Register:
    """The table of names.

    Args:
        fd: of its file, which the register owns; None makes a new one.
        lock: of the table.
    """

    def __init__(self, fd: int | None = None, lock: RLock | None = None) -> None:
        self._lock: RLock = RLock() if lock is None else lock
        if fd is None:
            fd = files.create_outside("mp-names", tracker.SIZE)
            try:
                # The kernel keeps it as long as a process has this very description
                # open or mapped, which children inherit or are sent.
                fcntl.flock(fd, fcntl.LOCK_SH)
            except BaseException:
                os.close(fd)
                raise
        self.fd: int = fd
        self._table = mmap.mmap(fd, tracker.SIZE)
        self._hint = 0

    def enter(self, name: str, inode: int) -> int:
        """Note that a name is to be unlinked.

        Returns:
            Where it was noted.

        Raises:
            OSError: there are too many; or the tracker could not be started.
        """
        record = _record(name, inode)
        self._acquire()
        try:
            if not self.has_tracker():
                self._start_tracker()
            index = self._free_index()
            start = tracker.record_at(index)
            self._table[start : start + len(record)] = record
            self._table[index] = 1
            self._hint = index + 1
        finally:
            self._lock.release()
        return index

    def strike_out(self, index: int, name: str, inode: int) -> None:
        """Forget a name that is gone, if it stands there.

        Args:
            index: where it was noted; -1: another process knows.
            name: the name.
            inode: of the block that had it.
        """
        record = _record(name, inode)
        self._acquire()
        try:
            if index == -1:
                last = self._table.rfind(b"\1", 0, tracker.CAPACITY)
                found = self._table.find(record, *map(tracker.record_at, (0, last + 1)))
                if found == -1:
                    return
                index = (found - tracker.CAPACITY) // tracker.RECORD
            start = tracker.record_at(index)
            if self._table[start : start + len(record)] == record:
                self._table[index] = 0
                self._hint = index
        finally:
            self._lock.release()

    def _acquire(self) -> None:
        # Every step leaves the table whole, also where a holder was killed.
        while True:
            try:
                self._lock.acquire()
                return
            except OwnerDiedError:
                if self._lock.recover():
                    return

    def _at(self, index: int) -> tuple[int, str]:
        start = tracker.record_at(index)
        return tracker.parse(self._table[start : start + tracker.RECORD])

    def _free_index(self) -> int:
        for start in (self._hint, 0):
            index = self._table.find(b"\0", start, tracker.CAPACITY)
            if index != -1:
                return index
        # Names that others have unlinked, who do not know of this table.
        for index in range(tracker.CAPACITY):
            inode, name = self._at(index)
            if not tracker.is_there(name, inode):
                self._table[index] = 0
        index = self._table.find(b"\0", 0, tracker.CAPACITY)
        if index == -1:
            raise OSError(
                errno.ENOSPC,
                f"{tracker.CAPACITY} blocks of shared memory have names: unlink some",
            )
        return index

    def names(self) -> list[str]:
        """What is entered."""
        used = self._table[: tracker.CAPACITY]
        return [self._at(index)[1] for index, state in enumerate(used) if state]

    def has_tracker(self) -> bool:
        """Whether the tracker runs."""
        return fcntl.fcntl(self.fd, fcntl.F_GETLK, _QUERY)[:2] != _NOBODY

    def _start_tracker(self) -> None:
        try:
            _, status = os.waitpid(self._launch_tracker(), 0)
        except ChildProcessError:  # a handler of SIGCHLD was faster, or it is ignored
            status = 0
        if not self.has_tracker():
            raise OSError(
                errno.ECHILD,
                "the tracker of shared memory could not be started: it ended with"
                f" exit code {os.waitstatus_to_exitcode(status)}",
            )

    def _launch_tracker(self) -> int:
        """Start the tracker's parent, which ends when the tracker is there."""
        executable = sys.executable
        if getattr(sys, "frozen", False) or not executable:
            return self._fork_tracker()
        # A session of its own: it outlives what kills the process group.  Without our
        # standard streams, whose readers wait for everybody to close them.
        actions = [
            (os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)
        ]
        # By way of another number: a copy onto itself would be closed by exec.
        copies = [
            (os.POSIX_SPAWN_DUP2, self.fd, _INHERITED + 1),
            (os.POSIX_SPAWN_DUP2, _INHERITED + 1, _INHERITED),
        ]
        command = [executable, "-I", "-S", tracker.__file__, str(_INHERITED)]
        return os.posix_spawn(
            executable, command, os.environ, file_actions=copies + actions, setsid=True
        )

    def _fork_tracker(self) -> int:
        """As above, where there is no interpreter to start."""
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                null = os.open("/dev/null", os.O_RDWR)
                for fd in (0, 1, 2):
                    os.dup2(null, fd)
                self._table.close()  # which would hold what the tracker waits for
                tracker.main(self.fd)
            finally:
                os._exit(1)
        return pid

    def __reduce__(self) -> tuple[object, ...]:
        return _receive, (Handle(self.fd), self._lock)

    def close(self) -> None:
        """Leave it to the others; for tests."""
        self._table.close()
        os.close(self.fd)


#: That of this process, under the key None, once it was made.
_registers: dict[None, Register] = {}


def register() -> Register:
    """That of this process and those that it shares one with."""
    found = _registers.get(None)
    if found is None:
        made = Register()
        # In one step, as other threads may be here too.  No lock, which a forked child
        # could find held.
        found = _registers.setdefault(None, made)
        if found is not made:
            made.close()
    return found


def publish(fd: int, inode: int, name: str, track: bool) -> int:
    """Give a name to a nameless file.

    Args:
        fd: of the file.
        inode: of the file.
        name: without a slash.
        track: whether it is to be unlinked when its owners are dead.

    Returns:
        What `withdraw` is to be told.

    Raises:
        FileExistsError: there is a block of this name.
        OSError: a block cannot have this name; or it cannot be tracked.
    """
    path = files.path_of(name)
    bare = path[len(files.DIRECTORY) + 1 :]
    index = register().enter(bare, inode) if track else -1
    try:
        files.give_name(fd, path)
    except BaseException as error:
        if not isinstance(error, OSError) and tracker.is_there(bare, inode):
            os.unlink(path)  # a signal handler has raised when the name was there
        if index != -1:
            register().strike_out(index, bare, inode)
        if isinstance(error, FileExistsError):
            # The kernel's says which link was not made.
            raise _exists(name) from None
        if isinstance(error, OSError) and error.errno == errno.EXDEV:
            raise OSError(
                error.errno,
                f"the block does not lie in {files.DIRECTORY}, where there was no room"
                " for it, and cannot get a name",
                name,
            ) from None
        raise
    return index


def _exists(name: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def create_published(name: str, size: int, track: bool) -> tuple[int, int]:
    """A new file of a name, where files without one do not exist.

    Returns:
        Its descriptor, and what `withdraw` is to be told.

    Raises:
        FileExistsError: there is a block of this name.
        OSError: a block cannot have this name; or it cannot be tracked.
    """
    path = files.path_of(name)
    if not track:
        return files.create_named(path, size), -1
    # Under a name that is nobody's at first, so that it can be entered before there is
    # a file, and thus an inode.
    bare = name.lstrip("/")
    temporary = f"mp-new-{os.urandom(8).hex()}"
    first = register().enter(temporary, tracker.OURS)
    index = inode = -1
    try:
        fd = files.create_named(files.path_of(temporary), size)
        try:
            inode = os.fstat(fd).st_ino
            index = register().enter(bare, inode)
            os.link(files.path_of(temporary), path)
        except BaseException:
            os.close(fd)
            raise
        finally:
            os.unlink(files.path_of(temporary))
    except BaseException as error:
        if index != -1:
            register().strike_out(index, bare, inode)
        if isinstance(error, FileExistsError):
            raise _exists(name) from None
        raise
    finally:
        register().strike_out(first, temporary, tracker.OURS)
    return fd, index


def withdraw(name: str, inode: int, index: int) -> None:
    """Unlink a name.

    Args:
        name: the name.
        inode: of the block that is meant.
        index: what `publish` returned, -1 where it was not called.

    Raises:
        FileNotFoundError: there is no such name, or it is another block's by now.
    """
    path = files.path_of(name)
    bare = path[len(files.DIRECTORY) + 1 :]
    try:
        if not tracker.is_there(bare, inode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        os.unlink(path)
    finally:
        if index != -1 or _registers:
            register().strike_out(index, bare, inode)


# -------------------------------------------------------------------------- children


def _receive(handle: ReceivedHandle, lock: RLock) -> Register:
    return Register(handle.take(), lock)


def _adopt(received: object) -> None:
    assert isinstance(received, Register)
    if _registers.setdefault(None, received) is not received:
        received.close()


def _before_fork() -> None:
    try:
        register()
    except OSError:
        pass  # no descriptor is left: the child will have a register of its own


Provider("mp_sharedctypes.names", register, _adopt)
os.register_at_fork(before=_before_fork)
