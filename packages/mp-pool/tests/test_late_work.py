"""Work that comes when a closed pool has told its workers to end already."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mp_pool_insides as insides
import mp_pool_targets as targets
import pytest

from mp_pool import Pool, TaskLoadError
from mp_pool._desk import Desk
from mp_pool._scheduler import CLOSING
from mp_testing import until

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed


def close(pool: Pool) -> None:
    """Close a pool, and wait until its thread has seen to it."""
    pool.close()
    until(lambda: insides.manager_of(pool)._scheduler.phase == CLOSING)


class LateToRefuse:
    """Does not unpickle in a worker, and says so only when a file is there.

    Args:
        path: the file.
        again: called when it is pickled for the second time.
    """

    def __init__(self, path: str, again: Callable[[], object] = int) -> None:
        self.path = path
        self.again = again
        self.pickled = 0

    def __reduce__(self) -> tuple[object, ...]:
        self.pickled += 1
        if self.pickled > 1:
            self.again()
        return targets.refuse_when_there, (self.path,)


def run_beside(bad: LateToRefuse, pool: Pool, directory: Path) -> None:
    """Close a pool while it unpickles a map with *bad* in it: all others are run."""
    written = directory / "written"
    items: list[Any] = [(str(written), thing) for thing in ("a", bad, "c")]
    result = pool.map_async(targets.write_item, items, 3)
    close(pool)
    Path(bad.path).touch()
    with pytest.raises(TaskLoadError):
        result.get(WAIT)
    pool.join()
    # Two workers have no order.
    assert written.read_text() in (["ac"] if pool._processes == 1 else ["ac", "ca"])


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_beside_one_that_does_not_unpickle_are_run(
    make_pool: MakePool, tmp_path: Path, workers: int
) -> None:
    run_beside(LateToRefuse(str(tmp_path / "go")), make_pool(workers), tmp_path)


def test_tasks_that_are_pickled_again_when_all_workers_are_gone_are_run(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1)
    fleet = insides.manager_of(pool)._fleet
    bad = LateToRefuse(str(tmp_path / "go"), lambda: until(lambda: not fleet))
    run_beside(bad, pool, tmp_path)
    assert bad.pickled == 2


def test_pool_that_is_terminated_waits_for_no_tasks_to_be_pickled_again(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1)
    go, pickled = tmp_path / "go", tmp_path / "pickled"
    ended = False
    manager = insides.manager_of(pool)

    def again() -> None:
        pickled.touch()
        until(lambda: ended)

    result = pool.map_async(targets.identity, [LateToRefuse(str(go), again), 1], 2)
    close(pool)
    go.touch()
    until(pickled.exists)
    pool.terminate()
    manager.thread.join(WAIT)
    assert not manager.thread.is_alive()
    ended = True
    pool.join()
    assert not result.successful()


@pytest.mark.parametrize("light", [False, True])
def test_call_that_another_thread_closes_the_pool_in_is_carried_out(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, light: bool
) -> None:
    """It has looked whether the pool is open, and is not handed over yet."""
    pool = make_pool(1)
    worker = pool.apply(targets.pid)
    pool.map(targets.square, [])  # the worker was given back
    desk = insides.desk_of(pool)
    way = "post_work" if light else "post"
    hand_over = getattr(Desk, way)

    def close_first(self: Desk, request: Any) -> None:
        monkeypatch.undo()
        close(pool)
        hand_over(self, request)

    os.kill(worker, signal.SIGSTOP)  # else it could end before the call is there
    try:
        monkeypatch.setattr(Desk, way, close_first)
        if light:
            # One with a callback is not sent to an idle worker by its caller.
            result = pool.apply_async(targets.square, (3,), callback=str)
            assert result.get(WAIT) == 9
        else:
            assert pool.map_async(targets.square, [3]).get(WAIT) == [9]
    finally:
        os.kill(worker, signal.SIGCONT)
    assert not desk.requests
    pool.join()


def test_imap_that_another_thread_closes_the_pool_in_is_carried_out(
    make_pool: MakePool,
) -> None:
    pool = make_pool(1)
    worker = pool.apply(targets.pid)
    os.kill(worker, signal.SIGSTOP)  # else it could end before the tasks are there
    try:
        results = pool.imap(targets.square, insides.Closing(lambda: close(pool)))
        assert [results.next(WAIT) for _ in range(3)] == [1, 4, 9]
    finally:
        os.kill(worker, signal.SIGCONT)
    pool.join()
