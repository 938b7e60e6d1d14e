"""Shared ctypes objects, under the standard package's module name."""

from __future__ import annotations

from mp_multiprocessing._layers import later

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
    "copy",
    "synchronized",
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_sharedctypes import (
        Array as Array,
        RawArray as RawArray,
        RawValue as RawValue,
        Synchronized as Synchronized,
        SynchronizedArray as SynchronizedArray,
        SynchronizedBase as SynchronizedBase,
        SynchronizedString as SynchronizedString,
        SynchronizedStructure as SynchronizedStructure,
        SynchronizedText as SynchronizedText,
        Value as Value,
        copy as copy,
        synchronized as synchronized,
    )
else:
    __getattr__, __dir__ = later(
        __name__, __all__, "mp-sharedctypes", "mp_sharedctypes"
    )
