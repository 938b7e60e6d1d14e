"""Queues, under the standard package's module name."""

from __future__ import annotations

from mp_multiprocessing._layers import later

__all__ = ("Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queue import Empty as Empty, Full as Full

    from mp_sync import (
        JoinableQueue as JoinableQueue,
        Queue as Queue,
        SimpleQueue as SimpleQueue,
    )
else:
    _of_layer, __dir__ = later(__name__, __all__, "mp-sync", "mp_sync")

    def __getattr__(name):
        if name in ("Empty", "Full"):
            import queue

            value = globals()[name] = getattr(queue, name)
            return value
        return _of_layer(name)


#: What third parties put into queues of their own to end a thread.
_sentinel = object()
