"""A crew of workers: mp-process and mp-pool as a program uses them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Literal, assert_type

import mp_pool
from mp_connection import Connection, Pipe
from mp_pool import (
    AsyncResult,
    BrokenPoolError,
    Executor,
    IMapIterator,
    MemoryLimitError,
    Pool,
    PoolStats,
    PoolTerminatedError,
    RemoteTraceback,
    ResultError,
    TaskCancelledError,
    TaskExitError,
    TaskFailedError,
    TaskLoadError,
    TaskTimeoutError,
    ThreadPool,
    WorkerDiedError,
    WorkerState,
    WorkerStats,
    __version__ as pool_version,
    worker_state,
)
from mp_process import (
    BaseContext,
    BaseProcess,
    DefaultContext,
    ForkContext,
    ForkProcess,
    ForkServerContext,
    ForkServerError,
    ForkServerProcess,
    LogForwarding,
    ParentProcess,
    Process,
    ProcessError,
    SpawnContext,
    SpawnProcess,
    TimeoutError,
    UnpicklableError,
    __version__ as process_version,
    active_children,
    cpu_count,
    current_process,
    ensure_forkserver,
    forward_logs,
    freeze_support,
    get_all_start_methods,
    get_context,
    get_executable,
    get_start_method,
    parent_process,
    set_executable,
    set_forkserver_preload,
    set_start_method,
)


def greet(connection: Connection[str, str], times: int) -> None:
    logging.getLogger("crew").info("greeting")
    connection.send(connection.recv(timeout=60) * times)


class Sailor(SpawnProcess):
    """A process class of one's own, with arguments that are checked."""

    def __init__(self, connection: Connection[str, str]) -> None:
        super().__init__(target=greet, args=(connection, 2), name="sailor")

    def run(self) -> None:
        parent = parent_process()
        assert_type(parent, ParentProcess | None)
        assert parent is not None
        super().run()


def greetings() -> list[str]:
    found: list[str] = []
    kinds: list[type[BaseProcess]] = [ForkProcess, ForkServerProcess, Process]
    ours: Connection[str, str]
    theirs: Connection[str, str]
    ours, theirs = Pipe()
    with ours, theirs:
        crew = [kind(target=greet, args=(theirs, 1)) for kind in kinds]
        for process in [*crew, Sailor(theirs)]:
            process.start()
            ours.send("ahoy")
            found.append(ours.recv(timeout=60))
            process.join(60)
            assert_type(process.exitcode, int | None)
            assert process.exitcode == 0, process.startup_error
    return found


async def in_an_event_loop() -> None:
    process = Process(target=print, args=("in a child",), daemon=True)
    process.start()
    await process.join_async(timeout=60)


def contexts() -> None:
    default: BaseContext = DefaultContext()
    bound: list[BaseContext] = [ForkContext(), SpawnContext(), ForkServerContext()]
    methods: list[Literal["fork", "spawn", "forkserver"] | None]
    methods = [context.get_start_method() for context in bound]
    assert methods == get_all_start_methods()
    assert default.cpu_count() == cpu_count()
    context = get_context("spawn")
    assert context.Process is SpawnProcess
    assert_type(current_process(), BaseProcess)
    assert_type(active_children(), list[BaseProcess])
    set_executable(Path(sys.executable))
    assert Path(get_executable()) == Path(sys.executable)
    set_forkserver_preload(["json"], on_error="fail")
    ensure_forkserver()
    set_start_method("fork")
    assert get_start_method() == "fork"


def square(number: int) -> int:
    return number * number


def spell(number: int, text: str) -> list[str]:
    return [text] * number


def begin(number: int) -> None:
    state = worker_state()
    assert_type(state, WorkerState)
    state.begun = number


def begun() -> int:
    number: int = worker_state().begun
    return number


def see(results: list[int]) -> None:
    print("seen", results)


def tasks() -> None:
    with Pool(2, begin, (7,)) as pool:
        assert_type(pool.map(square, range(5), timeout=60, retries=1), list[int])
        assert_type(pool.starmap(spell, [(2, "x")]), list[list[str]])
        assert_type(pool.apply(spell, (1,), {"text": "y"}), list[str])
        assert pool.apply(begun) == 7
        result = pool.map_async(square, [3], callback=see)
        assert_type(result, AsyncResult[list[int]])
        results = pool.imap(square, iter(range(3)), buffersize=2)
        assert_type(results, IMapIterator[int])
        print(result.get(timeout=60), [*results])
        stats = pool.stats()
        assert_type(stats, PoolStats)
        assert_type(stats.workers[0], WorkerStats)
    with ThreadPool(2) as threads:
        assert_type(sorted(threads.imap_unordered(square, [1, 2])), list[int])


async def tasks_in_an_event_loop() -> list[int]:
    with Pool("available", max_rss=1 << 40) as pool:
        first = await pool.apply_async(square, (2,))
        return [first, *[number async for number in pool.imap(square, [3, 4])]]


def futures() -> None:
    with Executor(1) as executor:
        future = executor.submit(spell, 1, text="z")
        assert_type(future, Future[list[str]])
        print(future.result(60))
        assert_type(executor.map(square, [1], timeout=60), Iterator[int])


def explain(error: ProcessError) -> str:
    match error:
        case WorkerDiedError(pid=pid, exitcode=code, function=function):
            assert_type((pid, code), tuple[int | None, int | None])
            return f"{function} died with its worker"
        case TaskTimeoutError(function=function, task=task):
            assert_type(task, int | None)
            return f"{function} took too long"
        case TaskExitError(code=status):
            assert_type(status, int | str | None)
            return "left"
        case TaskFailedError(kind=kind, text=text) | ResultError(path=kind, exc=text):
            assert_type((kind, text), tuple[str, str])
            return text
        case RemoteTraceback(tb=text):
            return text
        case UnpicklableError(path=path):
            return path
        case MemoryLimitError() | TaskLoadError() | TaskCancelledError():
            return "its own fault"
        case BrokenPoolError() | PoolTerminatedError() | ForkServerError():
            return "not its fault"
        case TimeoutError():
            return "too late"
    return str(error)


def leave(status: int) -> None:
    sys.exit(status)


#: The layers above share the classes of the first.
SAME: list[tuple[type[ProcessError], type[ProcessError]]] = [
    (mp_pool.ProcessError, ProcessError),
    (mp_pool.TimeoutError, TimeoutError),
    (mp_pool.UnpicklableError, UnpicklableError),
]


def failing() -> str:
    with Pool(1) as pool:
        try:
            pool.apply(leave, (3,))
        except ProcessError as error:
            return explain(error)
    return "did not fail"


def main() -> None:
    freeze_support()
    logging.basicConfig(format="%(processName)s %(message)s", level="INFO")
    contexts()
    with forward_logs() as forwarding:
        assert_type(forwarding, LogForwarding)
        print(greetings(), process_version == pool_version)
    asyncio.run(in_an_event_loop())
    tasks()
    print(asyncio.run(tasks_in_an_event_loop()))
    futures()
    print(failing(), all(one is other for one, other in SAME))


if __name__ == "__main__":
    main()
