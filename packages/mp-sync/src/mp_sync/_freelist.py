"""Which parts of a range are free: first fit, neighbours joined.  No I/O, no memory.

The list changes in single steps, so that an exception which a signal handler raises
within a call leaves it whole; at worst it has lost the block that the call was about.
"""

from __future__ import annotations

from bisect import bisect_left

#: Blocks begin at a multiple of it and have such a size, unless they ask for less.  A
#: cache line, so that two locks that are fought over do not slow each other down.
GRANULE = 64
#: All blocks do: what any simple type is aligned to.
UNIT = 16


def rounded(size: int, unit: int = GRANULE) -> int:
    """The size of a block that holds *size* bytes."""
    return (max(size, 1) + unit - 1) // unit * unit


class FreeList:
    """The free parts of the range from *start* to *stop*, both multiples of UNIT."""

    __slots__ = ("_runs",)

    def __init__(self, start: int, stop: int) -> None:
        #: beginnings and ends, in order, never touching
        self._runs: list[tuple[int, int]] = [(start, stop)] if start < stop else []

    def allocate(self, size: int, alignment: int = GRANULE) -> int | None:
        """Take *size* bytes; where they begin, or None if they are not there.

        Args:
            size: a multiple of UNIT, above zero.
            alignment: a power of two, UNIT at least.
        """
        runs = self._runs
        for index, (start, stop) in enumerate(runs):
            offset = (start + alignment - 1) & -alignment
            end = offset + size
            if end <= stop:
                if start == offset and end < stop:  # as nearly always
                    runs[index] = end, stop
                    return offset
                left = []
                if start < offset:
                    left.append((start, offset))
                if end < stop:
                    left.append((end, stop))
                runs[index : index + 1] = left
                return offset
        return None

    def free(self, offset: int, size: int) -> None:
        """Give back what `allocate` took."""
        runs = self._runs
        end = offset + size
        index = bisect_left(runs, (offset, end))
        first = last = index
        if index > 0 and runs[index - 1][1] == offset:
            first -= 1
            offset = runs[first][0]
        if index < len(runs) and runs[index][0] == end:
            last += 1
            end = runs[index][1]
        runs[first:last] = [(offset, end)]

    def free_bytes(self) -> int:
        """How much is free."""
        return sum(stop - start for start, stop in self._runs)
