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

from mp_connection.lifecycle import ImportWatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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
        self._watcher = ImportWatcher("logging", self._teach)

    def begin(self) -> None:
        """Begin now, or when `logging` is imported; repeatable."""
        self._watcher.begin()

    def _teach(self, logging: ModuleType) -> bool:
        """Set the attribute; False where the module is not complete."""
        record = getattr(logging, "LogRecord", None)
        if record is None:
            return False
        if not isinstance(record.__dict__.get("processName"), _Name):
            record.processName = self._attribute
        return True
