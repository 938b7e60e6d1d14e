"""Shared ctypes objects and shared memory.

`Value` and `Array` are guarded by a lock, `RawValue` and `RawArray` are not.  Each can
be inherited by children under every start method, and sent: as an argument of a
process, through a connection, a queue or a pool.
"""

from __future__ import annotations

from mp_sharedctypes._synchronized import (
    Synchronized as Synchronized,
    SynchronizedArray as SynchronizedArray,
    SynchronizedBase as SynchronizedBase,
    SynchronizedString as SynchronizedString,
    SynchronizedStructure as SynchronizedStructure,
    SynchronizedText as SynchronizedText,
)
from mp_sharedctypes._version import __version__ as __version__
from mp_sharedctypes.functions import (
    Array as Array,
    RawArray as RawArray,
    RawValue as RawValue,
    Value as Value,
    copy as copy,
    synchronized as synchronized,
)

__all__ = (
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "SynchronizedStructure",
    "SynchronizedText",
    "Value",
    "__version__",
    "copy",
    "synchronized",
)
