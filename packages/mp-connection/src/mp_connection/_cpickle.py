"""The pickler's C core.

``import pickle`` costs a child process two milliseconds and a megabyte, most of it
for the Python implementation and what that imports; the C core alone is complete.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pickle import (
        PickleBuffer as PickleBuffer,
        Pickler as Pickler,
        PicklingError as PicklingError,
        Unpickler as Unpickler,
        UnpicklingError as UnpicklingError,
        dumps as dumps,
        loads as loads,
    )
else:
    from _pickle import (
        PickleBuffer as PickleBuffer,
        Pickler as Pickler,
        PicklingError as PicklingError,
        Unpickler as Unpickler,
        UnpicklingError as UnpicklingError,
        dumps as dumps,
        loads as loads,
    )
