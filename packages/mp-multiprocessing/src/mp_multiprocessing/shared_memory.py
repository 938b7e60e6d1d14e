"""Named shared memory and lists in it, under the standard package's module name."""

from __future__ import annotations

from mp_multiprocessing._layers import later

__all__ = ("ShareableList", "SharedMemory")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_sharedctypes.shared_memory import (
        ShareableList as ShareableList,
        SharedMemory as SharedMemory,
    )
else:
    __getattr__, __dir__ = later(
        __name__, __all__, "mp-sharedctypes", "mp_sharedctypes.shared_memory"
    )
