"""What happens at exit, around fork and at imports; what a new process is told.

Every layer registers here what it owns; nothing here knows the layers.

- `at_exit`: run when this process ends, in the main process and in children alike.
- `close_after_fork`: descriptors that a forked child must not keep.
- `after_fork`: anything else a forked child has to do first.
- `Provider`: state that a layer hands to the children it does not fork.
- `ImportWatcher`: what has to be done to a module as soon as there is one.

A forked child inherits exit callbacks only where that was asked for, and nothing that
is to be closed.  The hooks run in every child of ``os.fork``, whoever called it; what
they touch, the child copies, page by page.  So whatever can be found out later by the
`generation` of a process is not done there.

Any thread may call these functions at any time, also while another thread forks: the
registries change in single steps of the interpreter, so that a child never finds one
half changed, and no lock is needed that a child could find held.
"""

from __future__ import annotations

import atexit
import os
import sys
from _weakref import ref
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Protocol

    class Closeable(Protocol):
        """Anything that can be closed and weakly referred to."""

        def close(self) -> None: ...


__all__ = (
    "ImportWatcher",
    "Provider",
    "after_fork",
    "at_exit",
    "captured_state",
    "close_after_fork",
    "generation",
    "outlive_modules",
    "run_exit_callbacks",
)

#: priority, callback, and the generation whose it is: None for all
_exit_callbacks: dict[int, tuple[int, Callable[[], object], int | None]] = {}
_keys = count()
_fork_callbacks: list[Callable[[], object]] = []
_not_for_children: dict[int, _Reference] = {}
_providers: dict[str, Provider] = {}
_outliving: list[object] = []


class _Generation:
    """How many forks lie between this process and the first of its interpreter.

    Attributes:
        number: that; what a forked child has inherited is of a lower one.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number: int = 0


generation: _Generation = _Generation()


def at_exit(
    callback: Callable[[], object], priority: int = 0, forked: bool = False
) -> Callable[[], None]:
    """Call *callback* once when this process ends.

    Args:
        callback: takes nothing; an exception of its own is printed, not raised.
        priority: higher ones run first; of equals, the one registered last.
        forked: forked children call it at their end too.

    Returns:
        A function that cancels the registration, any number of times.
    """
    key = next(_keys)
    _exit_callbacks[key] = priority, callback, None if forked else generation.number

    def cancel() -> None:
        _exit_callbacks.pop(key, None)

    return cancel


def run_exit_callbacks() -> None:
    """Run and forget what `at_exit` was given; also what comes in meanwhile.

    An exception, KeyboardInterrupt included, ends the callback that it comes from, is
    printed, and leaves the other callbacks alone.
    """
    mine = None, generation.number
    while waiting := [
        (priority, key)
        for key, (priority, _, whose) in list(_exit_callbacks.items())
        if whose in mine
    ]:
        found = _exit_callbacks.pop(max(waiting)[1], None)
        if found is not None:
            _call(found[1])


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except BaseException:
        sys.excepthook(*sys.exc_info())


def after_fork(callback: Callable[[], object], once: bool = False) -> None:
    """Call *callback* first thing in every forked child, in order of registration.

    Descriptors of `close_after_fork` are closed already.  An exception is printed, and
    the next callback runs.

    Args:
        callback: takes nothing; kept for ever.
        once: do nothing if it is registered already, for what is registered when it is
            first needed.
    """
    if not (once and callback in _fork_callbacks):
        _fork_callbacks.append(callback)


def close_after_fork(owner: Closeable) -> None:
    """Close *owner*'s descriptors in forked children, as long as it lives here.

    Args:
        owner: anything with ``close``, which is called in the child; only referred to
            weakly.
    """
    reference = _Reference(owner, _forget)
    reference.key = id(owner)
    _not_for_children[reference.key] = reference


class _Reference(ref["Closeable"]):
    """A weak reference that knows where it is registered."""

    __slots__ = ("key",)

    key: int


def _forget(gone: _Reference) -> None:
    if _not_for_children.get(gone.key) is gone:
        del _not_for_children[gone.key]


def outlive_modules(thing: object) -> None:
    """Keep *thing* beyond all modules, until the interpreter is taken down itself.

    Args:
        thing: kept for ever.
    """
    _outliving.append(thing)


class Provider:
    """State of a layer that spawned and forkserver children begin with.

    Args:
        name: unique; registering another provider under it replaces the first.
        capture: returns the state, picklable for a message, or None for nothing; called
            for each new child, by the thread that starts it.
        restore: called with the state in the child, before the main module is
            imported.  Importable by its module and name.
        ahead: whether a fork server begins with it as well, before it imports anything
            for its children, which restore theirs again.
    """

    __slots__ = ("ahead", "capture", "name", "restore")

    def __init__(
        self,
        name: str,
        capture: Callable[[], object],
        restore: Callable[[object], object],
        ahead: bool = False,
    ) -> None:
        self.name: str = name
        self.capture: Callable[[], object] = capture
        self.restore: Callable[[object], object] = restore
        self.ahead: bool = ahead
        _providers[name] = self


class ImportWatcher:
    """Does something to a module as soon as it is imported, or now if it is.

    It imports nothing itself, and is on ``sys.meta_path`` until the module is there.

    Args:
        name: the module's.
        then: called with the module; returns whether that is complete, as it may be
            half imported when `begin` finds it.
    """

    def __init__(self, name: str, then: Callable[[ModuleType], bool]) -> None:
        self._name = name
        self._then = then

    def begin(self) -> None:
        """Begin; repeatable."""
        module = sys.modules.get(self._name)
        if module is not None and self._then(module):
            return
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Nothing but what others find for the module, with more to do at its end."""
        if name == self._name:
            for finder in list(sys.meta_path):
                # Finders of old have another method.
                find = getattr(finder, "find_spec", None)
                if finder is not self and find is not None:
                    spec: ModuleSpec | None = find(name, path, target)
                    if spec is not None:
                        if spec.loader is not None:
                            # The base that typeshed asks for costs an import.
                            loader = _Loader(spec.loader, self)
                            spec.loader = loader  # type: ignore[assignment]
                        return spec
        return None

    def imported(self, module: ModuleType) -> None:
        """The module is there."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._then(module)


class _Loader:
    """The loader of a module, with more to do at the end."""

    def __init__(self, loader: Loader, watcher: ImportWatcher) -> None:
        self._loader = loader
        self._watcher = watcher

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the real one."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the real one, which stands in the module as if nothing had been."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._watcher.imported(module)


def captured_state(
    ahead: bool = False,
) -> list[tuple[Callable[[object], object], object]]:
    """What a new child is to be told: functions to call there, with their argument.

    Args:
        ahead: only what a fork server is told.

    Raises:
        Exception: whatever a provider's ``capture`` raises.
    """
    providers = [p for p in list(_providers.values()) if p.ahead or not ahead]
    captured = [(p.restore, p.capture()) for p in providers]
    return [(restore, state) for restore, state in captured if state is not None]


# What is registered for forks outlives all modules, and so do its defaults.
def _in_forked_child(_outliving: list[object] = _outliving) -> None:
    generation.number += 1
    if _not_for_children:
        for reference in list(_not_for_children.values()):
            owner = reference()
            if owner is not None:
                _call(owner.close)
        _not_for_children.clear()
    for callback in list(_fork_callbacks):
        _call(callback)


atexit.register(run_exit_callbacks)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
