"""Lists in shared memory, laid out as the standard library does.

The layout, all numbers little-endian and without gaps, is that of Python 3.9 and
later::

    int64               how many items
    int64 * (items + 1) where each begins, and where the last ends, from the first
    data                numbers, bool and None in 8 bytes; bytes and UTF-8 in as many
                        eights as hold one byte more, filled up with zeros
    8 bytes * items     the format of the item, for `struct`
    1 byte * items      0 for a number or bool, 1 for a str, 2 for bytes, 3 for None

Who reads a str or bytes drops the zeros at its end.  Those that belong to it are
counted in a table of ours behind all that, where others do not look: for each item
their number, and a checksum of what stands before them.  If that is wrong, others have
written there.
"""

from __future__ import annotations

import operator
from _struct import Struct
from binascii import crc32

from mp_sharedctypes._shared_memory import SharedMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Generic, SupportsIndex, TypeVar

    ItemT = TypeVar("ItemT")
else:
    from mp_sharedctypes._subscripts import Generic

    ItemT = None

_INTEGER = Struct("<q")
_REAL = Struct("<d")
_TAIL = Struct("<II")
_EIGHT = 8
#: Longer ones have a format that does not fit.
_LONGEST = 9_999_990
_MAGIC = b"mp-tails"

_PLAIN, _TEXT, _BYTES, _NONE = range(4)
_BOOL_FORMAT, _NONE_FORMAT = b"xxxxxxx?", b"xxxxxx?x"


