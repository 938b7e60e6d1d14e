"""Linux: epoll(7), eventfd(2), and single packets in one call of C."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import os
import select

from mp_connection.channel import CLOEXEC, DONTWAIT, receiver as receiver, senders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Flags for the functions of `receiver` and `sender`.
RECEIVE = CLOEXEC
RECEIVE_NOW = CLOEXEC | DONTWAIT
PEEK_NOW = RECEIVE_NOW | _socket.MSG_PEEK
SEND_NOW = DONTWAIT


def sender(sock: _socket.socket) -> Callable[[bytes | memoryview, int], object]:
    """A function of C that sends one packet; it takes bytes and flags."""
    return senders(sock)[0]


def end_sending(sock: _socket.socket) -> None:
    """Let the far end read end-of-file behind what was sent."""
    try:
        sock.shutdown(_socket.SHUT_WR)
    except OSError:
        pass  # the far end is gone already


def end_reading(sock: _socket.socket) -> None:
    """Make a receive that blocks return what there is, and then end-of-file."""
    try:
        sock.shutdown(_socket.SHUT_RDWR)
    except OSError:
        pass


_PAGE = os.sysconf("SC_PAGE_SIZE")


def available_cpus(root: str = "/sys/fs/cgroup") -> int:
    """CPUs that affinity and control groups leave to this process; 1 at least.

    Args:
        root: where control groups are mounted.
    """
    cpus = float(len(os.sched_getaffinity(0)))
    for directory in _control_groups(root):
        try:
            with open(f"{directory}/cpu.max") as file:  # version 2
                quota, period = file.read().split()
            if quota != "max":
                cpus = min(cpus, int(quota) / int(period))
        except (OSError, ValueError):
            pass
        try:  # version 1
            with open(f"{directory}/cpu.cfs_quota_us") as file:
                quota = file.read()
            with open(f"{directory}/cpu.cfs_period_us") as file:
                period = file.read()
            if int(quota) > 0:
                cpus = min(cpus, int(quota) / int(period))
        except (OSError, ValueError):
            pass
    return max(1, int(cpus))


def _control_groups(root: str) -> list[str]:
    """Directories of the control groups of this process, and of those around them."""
    found = [root, f"{root}/cpu"]
    try:
        with open("/proc/self/cgroup") as file:
            lines = file.read().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        top = root
        if controllers:
            if "cpu" not in controllers.split(","):
                continue
            top = f"{root}/{controllers}"
        while path and path != "/":
            found.append(top + path)
            path = os.path.dirname(path)
    return found


def resident_bytes(pid: int) -> int:
    """How much memory a process uses now; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


class Waker:
    """Ends the sleep of a thread in a `Poller`, from any thread."""

    __slots__ = ("_reading", "_writing")

    def __init__(self) -> None:
        self._reading = self._writing = -1
        try:
            self._reading = self._writing = os.eventfd(
                0, os.EFD_CLOEXEC | os.EFD_NONBLOCK
            )
        except OSError:  # filtered by a container
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._reading, False)
            os.set_blocking(self._writing, False)

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._reading

    def set(self) -> None:
        """Make it readable."""
        try:
            os.write(self._writing, b"\1\0\0\0\0\0\0\0")
        except OSError:
            pass  # a pipe that is full is readable; a closed one has no waiter

    def clear(self) -> None:
        """Make it unreadable until it is set again."""
        try:
            os.read(self._reading, 65536)
        except OSError:
            pass

    def close(self) -> None:
        """Close the descriptors.  A second call does nothing."""
        fds, self._reading, self._writing = {self._reading, self._writing}, -1, -1
        for fd in fds - {-1}:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class Poller:
    """Waits for many descriptors at once.

    One thread waits; at any time one thread, and not always that, may call `watch` for
    a certain descriptor.
    """

    __slots__ = ("_epoll", "_watched")

    READ = select.EPOLLIN
    WRITE = select.EPOLLOUT

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}

    def watch(self, fd: int, events: int) -> None:
        """Wait for other events of a descriptor than before.

        Args:
            fd: a descriptor; it has to be unwatched before it is closed.
            events: `READ`, `WRITE`, both, or 0 to unwatch it.
        """
        before = self._watched.get(fd, 0)
        if before == events:
            return
        if not events:
            # Events of 0 would not do: hang-ups are always reported, again and again.
            del self._watched[fd]
            self._epoll.unregister(fd)
            return
        # Noted first: the waiting thread may be woken before this call returns.
        self._watched[fd] = events
        if before:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Descriptors that are ready, with events; none at the time-out."""
        return self._epoll.poll(seconds)

    def close(self) -> None:
        """Close the descriptor.  A second call does nothing."""
        self._epoll.close()
