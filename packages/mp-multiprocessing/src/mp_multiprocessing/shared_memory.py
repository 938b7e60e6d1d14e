"""Named shared memory and lists in it, under the standard package's module name."""

from __future__ import annotations

from mp_multiprocessing._layers import Needed

with Needed("mp-sharedctypes", __name__):
    from mp_sharedctypes.shared_memory import (
        ShareableList as ShareableList,
        SharedMemory as SharedMemory,
    )

__all__ = ("ShareableList", "SharedMemory")
