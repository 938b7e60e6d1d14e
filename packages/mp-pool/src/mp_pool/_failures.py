"""What a worker says of exceptions."""

from __future__ import annotations

from mp_connection.errors import UnpicklableError
from mp_connection.lean import dumps, follow_reducers
from mp_pool._wire import (
    FAILED,
    PROTOCOL,
    UNLOADED,
    Notice,
    qualified_name,
    safe_repr,
    undeliverable,
)
from mp_pool.errors import ResultError, TaskExitError, TaskLoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

follow_reducers(globals())

#: Steps of a chunk, for what an exception means.
LOADING, RUNNING, PICKLING = range(3)

#: Characters of a result that an error shows.
_SHOWN = 500

#: Modules whose entries a traceback does not begin with.
_OWN = ("mp_pool._worker", "mp_pool._tasks", "mp_pool._pack_runner", "mp_pool._trace")


def failure(
    step: int, index: int, error: BaseException, value: object = None
) -> Notice:
    """The notice of a task that failed, or of a chunk that did not load.

    Args:
        step: where it was.
        index: of the task.
        error: what was raised.
        value: what could not be pickled.
    """
    kind = UNLOADED if step == LOADING else FAILED
    if not isinstance(error, Exception):
        return notice_of(kind, index, task_exit(error), error)
    if step == LOADING:
        text = f"{qualified_name(type(error))}: {error}"
        load_error = TaskLoadError(
            "the function or the arguments of a task could not be unpickled in the"
            f" worker: {text}"
        )
        return notice_of(kind, index, load_error, error)
    if step == PICKLING:
        path = error.path if isinstance(error, UnpicklableError) else ""
        text = f"the result of a task cannot be sent: {error}"
        bad = ResultError(text, path, safe_repr(error), safe_repr(value)[:_SHOWN])
        return notice_of(kind, index, bad, error)
    return notice_of(kind, index, error, error)


def task_exit(error: BaseException) -> TaskExitError:
    """What the caller gets in place of what would end a process."""
    code: object = None
    if isinstance(error, SystemExit):
        code = error.code
        if type(code) not in (int, str, type(None)):
            code = safe_repr(code)
    text = f"a task raised {safe_repr(error)}, which would have ended its process"
    return TaskExitError(text, qualified_name(type(error)), code)  # type: ignore[arg-type]


def notice_of(
    kind: str, index: int, error: BaseException, origin: BaseException
) -> Notice:
    """The notice of an exception.

    Args:
        kind: of the notice.
        index: of the task.
        error: what the caller is to get.
        origin: what was raised, which the traceback shows.
    """
    name, text = qualified_name(type(error)), safe_repr(error)
    try:
        pickled = dumps(error, PROTOCOL)
    except Exception as problem:
        why = f"its pickling raised {safe_repr(problem)}"
        pickled = dumps(undeliverable(name, text, why), PROTOCOL)
    return Notice(kind, index, pickled, name, text, _format(origin))


def _format(error: BaseException) -> str:
    """The traceback of an exception, without the entries of the worker's own code."""
    from traceback import format_exception

    entries: TracebackType | None = error.__traceback__
    while entries is not None and entries.tb_frame.f_globals["__name__"] in _OWN:
        entries = entries.tb_next
    try:
        return "".join(format_exception(type(error), error, entries))
    except Exception:
        return f"{safe_repr(error)} (its traceback cannot be formatted)\n"
