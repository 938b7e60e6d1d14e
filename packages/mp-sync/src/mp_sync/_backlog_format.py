"""How items lie in the backlog of a queue: pure functions on bytes, no I/O.

A record is a head, a table of lengths, and as many parts.  The parts are pickles of as
many items, or one pickle and its out-of-band buffers.  Or it is a head and one pickle
of a list of items, if they are plain.
"""

from __future__ import annotations

from itertools import accumulate, chain
from struct import Struct, pack, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Buffer

_HEAD = Struct("<QIBxxx")  # bytes that follow, number of parts, kind
HEAD_SIZE = _HEAD.size

#: Kinds of records.
ITEMS = 0  # each part is an item
MESSAGE = 1  # the parts are one item
GROUP = 2  # no table, and one pickle of a list of plain items

#: Items of one record: the place within it has 16 bits.
MOST_ITEMS = 1000
#: Items of one group, which is unpickled whole also where a few are wanted.
GROUP_ITEMS = 250

#: Types without references, whose objects nobody can change, nor keep from unpickling.
_PLAIN = {int, float, complex, str, bytes, bool, type(None)}


def is_plain(items: Iterable[object]) -> bool:
    """Whether items may travel in one pickle, and nobody can tell.

    In one pickle equal parts may become one object, and an error would be everybody's.
    Neither matters for these types and flat tuples of them.
    """
    kinds = set(map(type, items))
    if tuple in kinds:
        kinds.remove(tuple)
        tuples = items if not kinds else [i for i in items if type(i) is tuple]
        kinds.update(map(type, chain.from_iterable(tuples)))  # type: ignore[arg-type]
    return kinds <= _PLAIN


def head(kind: int, lengths: Sequence[int]) -> bytes:
    """The beginning of a record, up to its parts."""
    count = len(lengths)
    table = pack(f"<{count}Q", *lengths)
    return _HEAD.pack(len(table) + sum(lengths), count, kind) + table


def group_head(size: int, count: int) -> bytes:
    """The beginning of a record that is a group."""
    return _HEAD.pack(size, count, GROUP)


def decode_head(data: Buffer) -> tuple[int, int, int]:
    """Bytes that follow, number of parts and kind."""
    size, count, kind = _HEAD.unpack_from(data)
    return size, count, kind


def decode_lengths(body: Buffer, count: int) -> tuple[int, ...]:
    """The lengths of the parts, from what follows the head."""
    return unpack_from(f"<{count}Q", body)


def split(body: Buffer, count: int, first: int, last: int) -> list[memoryview]:
    """The parts from *first* up to *last*, from what follows the head."""
    view = memoryview(body)
    ends = list(accumulate(decode_lengths(view, count), initial=8 * count))
    return [view[a:b] for a, b in zip(ends[first:last], ends[first + 1 :])]  # noqa: B905
