"""Classes in place of those of a backend, where there is none."""

from __future__ import annotations

from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def missing(name: str, reason: str) -> type:
    """A class to annotate with, which cannot be instantiated."""

    def refuse(cls: type, /, *args: object, **kwargs: object) -> NoReturn:
        # An ImportError: the manual's for a platform without shared semaphores.
        raise ImportError(
            f"{name} needs the extension mp_sync._native, which this installation"
            f" lacks: {reason}",
            name="mp_sync._native",
        )

    namespace = {
        "__new__": refuse,
        "__module__": "mp_sync",
        "__class_getitem__": classmethod(type(list[int])),
        # How cells are made, whose classes are not called.
        **dict.fromkeys(("attach", "fresh", "wrap"), classmethod(refuse)),
    }
    return type(name, (), namespace)


def types(reason: str) -> SimpleNamespace:
    """All that a backend has."""
    names = (
        *("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event", "Words"),
        *("Guarded", "Cell", "CellArray"),
    )
    functions = ("condition_wait", "condition_notify", "sleep_on_any", "wake_one")
    return SimpleNamespace(**{n: missing(n, reason) for n in (*names, *functions)})
