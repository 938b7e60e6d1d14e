"""Short tasks travel together, which nobody but a clock may notice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mp_pool_insides as insides
import mp_pool_targets as targets
import pytest

from mp_pool import (
    AsyncResult,
    Pool,
    TaskCancelledError,
    TaskLoadError,
    WorkerDiedError,
)
from mp_pool._packs import MOST_TASKS, Calls, Pack
from mp_process import get_context
from mp_testing import until

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of packs that are sent; every worker counts as quick."""
    sizes: list[int] = []
    packed = Pack.packed

    def note(self: Pack, serial: int) -> bytes:
        if self.tasks > 1:
            sizes.append(self.tasks)
        return packed(self, serial)

    monkeypatch.setattr(Pack, "packed", note)
    monkeypatch.setattr("mp_pool._lane.Lane.pace", lambda _: 100)
    return sizes


@contextmanager
def held(pool: Pool, tmp_path: Path) -> Iterator[None]:
    """Both workers are busy, so that what is submitted meanwhile waits together."""
    start = str(tmp_path / f"start{len(list(tmp_path.iterdir()))}")
    blockers: list[AsyncResult[Any]] = []
    for _ in range(2):
        # With a callback it is not the caller who sends it to an idle worker: the pool
        # knows that the worker is busy.
        blocker = pool.apply_async(
            targets.wait_for, (start,), callback=targets.nothing_of
        )
        blockers.append(blocker)
    yield
    Path(start).touch()
    for blocker in blockers:
        blocker.get(WAIT)


def submit(pool: Pool, function: Any, items: list[Any]) -> list[AsyncResult[Any]]:
    return [pool.apply_async(function, item) for item in items]


def test_short_tasks_travel_together(pool: Pool, batches: list[int]) -> None:
    squares = [i * i for i in range(2000)]
    assert pool.map(targets.square, range(2000), 1) == squares
    assert max(batches) == 100
    assert sum(batches) > 1000
    assert list(pool.imap(targets.square, range(2000))) == squares
    results = submit(pool, targets.square, [(i,) for i in range(2000)])
    assert [result.get(WAIT) for result in results] == squares


def test_pace_is_found_out(pool: Pool) -> None:
    """Without the help of a fixture: by how long tasks took."""
    pool.map(targets.square, range(3000), 1)
    workers = insides.manager_of(pool)._scheduler.workers
    assert any(1 < worker.pace <= MOST_TASKS for worker in workers.values())
    lanes = list(insides.manager_of(pool)._fleet)
    pool.map(targets.nap, [0.01] * 30, 1)
    assert {lane.pace() for lane in lanes} == {1}


@pytest.mark.parametrize("place", [0, 3, 40, 99])
def test_nothing_waits_for_a_long_task(
    pool: Pool, batches: list[int], tmp_path: Path, place: int
) -> None:
    """Neither what was done before it in its batch, nor what comes behind it."""
    go, ran = str(tmp_path / "go"), tmp_path / "ran"
    items: list[Any] = [(str(ran),)] * 100
    with held(pool, tmp_path):
        results = submit(pool, targets.write, items[:place])
        long = pool.apply_async(targets.wait_for, (go,))
        results += submit(pool, targets.write, items[place:])
    for result in results:
        result.get(WAIT)
    assert not long.ready()
    assert ran.read_text() == "x" * 100
    Path(go).touch()
    assert long.get(WAIT)
    assert batches


def test_worker_does_not_answer_what_others_have(
    pool: Pool, batches: list[int], tmp_path: Path
) -> None:
    """Behind the cut is a task whose argument does not unpickle: with nobody."""
    go, ran = str(tmp_path / "go"), tmp_path / "ran"
    scheduler = insides.manager_of(pool)._scheduler
    for worker in scheduler.workers.values():
        worker.pace = 100
    with held(pool, tmp_path):
        submit(pool, targets.square, [(1,), (2,)])  # until one has run no more is sent
        long = pool.apply_async(targets.wait_for, (go,))
        bad = pool.apply_async(targets.identity, (targets.Unloadable(),))
        others = submit(pool, targets.write, [(str(ran),)] * 20)
    with pytest.raises(TaskLoadError):
        bad.get(WAIT)
    for result in others:
        result.get(WAIT)
    Path(go).touch()
    assert long.get(WAIT)
    pool.close()
    until(lambda: not scheduler.workers)
    pool.join()
    assert ran.read_text() == "x" * 20
    assert max(batches) >= 22


def test_task_that_others_have_is_not_taken_by_a_death() -> None:
    """A worker claims a task, and sees only then that its pack was cut before it."""
    with Pool(1, context=get_context("fork")) as pool:
        assert pool.apply(targets.square, (3,)) == 9
        (lane,) = insides.manager_of(pool)._fleet
        job = Calls([(AsyncResult(), targets.square, None, b"", None, None)] * 2, post)
        pack = job.pack()
        pack.serial = 77
        lane._end.progress.begin(77, 1)  # the worker itself is idle
        assert lane.begun(pack) == 1
        rest = pack.cut(1)
        assert lane.begun(pack) is None
        assert (pack.count, rest.count) == (1, 1)
    pool.join()


