"""TLS in the shape of a socket that never waits.

Not an `ssl.SSLSocket`, which would have to set O_NONBLOCK: the protocol runs on buffers
in memory (`ssl.SSLObject`), and what goes through the descriptor says MSG_DONTWAIT.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import _socket
import errno
import os
import ssl
from _thread import RLock

from mp_connection._channel import NOSIGNAL
from mp_connection._signals import is_of_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_connection._outgoing_posix import Outgoing

DONTWAIT = _socket.MSG_DONTWAIT
#: Bytes to take from the kernel and from the protocol at a time.
_CHUNK = 65536
#: A byte that a record of a single one hardly consists of.
_UNLIKELY = 0xA5
#: How often to read what nobody wants any more.
_MOST_READS = 16


class TlsStream:
    """One end of a TLS connection.

    Whatever a signal handler interrupts, no byte is lost: each is counted, or stands in
    an attribute, before a handler can run (see `packets` of the packet channel).

    Args:
        sock: the connected socket, which the stream owns from now on.
        context: the keys, certificates and rules.
        server: whether this end is the listener's.
        server_hostname: who the far end of a client has to be.

    Attributes:
        established: whether the handshake is over.
    """

    __slots__ = (
        "__weakref__", "_cipher", "_ended", "_error", "_in", "_left", "_lock",
        "_object", "_out", "_owner", "_plain", "_sock", "_start", "established",
    )  # fmt: skip

    def __init__(
        self,
        sock: _socket.socket,
        context: ssl.SSLContext,
        server: bool,
        server_hostname: str | None,
    ) -> None:
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._in, self._out, server, None if server else server_hostname
        )
        self._cipher = b""  # of `_out`, to be sent; but for the first `_left` bytes
        self._left = 0
        self._plain: list[bytearray] = []  # received; but for the first `_start` bytes
        self._start = 0
        self._ended = False
        self._error: OSError | None = None
        self._owner = os.getpid()
        self.established = False
        self.renew_lock()

    def renew_lock(self) -> None:
        """In a forked child: a thread of the parent's may have held it."""
        # The protocol's object is for one thread at a time.  Recursive, as a finalizer
        # or a signal handler may close the stream.
        self._lock = RLock()

    def fileno(self) -> int:
        """The descriptor, or -1 when closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """Say goodbye if there is room for it, and close the descriptor."""
        self._part()
        self._sock.close()

    def detach(self) -> int:
        """As `close`, but the descriptor is the caller's."""
        self._part()
        return self._sock.detach()

    def _part(self) -> None:
        # A forked child would spoil the connection for its parent, which counts on.
        if self.fileno() == -1 or not self.established or os.getpid() != self._owner:
            return
        with self._lock:
            try:
                self._object.unwrap()
            except OSError:
                pass  # it would wait for the far end's goodbye
            try:
                self._flush()
                # What is unread at the close would make the kernel reset the
                # connection, and drop what this end has sent last.
                for _ in range(_MOST_READS):
                    if not self._sock.recv(_CHUNK, DONTWAIT):
                        break
            except OSError:
                pass

    # ----------------------------------------------------------------- handshake

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as possible; whether it is over.

        Raises:
            OSError: it failed (`ssl.SSLError`), or the far end went away.
        """
        with self._lock:
            while not self.established:
                try:
                    self._object.do_handshake()
                    self.established = True
                except ssl.SSLWantReadError:
                    self._flush()
                    try:
                        self._feed()
                    except BlockingIOError:
                        return False
                except ssl.SSLError:
                    try:
                        self._flush()  # tell the far end why
                    except OSError:
                        pass
                    raise
            self._flush()
            return True

    # ------------------------------------------------------------------ receiving

    @property
    def buffered(self) -> bool:
        """Whether something can be received that no `poll` shows."""
        return bool(self._plain) or self._ended or self._error is not None

    def fill(self) -> bool:
        """Decrypt what has come; whether there is something to receive.

        An end-of-file and an error count.
        """
        with self._lock:
            while True:
                if self.buffered:
                    return True
                try:
                    self._decrypt()
                except ssl.SSLWantReadError:
                    try:
                        self._flush()  # an answer of the protocol's own
                        self._feed()
                    except BlockingIOError:
                        return False
                    except OSError as error:
                        if is_of_handler(error):
                            raise
                        self._error = error
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    self._ended = True
                except OSError as error:
                    if is_of_handler(error):
                        raise
                    self._error = error

    def _decrypt(self) -> None:
        """Take bytes from the protocol: the first of a record, or what is left of one.

        The ssl module lets signal handlers run when it has read, and what it has read
        is lost if one raises.  So it reads into memory of ours, and only as much as it
        then can be asked about: whether a record has no bytes left to be read.
        """
        left = self._object.pending()
        data = bytearray(left or 1)
        if not left:
            data[0] = _UNLIKELY
        plain = self._plain
        try:
            count = self._object.read(len(data), data)
        except ssl.SSLError:
            raise
        except BaseException:
            now = self._object.pending()
            if now < left or (not left and (now or data[0] != _UNLIKELY)):
                plain += (data,)
            raise
        # No call from here on.
        if count:
            plain += (data,)
        else:  # the far end has said goodbye
            self._ended = True

    def _feed(self) -> None:
        """Take what the kernel has.

        Raises:
            BlockingIOError: that is nothing.
        """
        # From the kernel into the buffer in one step, as above.
        arriving = map(self._sock.recv, (_CHUNK,), (DONTWAIT,))
        for count in map(self._in.write, arriving):
            if not count:
                self._in.write_eof()

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive some bytes into memory; 0 at the end.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the connection failed (`ssl.SSLError`).
        """
        if not self._ready():
            return 0
        first, start = self._plain[0], self._start
        end = min(len(first), start + len(buffer))
        through = end == len(first)
        # No call from here on: the bytes are the caller's in one step.
        buffer[: end - start] = first[start:end]
        if through:
            del self._plain[0]
            self._start = 0
        else:
            self._start = end
        return end - start

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As `recv_into`, for bytes."""
        if not self._ready():
            return b""
        first, start = self._plain[0], self._start
        end = min(len(first), start + bufsize)
        through = end == len(first)
        data = bytes(first[start:end])
        if through:
            del self._plain[0]
            self._start = 0
        else:
            self._start = end
        return data

    def _ready(self) -> bool:
        if self._sock.fileno() == -1:
            raise OSError(errno.EBADF, "the connection is closed")
        if not self._plain and not self.fill():
            raise BlockingIOError(errno.EAGAIN, "nothing is there yet")
        if not self._plain and self._error is not None:
            error = self._error
            if isinstance(error, ConnectionResetError):
                self._error, self._ended = None, True  # reported once, as by the kernel
            raise error
        return bool(self._plain)

    # -------------------------------------------------------------------- sending

    @property
    def stalled(self) -> bool:
        """Whether something encrypted waits for room."""
        return len(self._cipher) > self._left or self._out.pending > 0

    def encrypt(self, out: Outgoing) -> None:
        """Take some bytes of a message, which `flush` sends.

        Raises:
            OSError: the connection failed (`ssl.SSLError`).
        """
        chunk = out.views[0][:_CHUNK]
        with self._lock:
            try:
                out.count = self._object.write(chunk)
            except ssl.SSLError:
                raise
            except BaseException:
                # A signal handler's: it may have come before the write or behind it.
                # Nothing was there to be sent before.
                if self._out.pending:
                    out.count = len(chunk)
                raise
        out.settle()

    def flush(self) -> bool:
        """Send what is encrypted, as far as there is room; whether nothing is left.

        Raises:
            OSError: the far end or this end is closed.
        """
        with self._lock:
            return self._flush()

    def _flush(self) -> bool:
        while True:
            if self._left:
                self._cipher, self._left = self._cipher[self._left :], 0
            if not self._cipher:
                if not self._out.pending:
                    return True
                read = self._out.read
                for self._cipher in map(read, (4 * _CHUNK,)):
                    pass
            send, cipher = self._sock.send, self._cipher
            try:
                for self._left in map(send, (cipher,), (DONTWAIT | NOSIGNAL,)):
                    pass
            except BlockingIOError:
                return False

    def send(self, data: bytes, flags: int = 0, /) -> int:
        """Take a few bytes, all of them, and send what there is room for.

        For what precedes the messages; they go by `encrypt` and `flush`.

        Raises:
            OSError: as `encrypt` and `flush`.
        """
        with self._lock:
            count = self._object.write(data)
            self._flush()
        return count

    def sendmsg(self, buffers: Any, ancdata: Any = (), flags: int = 0, /) -> int:
        """Not used: messages go by `encrypt` and `flush`."""
        raise NotImplementedError
