"""What third parties use of the standard package's module of this name.

New programs should use `mp_sync.arena` directly.
"""

from __future__ import annotations

from mp_sync.arena import allocate

__all__ = ("BufferWrapper",)


class BufferWrapper:
    """A block of shared memory, which can be inherited and sent.

    Args:
        size: in bytes.

    Raises:
        ValueError: it is negative.
        OSError: there is no memory or no descriptor left.
    """

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"a block has no {size} bytes")
        self._size = size
        self._block = allocate(max(size, 1))

    def create_memoryview(self) -> memoryview:
        """The memory; the wrapper is to be kept as long as it is used."""
        return self._block.memory()[: self._size]
