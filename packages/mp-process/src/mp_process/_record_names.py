"""The name of the process in log records: ``%(processName)s`` of `logging`.

`logging.LogRecord` asks the standard `multiprocessing`, if it is imported, and says
"MainProcess" otherwise.  Here the class is taught this process's name, whichever way
records are made: by a factory of the user's or a subclass, set before or after.  A
name other than "MainProcess" is somebody else's who knows better, such as the standard
package in a child of its own, and stays.  Records that arrive from other processes are
not initialized again and keep theirs.

Nothing here imports `logging`: that costs a child more than all else.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from logging import LogRecord
    from types import ModuleType

_UNNAMED = "MainProcess"  # what `logging` writes when it does not know


class _Name:
    """The attribute of records; the value lies where it would without this."""

    def __init__(self, name: Callable[[], str]) -> None:
        self._name = name

    def __get__(self, record: LogRecord | None, owner: type) -> object:
        if record is None:
            return self
        try:
            return record.__dict__["processName"]
        except KeyError:
            raise AttributeError("processName") from None

    def __set__(self, record: LogRecord, value: object) -> None:
        record.__dict__["processName"] = self._name() if value == _UNNAMED else value

    def __delete__(self, record: LogRecord) -> None:
        if record.__dict__.pop("processName", self) is self:
            raise AttributeError("processName")


class RecordNames:
    """Have log records of this process bear its name.

    It is made before there are children: a forked one copies the pages it writes to.

    Args:
        name: returns the name; called for each record.
    """

    def __init__(self, name: Callable[[], str]) -> None:
        self._attribute = _Name(name)
        self._watcher = _Watcher(self._teach)

    def begin(self) -> None:
        """Begin now, or when `logging` is imported; repeatable."""
        if "logging" in sys.modules and self._teach(sys.modules["logging"]):
            return
        if self._watcher not in sys.meta_path:
            sys.meta_path.insert(0, self._watcher)

    def _teach(self, logging: ModuleType) -> bool:
        """Set the attribute; False where the module is not complete."""
        record = getattr(logging, "LogRecord", None)
        if record is None:
            return False
        if not isinstance(record.__dict__.get("processName"), _Name):
            record.processName = self._attribute
        return True


class _Watcher:
    """On `sys.meta_path` until `logging` is imported, whose end it tells."""

    def __init__(self, then: Callable[[ModuleType], object]) -> None:
        self._then = then

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Nothing but what others find for `logging`, with more to do at its end."""
        if name == "logging":
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
        """`logging` is there."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._then(module)


class _Loader:
    """The loader of `logging`, with more to do at the end."""

    def __init__(self, loader: Loader, watcher: _Watcher) -> None:
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
