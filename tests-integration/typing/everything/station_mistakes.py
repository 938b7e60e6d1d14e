"""What a type checker has to object to in a program on everything.  Never run."""

from __future__ import annotations

from station import Gauge, Station, double, explain, observe

import mp_multiprocessing as mp
from mp_managers import DictProxy, SyncManager


def processes(readings: mp.Queue[str], done: mp.Event) -> None:
    ctx = mp.get_context("spawn")
    # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
    ctx.Process(target=observe, args=(readings, mp.Lock(), done))
    # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
    mp.Process(target=observe, args=(mp.Queue[float](), mp.RLock(), done))
    # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
    mp.Process(target=double, args=("x",))
    # error: mypy[arg-type] pyright[reportArgumentType]
    mp.get_context("nope")
    # error: mypy[attr-defined] pyright[reportAttributeAccessIssue,reportUnknownMemberType]
    ctx.Lok()
    # error: mypy[arg-type] pyright[reportArgumentType]
    explain(ValueError())


def pools(pool: mp.Pool) -> None:
    # error: mypy[arg-type] pyright[reportArgumentType]
    pool.map(double, ["x"])
    # error: mypy[arg-type] pyright[reportAssignmentType]
    text: list[str] = pool.map(double, [1])
    # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
    mp.get_context("fork").Pool(2, double, ("x",))
    del text


def queues(queue: mp.Queue[int], simple: mp.SimpleQueue[bytes]) -> None:
    # error: mypy[arg-type] pyright[reportArgumentType]
    queue.put("x")
    # error: mypy[assignment] pyright[reportAssignmentType]
    text: str = simple.get()
    # error: mypy[assignment] pyright[reportAssignmentType]
    other: mp.Queue[str] = queue
    del text, other


def shared() -> None:
    # error: mypy[assignment] pyright[reportAttributeAccessIssue]
    mp.Value("i").value = "x"
    # error: mypy[assignment] pyright[reportAssignmentType]
    text: str = mp.Array("d", 3)[0]
    # error: mypy[arg-type] pyright[reportArgumentType]
    mp.Semaphore("2")
    # error: mypy[arg-type] pyright[reportArgumentType]
    mp.Condition(mp.Semaphore())
    del text


def managers(manager: SyncManager, station: Station) -> None:
    # error: mypy[arg-type] pyright[reportArgumentType]
    manager.list([1]).append("x")
    # error: mypy[dict-item] pyright[reportAssignmentType]
    table: DictProxy[str, int] = manager.dict({1: 1})
    # error: mypy[arg-type] pyright[reportArgumentType]
    station.create(Gauge, mean="high")
    # error: mypy[attr-defined] pyright[reportAttributeAccessIssue,reportUnknownMemberType]
    station.create(Gauge).write()
    # error: mypy[arg-type] pyright[reportArgumentType]
    station.create(Gauge).read(hours="two")
    # error: mypy[arg-type] pyright[reportArgumentType]
    mp.Manager().Semaphore("2")
    del table
