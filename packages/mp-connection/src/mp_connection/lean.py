"""For the layers above: parts of standard modules that cost a child little to import.

Every millisecond and megabyte here is paid by each process that is not forked.  The
names are those of `pickle` and `typing`, and mean the same.  A module that pickles
messages itself calls `follow_reducers`, so that `handles.register_reducer` holds there.
"""

from __future__ import annotations

from mp_connection._cpickle import (
    PickleBuffer as PickleBuffer,
    Pickler as Pickler,
    PicklingError as PicklingError,
    Unpickler as Unpickler,
    dumps as dumps,
    loads as loads,
)
from mp_connection._generic import Generic as Generic
from mp_connection._reducers import (
    follow_reducers as follow_reducers,
    reductions as reductions,
)

__all__ = (
    "Generic",
    "PickleBuffer",
    "Pickler",
    "PicklingError",
    "Unpickler",
    "dumps",
    "follow_reducers",
    "loads",
    "reductions",
)