def post(*_: object) -> None:
    """Calls no callbacks."""


def test_two_long_tasks_in_a_batch(
    pool: Pool, batches: list[int], tmp_path: Path
) -> None:
    """Each of them revokes what is behind it; all of them come to run."""
    go = str(tmp_path / "go")
    with held(pool, tmp_path):
        half = submit(pool, targets.square, [(i,) for i in range(20)])
        long = submit(pool, targets.announce_and_wait, [(go + ".begun", go)])
        half += submit(pool, targets.square, [(i,) for i in range(20)])
        long += submit(pool, targets.touch_and_return, [(go,)])
    for result in [*half, *long]:
        result.get(WAIT)
    assert batches


def test_death_in_a_batch_takes_one_task(
    pool: Pool, batches: list[int], tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with held(pool, tmp_path):
        results = submit(
            pool, targets.write_and_die_at, [((i, 37, str(ran)),) for i in range(100)]
        )
    for number, result in enumerate(results):
        if number == 37:
            with pytest.raises(WorkerDiedError):
                result.get(WAIT)
        else:
            assert result.get(WAIT) == number
    assert ran.read_text() == "x" * 100
    assert batches


def test_failures_in_a_batch_are_their_own(
    pool: Pool, batches: list[int], tmp_path: Path
) -> None:
    with held(pool, tmp_path):
        results = submit(pool, targets.fail_odd, [(i,) for i in range(300)])
        bad = submit(pool, targets.make_unpicklable, [()] * 3)
        large = submit(pool, targets.blob, [(70_000,)] * 3)
    for number, result in enumerate(results):
        if number % 2:
            with pytest.raises(ValueError, match=str(number)):
                result.get(WAIT)
        else:
            assert result.get(WAIT) == number
    for result in bad:
        result.wait(WAIT)
        assert not result.successful()
    assert [len(result.get(WAIT)) for result in large] == [70_000] * 3
    assert batches


def test_one_worker_needs_no_batches(make_pool: MakePool, batches: list[int]) -> None:
    """It keeps the order, whatever is taken back."""
    pool = make_pool(1)
    assert pool.map(targets.square, range(100), 1) == [i * i for i in range(100)]
    assert not batches


def test_cancelling_in_batches(pool: Pool, batches: list[int], tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for _ in range(10):
        results = submit(pool, targets.write, [(str(ran),)] * 60)
        for result in results[::7]:
            result.cancel()
        for number, result in enumerate(results):
            result.wait(WAIT)
            assert result.successful() or number % 7 == 0
    assert pool.map(targets.square, range(50), 1) == [i * i for i in range(50)]


def test_worker_that_was_revoked_is_led_by_a_caller_next(
    pool: Pool, batches: list[int], tmp_path: Path
) -> None:
    """It says that it dropped the rest: to the pool, and never to that caller."""
    for number in range(10):
        go = str(tmp_path / f"go{number}")
        with held(pool, tmp_path):
            results = submit(pool, targets.square, [(i,) for i in range(9)])
            long = pool.apply_async(targets.wait_for, (go,))
            results += submit(pool, targets.square, [(i,) for i in range(9)])
        for result in results:
            result.get(WAIT)
        Path(go).touch()
        long.wait(WAIT)
        for each in range(5):
            assert pool.apply(targets.square, (each,)) == each * each
    assert batches


def test_task_of_a_batch_that_kills_its_receivers(
    pool: Pool, batches: list[int], tmp_path: Path
) -> None:
    """What was done before it is kept, and what comes behind it runs."""
    items: list[Any] = [*range(20), targets.KillsReader(), *range(20)]
    with held(pool, tmp_path):
        results = submit(pool, targets.identity, [(item,) for item in items])
    with pytest.raises(WorkerDiedError, match="receiving"):
        results.pop(20).get(WAIT)
    assert [result.get(WAIT) for result in results] == [*range(20), *range(20)]
    assert batches


def test_cancelling_what_runs_in_a_batch(
    pool: Pool, batches: list[int], tmp_path: Path
) -> None:
    """And what waits behind it: neither takes another along, and nothing runs twice."""
    begun, ran = str(tmp_path / "begun"), tmp_path / "ran"
    go = str(tmp_path / "never")
    with held(pool, tmp_path):
        results = submit(pool, targets.write, [(str(ran),)] * 10)
        long = pool.apply_async(targets.announce_and_wait, (begun, go))
        unwanted = submit(pool, targets.wait_for, [(go,)] * 3)
        results += submit(pool, targets.write, [(str(ran),)] * 10)
        for result in unwanted:
            assert result.cancel()
    targets.wait_for(begun)
    assert long.cancel()
    for result in [long, *unwanted]:
        with pytest.raises(TaskCancelledError):
            result.get(WAIT)
    for result in results:
        result.get(WAIT)
    assert ran.read_text() == "x" * 20
    assert pool.map(targets.square, range(50), 1) == [i * i for i in range(50)]
