"""Chooses what the locks are made of: the extension, or Python where that is missing.

``MP_SYNC_BACKEND`` says ``native`` or ``portable`` to have that and no other.  All
processes of a program have to use the same, as the two keep their state differently;
children inherit the variable.

What a backend has, beyond the public types:

- `Words`: sixteen numbers of 32 bits in shared memory, with ``get``, ``set``, an atomic
  ``add``, ``wake`` and ``sleep``.
- ``condition_wait`` and ``condition_notify``, over a lock and words.
- `Guarded`, `Cell` and `CellArray`, which `mp_sync.cells` tells of.
- ``sleep_on_any`` and ``wake_one``, which event loops need.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Which one is in use: ``native`` or ``portable``.
backend: str


def _rebuild_native(kind: Any, contents: object) -> object:
    """An object of the extension over what was sent of it."""
    return _rebuild("native", kind, contents)


def _rebuild_portable(kind: Any, contents: object) -> object:
    """The same for one of the portable backend."""
    return _rebuild("portable", kind, contents)


def _rebuild(theirs: str, kind: Any, contents: object) -> object:
    if theirs != backend:
        raise RuntimeError(
            f"a {kind.__name__} of the {theirs} backend of mp_sync was received, and"
            f" this process uses the {backend} one; see MP_SYNC_BACKEND"
        )
    return kind._attach(contents)


_wanted = os.environ.get("MP_SYNC_BACKEND", "")
if _wanted not in ("", "native", "portable"):
    raise ImportError(f"MP_SYNC_BACKEND is native or portable, not {_wanted!r}")

if TYPE_CHECKING:
    from mp_sync._native import (
        BoundedSemaphore as BoundedSemaphore,
        Cell as Cell,
        CellArray as CellArray,
        Event as Event,
        Guarded as Guarded,
        Lock as Lock,
        RLock as RLock,
        Semaphore as Semaphore,
        Words as Words,
        condition_notify as condition_notify,
        condition_wait as condition_wait,
        sleep_on_any as sleep_on_any,
        wake_one as wake_one,
    )
else:
    _found = None
    if _wanted != "portable":
        try:
            import mp_sync._native as _found

            backend = "native"
        except ImportError as error:
            if _wanted == "native":
                raise ImportError(
                    f"MP_SYNC_BACKEND=native, and the extension is missing: {error}",
                    name="mp_sync._native",
                ) from error
            _missing = str(error)
    if _found is None:
        from mp_sync._choose_portable import choose

        # Said by the first that finds it out; its children know.
        _found = choose(None if _wanted else _missing)
        backend = "portable"
    BoundedSemaphore = _found.BoundedSemaphore
    Cell = _found.Cell
    CellArray = _found.CellArray
    Event = _found.Event
    Guarded = _found.Guarded
    Lock = _found.Lock
    RLock = _found.RLock
    Semaphore = _found.Semaphore
    Words = _found.Words
    condition_notify = _found.condition_notify
    condition_wait = _found.condition_wait
    sleep_on_any = _found.sleep_on_any
    wake_one = _found.wake_one