class _Encoded:
    """An item as it lies in memory."""

    __slots__ = ("code", "data", "format", "tail")

    def __init__(self, item: object) -> None:
        self.tail: int = 0
        self.code: int = _PLAIN
        self.format: bytes = b""
        if item is None:
            self.code, self.format, self.data = _NONE, _NONE_FORMAT, bytes(_EIGHT)
        elif isinstance(item, bool):
            self.format, self.data = _BOOL_FORMAT, bytes(7) + bytes([item])
        elif isinstance(item, int):
            if not -(2**63) <= item < 2**63:
                raise OverflowError(f"a number in a list has 64 bits: {item}")
            self.format, self.data = b"q", _INTEGER.pack(item)
        elif isinstance(item, float):
            self.format, self.data = b"d", _REAL.pack(item)
        elif isinstance(item, (str, bytes)):
            self.code = _TEXT if isinstance(item, str) else _BYTES
            self.data = item.encode() if isinstance(item, str) else item
            if len(self.data) > _LONGEST:
                raise ValueError(
                    f"a str or bytes in a list has at most {_LONGEST} bytes, not"
                    f" {len(self.data)}"
                )
            self.tail = len(self.data) - len(self.data.rstrip(b"\0"))
        else:
            raise TypeError(
                "a list in shared memory holds int, float, bool, str, bytes and None,"
                f" not {type(item).__qualname__}"
            )

    def room(self) -> int:
        """Bytes that it gets in a new list."""
        if self.format:
            return _EIGHT
        return _EIGHT * (len(self.data) // _EIGHT + 1)

    def format_in(self, room: int) -> bytes:
        """The format, in so many bytes."""
        return (self.format or b"%ds" % room).ljust(_EIGHT, b"\0")


class ShareableList(Generic[ItemT]):
    """A list in shared memory, of constant length, that processes can change.

    Each item has as much room as its first value needed; another one, also of another
    type, has to fit in there.  Nothing is guarded by a lock.  The layout is that of the
    standard library's class, which can attach to it, and it to theirs.

    It can be inherited and sent; a copy is the same list.

    Args:
        sequence: the items: int of 64 bits, float, bool, str, bytes, None.  None
            attaches to the list of the name.
        name: of the block of memory; see `SharedMemory`.

    Attributes:
        shm: the block of memory, which is to be closed and unlinked as any other.

    Raises:
        TypeError: an item is of another type; or there is neither sequence nor name.
        OverflowError: an int has more than 64 bits.
        ValueError: a str or bytes is too long; or there is no list in the block.
        OSError: as by `SharedMemory`.
    """

    shm: SharedMemory

    def __init__(
        self, sequence: Iterable[ItemT] | None = None, *, name: str | None = None
    ) -> None:
        if sequence is None:
            if name is None:
                raise TypeError("there is neither a sequence nor a name to attach to")
            self._attach(SharedMemory(name))
            return
        items = [_Encoded(item) for item in sequence]
        starts = [0]
        for item in items:
            starts.append(starts[-1] + item.room())
        head = _EIGHT * (len(items) + 2)
        size = head + starts[-1] + (2 * _EIGHT + 1) * len(items) + len(_MAGIC)
        self.shm = SharedMemory(name, create=True, size=size)
        memory = self.shm.buf
        memory[:head] = b"".join(map(_INTEGER.pack, [len(items), *starts]))
        memory[size - _EIGHT * len(items) - len(_MAGIC) :][: len(_MAGIC)] = _MAGIC
        self._look()
        for index, item in enumerate(items):
            self._write(index, item)

    def _attach(self, shm: SharedMemory) -> None:
        self.shm = shm
        try:
            self._look()
        except BaseException:
            shm.close()
            raise

    def _look(self) -> None:
        """Learn where everything lies."""
        memory, size = self.shm.buf, self.shm.size
        count = _INTEGER.unpack_from(memory)[0] if size >= _EIGHT else -1
        #: of the data, of the formats, of the codes, of the tails
        self._count: int = count
        if not 0 <= count <= size // _EIGHT:
            raise self._no_list()
        if size < _EIGHT * (count + 2):
            # Of Python 3.8, and empty.
            self._starts, self._data = [0], _EIGHT
        else:
            numbers = Struct(f"<{count + 1}q").unpack_from(memory, _EIGHT)
            self._starts = list(numbers)
            self._data = _EIGHT * (count + 2)
            if numbers[0]:
                # Of Python 3.8: how long each is, and no end.
                self._data -= _EIGHT
                self._starts = [0]
                for length in numbers[:-1]:
                    self._starts.append(self._starts[-1] + length)
        rooms = [b - a for a, b in zip(self._starts, self._starts[1:], strict=False)]
        self._formats: int = self._data + self._starts[-1]
        self._codes: int = self._formats + _EIGHT * count
        end = self._codes + count
        if any(room < _EIGHT for room in rooms) or end > size:
            raise self._no_list()
        self._tails: int | None = None
        tails = end + len(_MAGIC)
        if memory[end:tails] == _MAGIC and size >= tails + _EIGHT * count:
            self._tails = tails

    def _no_list(self) -> ValueError:
        return ValueError(f"there is no list in {self.shm!r}")

    def _place(self, key: SupportsIndex) -> tuple[int, int, int]:
        """The index of an item, where its data begins, and how much room there is."""
        try:
            index = operator.index(key)
        except TypeError:
            raise TypeError(f"an item is found by its index, not by {key!r}") from None
        if index < 0:
            index += self._count
        if not 0 <= index < self._count:
            raise IndexError("the index is out of range")
        start = self._starts[index]
        return index, self._data + start, self._starts[index + 1] - start

    def __getitem__(self, key: SupportsIndex) -> ItemT:
        index, start, room = self._place(key)
        memory = self.shm.buf
        code = memory[self._codes + index]
        item: Any
        if code == _NONE:
            item = None
        elif code in (_TEXT, _BYTES):
            data = bytes(memory[start : start + room]).rstrip(b"\0")
            data += bytes(self._tail(index, data, room))
            item = data.decode() if code == _TEXT else data
        else:
            at = self._formats + _EIGHT * index
            shape = bytes(memory[at : at + _EIGHT]).rstrip(b"\0")
            if shape == b"q":
                (item,) = _INTEGER.unpack_from(memory, start)
            elif shape == b"d":
                (item,) = _REAL.unpack_from(memory, start)
            elif shape == _BOOL_FORMAT:
                item = memory[start + 7] != 0
            else:
                raise self._no_list()
        found: ItemT = item
        return found

    def _tail(self, index: int, data: bytes, room: int) -> int:
        """How many zeros belong to an item."""
        if self._tails is None:
            return 0
        place = self._tails + _EIGHT * index
        tail, checksum = _TAIL.unpack_from(self.shm.buf, place)
        if tail and checksum == crc32(data) and len(data) + tail <= room:
            return int(tail)
        return 0

    def __setitem__(self, key: SupportsIndex, value: ItemT) -> None:
        index, _, _ = self._place(key)
        self._write(index, _Encoded(value))

    def _write(self, index: int, item: _Encoded) -> None:
        _, start, room = self._place(index)
        memory = self.shm.buf
        if len(item.data) > room:
            raise ValueError(
                f"{len(item.data)} bytes do not fit into item {index}, which has {room}"
            )
        if item.tail and self._tails is None:
            raise ValueError(
                "this list was made by another library, which does not keep zeros at"
                " the end of a str or bytes"
            )
        if self._tails is not None:
            stripped = item.data[: len(item.data) - item.tail]
            checksum = crc32(stripped) if item.tail else 0
            _TAIL.pack_into(memory, self._tails + _EIGHT * index, item.tail, checksum)
        place = self._formats + _EIGHT * index
        padded = item.data if item.format else item.data.ljust(room, b"\0")
        memory[start : start + len(padded)] = padded
        memory[place : place + _EIGHT] = item.format_in(room)
        memory[self._codes + index] = item.code

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ItemT]:
        for index in range(self._count):
            yield self[index]

    @property
    def format(self) -> str:
        """The formats of all items, for `struct`."""
        whole = bytes(self.shm.buf[self._formats : self._codes])
        return whole.replace(b"\0", b"").decode()

    def count(self, value: object) -> int:
        """How many items are equal to a value."""
        return sum(item == value for item in self)

    def index(self, value: object) -> int:
        """Where the first item is that is equal to a value.

        Raises:
            ValueError: there is none.
        """
        for index, item in enumerate(self):
            if item == value:
                return index
        raise ValueError(f"{value!r} is not in the list")

    def __reduce__(self) -> tuple[object, ...]:
        return _over, (type(self), self.shm)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {list(self)!r} in {self.shm!r}>"


def _over(kind: type[ShareableList[Any]], shm: SharedMemory) -> ShareableList[Any]:
    made = kind.__new__(kind)
    made._attach(shm)
    return made


ShareableList.__module__ = "mp_sharedctypes.shared_memory"
