"""What can go wrong in a pool, one class for each thing that a caller may tell apart.

All of them pickle with their attributes: a task may itself use a pool, and fail.
"""

from __future__ import annotations

from mp_connection.errors import (
    ProcessError as ProcessError,
    TimeoutError as TimeoutError,
    UnpicklableError as UnpicklableError,
)

__all__ = (
    "BrokenPoolError",
    "MemoryLimitError",
    "PoolTerminatedError",
    "ProcessError",
    "RemoteTraceback",
    "ResultError",
    "TaskCancelledError",
    "TaskExitError",
    "TaskFailedError",
    "TaskLoadError",
    "TaskTimeoutError",
    "TimeoutError",
    "UnpicklableError",
    "WorkerDiedError",
)


class WorkerDiedError(ProcessError):
    """A worker process ended while it ran a task.  Only that task is lost.

    Attributes:
        pid: the process identifier of the worker.
        exitcode: as of `Process.exitcode`: negative for a signal.
        function: the qualified name of the function that the task called.
        task: the index of the task among those of a `map`; None for `apply`.
        traceback: what the worker's `faulthandler` wrote when it crashed; else empty.
    """

    def __init__(
        self,
        message: str = "",
        pid: int | None = None,
        exitcode: int | None = None,
        function: str = "",
        task: int | None = None,
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode
        self.function = function
        self.task = task
        self.traceback = traceback


class BrokenPoolError(ProcessError):
    """The pool cannot have working workers, and says why; it runs nothing any more.

    The cause is the exception of the initializer, where that is the reason.
    """


class PoolTerminatedError(ProcessError):
    """The pool was terminated before the task was complete."""


class TaskTimeoutError(ProcessError):
    """A task took longer than it might; its worker was ended.

    Attributes:
        function: the qualified name of the function.
        task: the index of the task among those of a `map`; None for `apply`.
    """

    def __init__(
        self, message: str = "", function: str = "", task: int | None = None
    ) -> None:
        super().__init__(message)
        self.function = function
        self.task = task


class MemoryLimitError(ProcessError):
    """The worker of a task used more memory than it might, and was ended.

    Attributes:
        function: the qualified name of the function.
        task: the index of the task among those of a `map`; None for `apply`.
    """

    def __init__(
        self, message: str = "", function: str = "", task: int | None = None
    ) -> None:
        super().__init__(message)
        self.function = function
        self.task = task


class TaskCancelledError(ProcessError):
    """A call was cancelled before it was complete."""


class TaskExitError(ProcessError):
    """A task raised what would have ended a process of its own.

    That is SystemExit, by ``sys.exit``; KeyboardInterrupt; or another exception that
    is no `Exception`.  The worker goes on.

    Attributes:
        kind: the name of the exception's class.
        code: of a SystemExit, its code; the ``repr`` if it is no int and no str.
    """

    def __init__(
        self, message: str = "", kind: str = "", code: int | str | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class TaskFailedError(ProcessError):
    """A task raised an exception that itself cannot be brought to the caller.

    The cause is the traceback in the worker.

    Attributes:
        kind: the qualified name of the exception's class.
        text: its ``repr``.
    """

    def __init__(self, message: str = "", kind: str = "", text: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.text = text


class TaskLoadError(ProcessError):
    """The function or the arguments of a task could not be unpickled in the worker."""


class ResultError(ProcessError):
    """The result of a task could not be pickled in the worker, or unpickled here.

    Attributes:
        path: where the culprit sits in the result, as an expression such as
            ``result[0].callback``; empty if that is not known.
        exc: the ``repr`` of the exception that was raised.
        value: the beginning of the ``repr`` of the result, if it was not pickled.
    """

    def __init__(
        self, message: str = "", path: str = "", exc: str = "", value: str = ""
    ) -> None:
        super().__init__(message)
        self.path = path
        self.exc = exc
        self.value = value


class RemoteTraceback(ProcessError):
    """The cause of an exception that a task raised: where it was in the worker.

    Attributes:
        tb: the text of the traceback.
    """

    def __init__(self, tb: str = "") -> None:
        super().__init__(tb)
        self.tb = tb

    def __str__(self) -> str:
        return f"in the worker process\n\n{self.tb}"


for _class in (
    WorkerDiedError,
    BrokenPoolError,
    PoolTerminatedError,
    TaskTimeoutError,
    MemoryLimitError,
    TaskCancelledError,
    TaskExitError,
    TaskFailedError,
    TaskLoadError,
    ResultError,
    RemoteTraceback,
):
    # Pickles of errors cross versions: they name the public path.
    _class.__module__ = "mp_pool"
