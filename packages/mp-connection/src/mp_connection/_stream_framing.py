"""How messages lie in a byte stream: pure functions on bytes, no I/O.

The frames are those of the standard library's connections, so that either end of a
stream can be replaced alone.  A message of up to 0x7fffffff bytes follows its length, a
signed big-endian number of 4 bytes; a longer one follows -1 in those 4 bytes and its
length as an unsigned big-endian number of 8 bytes.
"""

from __future__ import annotations

from struct import Struct

from mp_connection._framing import Assembler
from mp_connection._pickle_parts import PickleAssembler, rejoin
from mp_connection.errors import FramingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

    from mp_connection._pickle_parts import Cuts

#: The longest message behind a length of 4 bytes.
SHORT_LIMIT = 0x7FFFFFFF
#: Bytes that are asked for in one piece, and copied if they come in several.  It is the
#: buffer of a Linux socket; above that it is cheaper to receive to where they stay.
EARLY_LIMIT = 208 << 10
#: No object in a Python process is larger.
LONGEST = (1 << 63) - 1

SHORT = Struct(">i")
_LONG = Struct(">iQ")
#: In place of a length that 4 bytes cannot say.
_EXTENDED = -1


class TooLongError(FramingError):
    """A message is longer than the receiver allows.

    Attributes:
        size: its length in bytes, as its header says.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"a message of {size} bytes is longer than the {limit} allowed"
        )
        self.size = size


def header(size: int) -> bytes:
    """What precedes a message of *size* bytes."""
    if size <= SHORT_LIMIT:
        return SHORT.pack(size)
    return _LONG.pack(_EXTENDED, size)


class FrameReader:
    """Takes one message at a time out of a stream; its bytes land where they will stay.

    Fill what `wanted` returns, or the beginning of it, add that to `filled` or, once
    there is a body, to ``body.filled``, and call `check`, until the message is
    complete; then `take` it.  Never more is asked for than belongs to the message.  The
    memory for it grows as its bytes arrive.

    (The counts are attributes because a signal handler that raises must not come
    between receiving and counting: a call could be interrupted.)

    Attributes:
        filled: bytes of the header that are here.
        size: bytes in the message, once its header is here.
        body: what collects the bytes behind the header, once that is here.
        early: the first bytes of the body, where they were received by themselves;
            `check` moves them.
        complete: whether the whole message is here.
    """

    __slots__ = (
        "_header", "_into", "_limit", "_objects", "body", "complete", "early", "filled",
        "size",
    )  # fmt: skip

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin with a new message."""
        self._header = bytearray(SHORT.size)
        self._into: memoryview | None = None
        self._limit: int | None = None
        self._objects = False
        self.filled = self.size = 0
        self.body: Assembler | PickleAssembler | None = None
        self.early: bytes | None = None
        self.complete = False

    @property
    def started(self) -> bool:
        """Whether any byte of a message is here."""
        return self.filled > 0

    def allow(
        self,
        limit: int | None,
        into: memoryview | None = None,
        objects: bool = False,
    ) -> None:
        """Say what the message may be.

        Args:
            limit: the most bytes in it; None for no limit.
            into: where its bytes go if they fit and none is here yet.
            objects: it is going to be unpickled; heeded if none is here yet.

        Raises:
            TooLongError: the message under way is longer.
        """
        self._limit = limit
        untouched = isinstance(self.body, Assembler) and not self.body.filled
        if not self.started or (untouched and self.early is None):
            self._into, self._objects = into, objects
            if self.body is not None:
                self.body = self._new_body()
        if self.body is not None and limit is not None and self.size > limit:
            raise TooLongError(self.size, limit)

    def wanted(self) -> memoryview:
        """Memory for the next bytes.

        Release the view before the next call.
        """
        if self.body is None:
            return memoryview(self._header)[self.filled :]
        return self.body.wanted()

    def check(self) -> bool:
        """Look at what has been filled; whether the message is complete.

        Raises:
            FramingError: what arrived is no header.
            TooLongError: the message is longer than the limit.
        """
        if self.body is None:
            if self.filled < len(self._header):
                return False
            (size,) = SHORT.unpack_from(self._header)
            if size == _EXTENDED:
                if len(self._header) == SHORT.size:
                    self._header += bytes(_LONG.size - SHORT.size)
                    return False
                _, size = _LONG.unpack(self._header)
            self._begin(size)
        elif self.early is not None and len(self.early) < self.size:
            with self.body.wanted() as view:
                view[: len(self.early)] = self.early
            self.body.filled, self.early = len(self.early), None
        assert self.body is not None
        self.complete = self.early is not None or self.body.complete()
        return self.complete

    def _begin(self, size: int) -> None:
        if not 0 <= size <= LONGEST:
            raise FramingError(
                f"not the header of a message: {bytes(self._header).hex(' ')}"
            )
        if self._limit is not None and size > self._limit:
            raise TooLongError(size, self._limit)
        self.size = size
        self.body = self._new_body()

    def _new_body(self) -> Assembler | PickleAssembler:
        if self._objects and self.size > EARLY_LIMIT:
            return PickleAssembler(self.size)
        return Assembler((self.size,), self._into)

    def put(self, data: bytes) -> None:
        """Take bytes that were received elsewhere: the next ones of this message."""
        while data:
            with self.wanted() as view:
                count = min(len(view), len(data))
                view[:count] = data[:count]
            data = data[count:]
            if self.body is None:
                self.filled += count
            else:
                self.body.filled += count
            self.check()

    @property
    def placed(self) -> bool:
        """Whether the bytes are in the memory that was offered."""
        return self.early is None and self.body is not None and self.body.placed

    def leave(self) -> None:
        """Take what has arrived out of memory that the caller has lent."""
        self._into = None
        if self.body is not None:
            self.body.leave()

    def take(self) -> Buffer:
        """The message; the reader begins with the next one."""
        parts, cuts = self.take_parts()
        return rejoin(parts, cuts) if cuts else parts[0]

    def take_parts(self) -> tuple[list[Buffer], Cuts]:
        """As `take`: a pickle and what is cut out of it, and where that was."""
        body = self.body
        assert body is not None
        parts: list[Buffer] = [self.early] if self.early is not None else body.parts()
        cuts = body.cuts() if isinstance(body, PickleAssembler) else ()
        self.reset()
        return parts, cuts


class FrameDecoder:
    """Messages out of a stream that arrives in pieces of any size.

    Args:
        limit: the most bytes in a message; None for no limit.
    """

    __slots__ = ("_limit", "_reader")

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._reader = FrameReader()
        self._reader.allow(limit)

    @property
    def started(self) -> bool:
        """Whether part of a message is here: an end-of-file would tear it."""
        return self._reader.started

    def feed(self, data: Buffer) -> list[bytes]:
        """The messages that *data* completes.

        Raises:
            FramingError: what arrived is no header, or of a message that is too long;
                the stream cannot be read any further.
        """
        messages = []
        rest = memoryview(data)
        while rest:
            with self._reader.wanted() as view:
                count = min(len(view), len(rest))
                view[:count] = rest[:count]
            rest = rest[count:]
            if self._reader.body is None:
                self._reader.filled += count
            else:
                self._reader.body.filled += count
            if self._reader.check():
                messages.append(bytes(self._reader.take()))
                self._reader.allow(self._limit)
        return messages
