"""Shared ctypes objects, under the standard package's module name."""

from __future__ import annotations

from mp_multiprocessing._layers import Needed

with Needed("mp-sharedctypes", __name__):
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
