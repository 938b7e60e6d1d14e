"""How a message lies in packets: pure functions on bytes, no I/O.

The first byte of a packet says what it is:

====== ==================================================================
0x80   a whole pickled message; the byte is the first of the pickle itself
       (opcode PROTO), so that the usual small object needs no header
0x00   a whole message of raw bytes, which follow
0x01   the head of any other message: see `Head`
0x02   descriptors that did not fit the packets before it
====== ==================================================================

No packet is empty, since an empty packet looks like end-of-file to its reader.
"""

from __future__ import annotations

from struct import Struct, pack, unpack_from

from mp_connection._cpickle import PickleBuffer
from mp_connection._parts import GivenPart, part_of
from mp_connection.errors import FramingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Buffer

    from mp_connection._parts import Part

PICKLE = 0x80
BYTES = 0x00
HEAD = 0x01
HANDLES = 0x02

#: Transports: where the parts of a message with a head are.
INLINE = 0  # behind the head, in the same packet
FRAGMENTS = 1  # in the packets that follow on this channel
PRIVATE = 2  # in the packets of a channel of its own, whose end came with the head
PIPE = 3  # in a pipe of its own, one after the other, whose end came with the head

#: Bytes of payload that travel in one packet.  A receive buffer of this size costs
#: nothing; one of 200 KB costs 14 us a call.
INLINE_LIMIT = 65536
#: Room that a part gets at a time while its bytes arrive: a head may lie about lengths.
GROWTH = 1 << 20
#: Room that the next packet of a part finds at least: no fragment is longer.
WINDOW = 1 << 18
#: SCM_MAX_FD of the Linux kernel: descriptors in one packet (unix(7)).
MAX_HANDLES = 253
#: Parts of one message: its head has to stay a small packet.
MAX_PARTS = 1000

_FIXED = Struct("<BBBxII")  # tag, pickled, transport, handles, parts
HEAD_LIMIT = _FIXED.size + 8 * MAX_PARTS
_AS_BYTES = 1 << 63


class Message:
    """What a channel carries: parts that are bytes, and descriptors.

    Args:
        parts: one buffer of raw bytes, or a pickle and its out-of-band buffers.
        handles: descriptors, which stay the caller's: the kernel duplicates them.
        pickled: whether the first part is a pickle.

    Attributes:
        owner: what keeps the descriptors open until the message is sent.
        marks: for each out-of-band buffer how much of the pickle surely stands before
            it, and all of the large bytes that do; None if nobody has noted that.
        as_bytes: indexes of the parts behind the first that are to become bytes, and
            not bytearrays.
    """

    __slots__ = ("as_bytes", "handles", "marks", "owner", "parts", "pickled")

    def __init__(
        self, parts: Sequence[Buffer], handles: Sequence[int] = (), pickled: bool = True
    ) -> None:
        self.parts: list[memoryview] = [flat(part) for part in parts]
        self.handles: list[int] = list(handles)
        self.pickled: bool = pickled
        self.owner: object = None
        self.marks: list[int] | None = None
        self.as_bytes: list[int] = []

    @property
    def size(self) -> int:
        """Bytes in all parts."""
        return sum(len(part) for part in self.parts)


