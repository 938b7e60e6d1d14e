"""What a type checker has to object to in a program on mp-pool.  Never run."""

from __future__ import annotations

from crew import begin, see, spell, square

from mp_pool import AsyncResult, Executor, Pool, ThreadPool
from mp_process import Process, SpawnProcess, get_context, set_start_method


def processes() -> None:
    # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
    Process(target=spell, args=("x", 1))
    # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
    Process(target=spell, args=(1,))
    # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
    SpawnProcess(target=square, args=("x",))
    # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
    get_context("spawn").Process(target=square, args=("x",))
    # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]
    Process(target=1)
    # error: mypy[arg-type] pyright[reportArgumentType]
    get_context("thread")
    # error: mypy[arg-type] pyright[reportArgumentType]
    set_start_method("thread")
    process = Process(target=square, args=(1,))
    # error: mypy[misc] pyright[reportAttributeAccessIssue]
    process.exitcode = 0
    # error: mypy[arg-type] pyright[reportArgumentType]
    process.join("a minute")


def tasks(pool: Pool) -> None:
    # error: mypy[arg-type] pyright[reportArgumentType]
    pool.map(square, ["x"])
    # error: mypy[arg-type] pyright[reportArgumentType]
    pool.apply(spell, ("x", 1))
    # error: mypy[arg-type] pyright[reportArgumentType]
    pool.starmap(spell, [("x", 1)])
    # error: mypy[arg-type] pyright[reportAssignmentType]
    words: list[str] = pool.map(square, [1])
    # error: mypy[arg-type] pyright[reportAssignmentType]
    result: AsyncResult[str] = pool.apply_async(square, (1,))
    # error: mypy[misc] pyright[reportArgumentType]
    pool.apply_async(square, (1,), callback=see)
    # error: mypy[arg-type] pyright[reportArgumentType]
    pool.imap(square, 5)
    del words, result


def pools() -> None:
    # error: mypy[call-overload] pyright[reportArgumentType]
    Pool("2")
    # error: mypy[arg-type] pyright[reportArgumentType]
    Pool(2, begin, ("x",))
    # error: mypy[call-overload] pyright[reportArgumentType]
    Pool(context="fork")
    # error: mypy[call-overload] pyright[reportCallIssue]
    ThreadPool(maxtasksperchild=3)


def futures(executor: Executor) -> None:
    # error: mypy[arg-type] pyright[reportArgumentType]
    executor.submit(spell, 1, 2)
    # error: mypy[assignment] pyright[reportAssignmentType]
    text: str = executor.submit(square, 1).result()
    del text


def absent() -> None:
    # This layer is not installed here.
    # error: mypy[import-not-found] pyright[reportMissingImports]
    import mp_sync

    # error: pyright[reportUnknownMemberType]
    mp_sync.Lock()
