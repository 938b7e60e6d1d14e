"""Reductions that programs register for types, and who has to know of them.

The usual message is pickled by the C function `dumps`, which knows `copyreg` and
nothing of ours.  That stays so while nothing is registered.  The first registration
puts slower functions, which know both, in its place, in each module that pickles
messages: so nobody pays for a look at an empty table.
"""

from __future__ import annotations

import copyreg
from io import BytesIO

from mp_connection._cpickle import PickleBuffer, Pickler, dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    T = TypeVar("T")

    class Writable(Protocol):
        """Where a pickler writes."""

        def write(self, data: bytes, /) -> object: ...

    #: What a ``__reduce__`` returns (manual of `pickle`).
    Reduced = str | tuple[object, ...]


#: Types that the pickler writes without asking anybody.
_FIXED: frozenset[type] = frozenset(
    (
        type(None), bool, int, float, str, bytes, bytearray, tuple, list, dict, set,
        frozenset, type, type(lambda: None), PickleBuffer,
    )
)  # fmt: skip

_registered: dict[type, Callable[[Any], Reduced]] = {}
_followers: list[dict[str, object]] = []


def register_reducer(cls: type[T], reduce: Callable[[T], Reduced]) -> None:
    """Say how objects of a type are pickled in messages of this process.

    It applies to every message from now on, over any channel, to the arguments of
    processes and to the tasks and results of pools; not to a plain ``pickle.dumps``.
    The receiver needs no registration.  A second one for the same type replaces the
    first.  Forked children inherit it; other children have to register anew, as they
    do when they import the module that does so.

    Args:
        cls: the type.  Objects of its subclasses are pickled as before.
        reduce: takes an object and returns what its ``__reduce__`` would.  A `Handle`
            in that stands for a descriptor that travels with the message.

    Raises:
        TypeError: *cls* is no class or *reduce* cannot be called; or no pickler asks
            how to pickle the type, as of int, list, functions and classes.

    Any thread may call it.
    """
    if not isinstance(cls, type):
        raise TypeError(f"not a class: {cls!r}")
    if not callable(reduce):
        raise TypeError(f"a reducer is called with an object: {reduce!r}")
    if cls in _FIXED:
        raise TypeError(f"how a {cls.__qualname__} is pickled cannot be changed")
    _registered[cls] = reduce
    _inform(_followers)


def unregister_reducer(cls: type) -> None:
    """Pickle objects of a type as before its registration.

    Raises:
        KeyError: none is registered.

    Any thread may call it, but not while another registers.
    """
    del _registered[cls]
    _inform(_followers)


def reductions() -> dict[type, Callable[[Any], Any]]:
    """The dispatch table of a pickler that makes a message."""
    return {**copyreg.dispatch_table, **_registered}


def follow_reducers(namespace: dict[str, object]) -> None:
    """Let a module pickle by the registry as soon as there is something in it.

    Args:
        namespace: the ``globals()`` of the module.  The names `dumps` and `Pickler`,
            those of them that it has, mean the C pickler's, and get replaced.
    """
    _followers.append(namespace)
    _inform([namespace])


def _inform(namespaces: list[dict[str, object]]) -> None:
    functions: dict[str, object] = {"dumps": dumps, "Pickler": Pickler}
    if _registered:
        functions = {"dumps": _dumps, "Pickler": _pickler}
    for namespace in namespaces:
        for name in functions.keys() & namespace:
            namespace[name] = functions[name]


def _dumps(
    obj: object,
    protocol: int,
    buffer_callback: Callable[[PickleBuffer], object] | None = None,
) -> bytes:
    file = BytesIO()
    _pickler(file, protocol, buffer_callback).dump(obj)
    return file.getvalue()


def _pickler(
    file: Writable,
    protocol: int,
    buffer_callback: Callable[[PickleBuffer], object] | None = None,
) -> Pickler:
    pickler = Pickler(file, protocol, buffer_callback=buffer_callback)
    pickler.dispatch_table = reductions()
    return pickler


register_reducer.__module__ = unregister_reducer.__module__ = "mp_connection.handles"