class Head:
    """What the receiver has to know of a message before its parts arrive.

    A length is a number of 8 bytes, little-endian.  Its highest bit says that the part
    is to become bytes.

    A message in a pipe has no descriptors.  Their number counts bytes instead: so many
    of the message stand behind the head, and the pipe has what follows them.
    """

    __slots__ = ("as_bytes", "handles", "lengths", "pickled", "transport")

    def __init__(
        self,
        pickled: bool,
        transport: int,
        handles: int,
        lengths: Sequence[int],
        as_bytes: Sequence[int] = (),
    ) -> None:
        self.pickled = pickled
        self.transport = transport
        self.handles = handles
        self.lengths = list(lengths)
        self.as_bytes = as_bytes

    def encode(self) -> bytes:
        """The head as bytes.

        Raises:
            FramingError: more than `MAX_PARTS` parts.
        """
        if len(self.lengths) > MAX_PARTS:
            raise FramingError(f"a message has at most {MAX_PARTS} parts")
        fixed = _FIXED.pack(
            HEAD, self.pickled, self.transport, self.handles, len(self.lengths)
        )
        numbers = self.lengths[:]
        for index in self.as_bytes:
            numbers[index] |= _AS_BYTES
        return fixed + pack(f"<{len(numbers)}Q", *numbers)

    @classmethod
    def of(cls, message: Message, transport: int, ahead: int = 0) -> Head:
        """The head of a message that takes this way.

        Args:
            message: the message.
            transport: the way.
            ahead: bytes of it that stand behind the head, if it takes a pipe.
        """
        lengths = [len(part) for part in message.parts]
        handles = ahead if transport == PIPE else len(message.handles)
        return cls(message.pickled, transport, handles, lengths, message.as_bytes)

    @classmethod
    def decode(cls, packet: Buffer) -> tuple[Head, memoryview]:
        """The head at the beginning of a packet, and what stands behind it.

        Raises:
            FramingError: the packet does not begin with a well-formed head.
        """
        view = memoryview(packet)
        if len(view) < _FIXED.size:
            raise FramingError("a packet ends within its head")
        tag, pickled, transport, handles, count = _FIXED.unpack_from(view)
        end = _FIXED.size + 8 * count
        if tag != HEAD or pickled > 1 or transport > PIPE or not count > 0:
            raise FramingError(f"not the head of a message: {bytes(view[:12])!r}")
        if count > MAX_PARTS or len(view) < end:
            raise FramingError(f"a head announces {count} parts and does not list them")
        numbers = unpack_from(f"<{count}Q", view, _FIXED.size)
        lengths: Sequence[int] = numbers
        as_bytes: list[int] = []
        if max(numbers) >= _AS_BYTES:
            as_bytes = [i for i, number in enumerate(numbers) if number >= _AS_BYTES]
            lengths = [number & ~_AS_BYTES for number in numbers]
        head = cls(bool(pickled), transport, handles, lengths, as_bytes)
        rest = view[end:]
        if transport == PIPE and handles > min(len(rest), sum(lengths)):
            raise FramingError(f"{handles} bytes of a message are missing")
        if transport == INLINE and sum(lengths) != len(rest):
            raise FramingError(
                f"a head announces {sum(lengths)} bytes and {len(rest)} follow"
            )
        return head, rest


#: How much of a packet `is_announcement` has to see.
TELLING = 3


def is_announcement(start: bytes) -> bool:
    """Whether a packet that begins so announces a message over a private pair."""
    return len(start) >= TELLING and start[0] == HEAD and start[2] == PRIVATE


def flat(buffer: Buffer) -> memoryview:
    """The bytes of any buffer, whatever its item size, shape and order.

    An array that is not contiguous is copied, in the order of its indices.
    """
    view = memoryview(buffer)
    if view.format == "B" and view.ndim == 1 and view.contiguous:
        return view
    if view.c_contiguous:
        # Not memoryview.cast, which refuses a byte order or a structure in the format
        # and a zero in the shape.
        return PickleBuffer(view).raw()
    return memoryview(view.tobytes())


def section(view: memoryview, offset: int, size: int | None) -> memoryview:
    """What `Connection.send_bytes` sends of a buffer.

    Raises:
        ValueError: offset or size is negative or beyond the end.
    """
    length = len(view)
    if offset < 0:
        raise ValueError(f"offset {offset} is negative")
    if offset > length:
        raise ValueError(f"offset {offset} is beyond the {length} bytes of the buffer")
    if size is None:
        return view[offset:]
    if size < 0:
        raise ValueError(f"size {size} is negative")
    if size > length - offset:
        raise ValueError(
            f"{size} bytes from offset {offset} exceed the {length} of the buffer"
        )
    return view[offset : offset + size]


def fits_inline(message: Message) -> bool:
    """Whether the message may travel whole, in one packet."""
    return message.size <= INLINE_LIMIT and len(message.handles) <= MAX_HANDLES


def inline_packet(message: Message) -> list[Buffer]:
    """The buffers that make up the one packet of a small message."""
    if not message.handles and len(message.parts) == 1:
        if not message.pickled:
            return [b"\0", message.parts[0]]
        if message.parts[0] and message.parts[0][0] == PICKLE:
            return [message.parts[0]]
    return [Head.of(message, INLINE).encode(), *message.parts]


def split_inline(head: Head, rest: memoryview) -> list[Buffer]:
    """The parts of an inline message."""
    parts: list[Buffer] = []
    for index, length in enumerate(head.lengths):
        part = rest[:length]
        parts.append(bytes(part) if index in head.as_bytes else part)
        rest = rest[length:]
    return parts


