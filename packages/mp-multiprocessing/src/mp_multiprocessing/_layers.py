"""Layers that are imported when something of theirs is used.

A program pays only for what it has of them, and so does each child that imports its
main module.  Where one is not installed, the error says which distribution is missing.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = ("LAYERS", "FromLayer", "Needed", "from_layer", "later")

#: Names of the interface, and the distributions that have them.
LAYERS = {
    "Array": "mp-sharedctypes",
    "AuthenticationError": "mp-connection",
    "Barrier": "mp-sync",
    "BoundedSemaphore": "mp-sync",
    "BufferTooShort": "mp-connection",
    "Condition": "mp-sync",
    "Connection": "mp-connection",
    "Event": "mp-sync",
    "JoinableQueue": "mp-sync",
    "Lock": "mp-sync",
    "Pipe": "mp-connection",
    "Pool": "mp-pool",
    "Process": "mp-process",
    "ProcessError": "mp-connection",
    "Queue": "mp-sync",
    "RLock": "mp-sync",
    "RawArray": "mp-sharedctypes",
    "RawValue": "mp-sharedctypes",
    "Semaphore": "mp-sync",
    "SimpleQueue": "mp-sync",
    "TimeoutError": "mp-connection",
    "Value": "mp-sharedctypes",
    "active_children": "mp-process",
    "cpu_count": "mp-process",
    "current_process": "mp-process",
    "freeze_support": "mp-process",
    "get_all_start_methods": "mp-process",
    "get_logger": "mp-connection",
    "get_start_method": "mp-process",
    "log_to_stderr": "mp-connection",
    "parent_process": "mp-process",
    "set_executable": "mp-process",
    "set_forkserver_preload": "mp-process",
    "set_start_method": "mp-process",
}


class Needed:
    """Around the import of a layer: say what to install where it is missing.

    A class, as the import of `contextlib` takes as long as that of a layer.

    Args:
        distribution: the layer.
        what: who needs it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """

    __slots__ = ("_distribution", "_what")

    def __init__(self, distribution: str, what: str) -> None:
        self._distribution = distribution
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, ModuleNotFoundError):
            return
        if error.name == self._distribution.replace("-", "_"):
            raise ModuleNotFoundError(
                f"{self._what} needs {self._distribution}, which is not installed:"
                f" pip install {self._distribution}",
                name=error.name,
            ) from None


def from_layer(name: str) -> object:
    """What a layer has under a name of `LAYERS`.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    distribution = LAYERS[name]
    return _find(distribution, name, distribution.replace("-", "_"), name)


def _find(distribution: str, what: str, module: str, name: str) -> object:
    """What a module of a layer has under a name; *what* needs it."""
    with Needed(distribution, what):
        value: object = getattr(__import__(module, fromlist=(name,)), name)
    return value


def later(
    module: str, names: Sequence[str], distribution: str, source: str, **others: str
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a module that has what a layer has.

    The layer is imported when somebody asks for one of the names.

    Args:
        module: the name of the module.
        names: what it has.
        distribution: that of the layer.
        source: the module of the layer that has these names.
        **others: those that the layer has under another name, and that.
    """
    here = vars(sys.modules[module])

    def look_up(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = here[name] = _find(distribution, module, source, others.get(name, name))
        return value

    def list_names() -> list[str]:
        return sorted({*here, *names})

    return look_up, list_names


class FromLayer:
    """An attribute of a class: what a layer has under the same name.

    It takes its own place when it is used first.
    """

    __slots__ = ("_name", "_owner")

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> object:
        value = from_layer(self._name)
        # Never bound to a context: a function of the layer does not know of any.
        setattr(self._owner, self._name, staticmethod(value))  # type: ignore[arg-type]
        return value
