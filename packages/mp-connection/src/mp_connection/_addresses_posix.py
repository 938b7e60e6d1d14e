"""Listening sockets and connections to them: TCP and Unix domain sockets.

A path of a Unix domain socket has at most 107 bytes in the kernel's interface.  A
longer one is reached through a descriptor of its directory, on Linux, by the name
``/proc/self/fd/N/name``; the directory of a default address is chosen short.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import _socket
import errno
import os
import time

from mp_connection._channel import poller
from mp_connection.errors import TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: The first is the default: the fastest.
FAMILIES = ("AF_UNIX", "AF_INET", "AF_INET6")
_DEFAULTS = {"AF_INET": ("localhost", 0), "AF_INET6": ("::1", 0)}
#: Bytes in the longest path that fits ``sockaddr_un``, on every system.
_LONGEST_PATH = 103

#: An accepted socket has the options of the listening one, but for O_NONBLOCK.
_INHERITED = sys.platform == "linux"
#: For the constructor: SOCK_NONBLOCK as in `adopt` of the packet channel.
_ACCEPTED = _socket.SOCK_STREAM | getattr(_socket, "SOCK_NONBLOCK", 0)

#: Sockets that are open: see the set of this name in `_connection`.
_sockets: set[_socket.socket] = set()


class Door:
    """A listening socket, and the file that it may be bound to.

    Args:
        family: one of `FAMILIES`.
        address: where to listen; None for an address of its own.
        backlog: connections that may wait for `accept`.

    Attributes:
        address: where it listens.

    Raises:
        OSError: the address is in use, not of this host, too long and so on.
    """

    __slots__ = (
        "_directory", "_family", "_file", "_owner", "_poll", "_sock", "address",
    )  # fmt: skip

    def __init__(self, family: str, address: object, backlog: int) -> None:
        self._owner = os.getpid()
        self._poll: Callable[[float | None], object] | None = None
        self._directory = ""
        self._file: tuple[str | bytes, tuple[int, int]] | None = None
        self._sock = sock = _new(family)
        self._family = sock.family
        _sockets.add(sock)
        try:
            if family == "AF_UNIX":
                self.address = self._bind_path(address)
            else:
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
                place: Any = _DEFAULTS[family] if address is None else address
                sock.bind(place)
                self.address = sock.getsockname()
                if _INHERITED:
                    _hasten(sock)
            sock.listen(backlog)
            # Nobody else holds this description yet.  It never blocks: of several
            # processes that see one connection, only one gets it.
            sock.setblocking(False)
        except BaseException:
            self.close()
            raise

    def _bind_path(self, address: Any) -> Any:
        if address is None:
            self._directory = _private_directory()
            address = os.path.join(self._directory, "socket")
        path: str | bytes = os.fspath(address)
        if not path or path[:1] in ("\0", b"\0"):
            self._sock.bind(path)
            return self._sock.getsockname()
        with _Reachable(path) as short:
            self._sock.bind(short)
            status = os.lstat(path)
            self._file = path, (status.st_dev, status.st_ino)
        return path

    def fileno(self) -> int:
        """The descriptor, or -1 when closed."""
        return self._sock.fileno()

    def accept(self) -> tuple[_socket.socket, Any]:
        """A connection that waits, and the address that it came from or None.

        Raises:
            BlockingIOError: none waits.
        """
        listening: Any = self._sock
        fd, address = listening._accept()
        sock = _socket.socket(self._family, _ACCEPTED, 0, fd)
        if not _INHERITED:
            sock.setblocking(True)  # which BSD takes from the listening socket
            _hasten(sock)
        return sock, address or None

    def wait(self, seconds: float) -> None:
        """Wait until a connection waits; one thread at a time may do that.

        Raises:
            ValueError: the socket is closed.
        """
        if self._poll is None:
            self._poll = poller(self._sock.fileno())
        self._poll(seconds * 1000)

    def close(self) -> None:
        """Close the socket and remove its file.  A second call does nothing.

        The file stays if another process has made it, or another socket replaced it.
        """
        self._sock.close()
        _sockets.discard(self._sock)
        if os.getpid() != self._owner:
            return
        file, self._file = self._file, None
        directory, self._directory = self._directory, ""
        try:
            if file is not None:
                status = os.lstat(file[0])
                if (status.st_dev, status.st_ino) == file[1]:
                    os.unlink(file[0])
            if directory:
                os.rmdir(directory)
        except OSError:
            pass  # somebody has removed it, or put something there


def connect(family: str, address: Any, deadline: float | None) -> _socket.socket:
    """A socket that is connected to a listener.

    Raises:
        TimeoutError: the deadline passed.
        OSError: nobody listens there and so on.
    """
    sock = _new(family)
    try:
        if family != "AF_UNIX":
            _connect(sock, address, deadline)
            _hasten(sock)
            return sock
        path = os.fspath(address)
        if len(path) <= _LONGEST_PATH and path.isascii():
            _connect(sock, path, deadline)
        else:
            with _Reachable(path) as short:
                _connect(sock, short, deadline)
        return sock
    except BaseException:
        sock.close()
        raise


def _connect(sock: _socket.socket, address: Any, deadline: float | None) -> None:
    if deadline is None:
        return sock.connect(address)
    try:
        while True:
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                raise TimeoutError("the listener took no connection in time")
            sock.settimeout(seconds)
            try:
                return sock.connect(address)
            except BlockingIOError:
                # The queue of a Unix domain socket is full: there is no event for room.
                time.sleep(0.005)
            except OSError as error:
                if error.errno is None:
                    raise TimeoutError("the listener did not answer in time") from None
                raise
    finally:
        sock.setblocking(True)


def _new(family: str) -> _socket.socket:
    if not hasattr(_socket, family):
        raise OSError(errno.EAFNOSUPPORT, f"this system has no {family}")
    sock = _socket.socket(getattr(_socket, family), _socket.SOCK_STREAM)
    if sock.gettimeout() is not None:  # socket.setdefaulttimeout is not for us
        sock.setblocking(True)
    return sock


def _hasten(sock: _socket.socket) -> None:
    """Send small messages at once, also while an earlier one is not acknowledged."""
    if sock.family != _socket.AF_UNIX:
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)


def _private_directory() -> str:
    """A new directory for this user only, with a short name where that can be had.

    A standard client cannot use a long path.
    """
    from tempfile import mkdtemp

    directory = mkdtemp(prefix="mp-")
    if len(os.fsencode(directory)) + len("/socket") <= _LONGEST_PATH:
        return directory
    try:
        short = mkdtemp(prefix="mp-", dir="/tmp")
    except OSError:
        return directory
    os.rmdir(directory)
    return short


class _Reachable:
    """The path of a socket in a form that is short enough, as a context manager."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: str | bytes) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str | bytes:
        raw = os.fsencode(self._path)
        if sys.platform == "linux" and raw[:1] != b"\0" and len(raw) > _LONGEST_PATH:
            directory, name = os.path.split(raw)
            self._fd = os.open(directory or b".", os.O_PATH | os.O_DIRECTORY)
            return b"/proc/self/fd/%d/%s" % (self._fd, name)
        return self._path

    def __exit__(self, *_: object) -> None:
        if self._fd != -1:
            os.close(self._fd)