def fragment_packets(
    message: Message, transport: int, fragment: int
) -> Iterator[tuple[list[Buffer], Sequence[int]]]:
    """The packets of a large message: (buffers to gather, descriptors).

    Args:
        message: what to send.
        transport: `FRAGMENTS` puts the head first; for `PRIVATE` the head has gone
            over another channel, and only what follows it is listed.
        fragment: bytes in the largest packet.
    """
    rest = message.handles
    if transport == FRAGMENTS:
        yield [Head.of(message, FRAGMENTS).encode()], rest[:MAX_HANDLES]
        rest = rest[MAX_HANDLES:]
    yield from handle_packets(rest)
    for part in message.parts:
        for start in range(0, len(part), fragment):
            yield [part[start : start + fragment]], []


def handle_packets(
    handles: Sequence[int],
) -> Iterator[tuple[list[Buffer], Sequence[int]]]:
    """The packets of descriptors that come before the fragments."""
    for start in range(0, len(handles), MAX_HANDLES):
        yield [bytes((HANDLES,))], handles[start : start + MAX_HANDLES]


class Assembler:
    """Collects the fragments of one message, whose bytes land where they will stay.

    The memory for a part grows as its bytes arrive.

    Args:
        lengths: bytes in each part.
        into: where the bytes of a message of one part go, if it fits.
        as_bytes: indexes of the parts behind the first that become bytes.

    Attributes:
        filled: bytes of the part under way that have arrived; the receiver adds to it.
        placed: whether the message goes to *into*.
    """

    __slots__ = ("_as_bytes", "_lengths", "_parts", "_room", "filled", "placed")

    def __init__(
        self,
        lengths: Sequence[int],
        into: memoryview | None = None,
        as_bytes: Sequence[int] = (),
    ) -> None:
        self._lengths = lengths
        self._as_bytes = frozenset(as_bytes)
        self._parts: list[Part]
        self._room = 0
        self.filled = 0
        self.placed = False
        if into is not None and len(lengths) == 1 and lengths[0] <= len(into):
            self._parts = [GivenPart(into[: lengths[0]])]
            self.placed = True
        else:
            self._parts = [part_of(lengths[0])]

    def complete(self) -> bool:
        """Whether every part has arrived.

        Raises:
            FramingError: a fragment was longer than what was missing of its part.
        """
        while True:
            length = self._lengths[len(self._parts) - 1]
            if self.filled < length:
                return False
            if self.filled > length:
                raise FramingError(f"a fragment exceeds its part of {length} bytes")
            if len(self._parts) == len(self._lengths):
                return True
            index = len(self._parts)
            part = part_of(self._lengths[index], index in self._as_bytes)
            # Operators and no calls from here: no signal handler comes between.
            self._parts += (part,)
            self.filled = self._room = 0

    def wanted(self) -> memoryview:
        """Where the bytes of the next fragment belong.

        The view has to be released before the next call: the memory may move then.
        """
        length = self._lengths[len(self._parts) - 1]
        if self._room - self.filled < min(length - self.filled, WINDOW):
            self._room = min(length, self.filled + GROWTH)
        with self._parts[-1].view(self._room) as whole:
            self._room = min(length, len(whole))  # there may be more at once
            return whole[self.filled : self._room]

    def reserve(self) -> int:
        """How much of that there has to be for one fragment more; 0 for its last."""
        return 0 if self._room == self._lengths[len(self._parts) - 1] else WINDOW

    def add(self, data: memoryview) -> None:
        """Add the next bytes, which the receiver has already."""
        while data:
            with self.wanted() as view:
                count = min(len(view), len(data))
                view[:count] = data[:count]
            self.filled += count
            data = data[count:]
            self.complete()

    def leave(self) -> None:
        """Take the bytes that have arrived out of the receiver's memory."""
        part = self._parts[0]
        if isinstance(part, GivenPart):
            own = part_of(self._lengths[0])
            with part.view(self.filled) as given, own.view(self.filled) as view:
                view[: self.filled] = given
            part.release()
            self._parts, self._room, self.placed = [own], self.filled, False

    def parts(self) -> list[Buffer]:
        """The parts, when they are complete."""
        return [part.result() for part in self._parts]
