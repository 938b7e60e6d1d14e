"""What is said of workers that ended."""

from __future__ import annotations

from mp_pool._result import raised_there
from mp_pool.errors import WorkerDiedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_pool._jobs import Chunk
    from mp_pool._lane import Lane
    from mp_process.process import BaseProcess

#: The exit code by which mp-process says that it does not know.
_EXIT_UNKNOWN = 255


def ended_how(process: BaseProcess) -> str:
    """How a process ended, in words that follow its name."""
    from signal import Signals

    code = process.exitcode
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def ended_by_itself(lane: Lane) -> bool:
    """Whether a worker ended with an exit code of its own, and not by a signal."""
    assert lane.process is not None
    code = lane.process.exitcode
    known = code is not None and code != _EXIT_UNKNOWN
    return lane.refusal is not None or (known and code is not None and code >= 0)


def why_not_ready(lane: Lane) -> tuple[str, BaseException | None]:
    """Why a worker ended before it was ready: in words, and by an exception."""
    assert lane.process is not None
    if lane.refusal is not None:
        text = f"the initializer of a worker raised {lane.refusal.text}"
        return text, raised_there(lane.refusal)
    if lane.silent:
        return "a worker gave no sign of life after it was forked", None
    text = f"a worker {ended_how(lane.process)} before it was ready"
    details = lane.process.startup_error
    return (f"{text}:\n{details}" if details else text), None


def death_of(lane: Lane, chunk: Chunk) -> tuple[int, WorkerDiedError]:
    """Which task of its job a worker took with it, and the error for it."""
    process, index = lane.process, lane.begun(chunk)
    assert process is not None
    task = chunk.first + (chunk.done if index is None else index)
    what = "ran" if index is not None else "was receiving, as others had before,"
    text = (
        f"worker process {process.pid} ({process.name}) {ended_how(process)} while"
        f" it {what} {chunk.job.describe(task)}"
    )
    crash = lane.crash()
    if crash:
        text += f"\n\n{crash.rstrip()}"
    number = None if chunk.job.single else task
    pid, code, name = process.pid, process.exitcode, chunk.job.name_of(task)
    return task, WorkerDiedError(text, pid, code, name, number, crash)
