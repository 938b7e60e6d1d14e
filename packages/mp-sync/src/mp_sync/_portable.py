"""The portable backend: in Python, over the C library's robust mutexes and futexes.

It has what `mp_sync._native` has, under the same names.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from mp_sync._libc import sleep_on_any as sleep_on_any, wake_one as wake_one
from mp_sync._portable_cells import (
    Cell as Cell,
    CellArray as CellArray,
    Guarded as Guarded,
)
from mp_sync._portable_counts import (
    BoundedSemaphore as BoundedSemaphore,
    Event as Event,
    Semaphore as Semaphore,
    Words as Words,
)
from mp_sync._portable_locks import Lock as Lock, RLock as RLock
from mp_sync._turns import (
    condition_notify as condition_notify,
    condition_wait as condition_wait,
)
