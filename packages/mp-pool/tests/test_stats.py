"""Statistics and trace files."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_pool import Pool, PoolStats, ThreadPool, WorkerDiedError

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed


def settled(pool: Pool, done: int) -> PoolStats:
    """The statistics when so many tasks are done and none runs."""
    deadline = time.monotonic() + WAIT
    while True:
        stats = pool.stats()
        if stats.done >= done and not stats.running:
            return stats
        assert time.monotonic() < deadline, stats
        time.sleep(0.002)


def use(pool: Pool) -> int:
    """Do one thing of each kind; how many tasks that were."""
    for number in range(5):
        pool.apply(targets.square, (number,))
    pool.map(targets.square, range(20), 3)
    pool.apply_async(targets.nap, (0.05,)).get(WAIT)
    list(pool.imap(targets.square, range(7)))
    with pytest.raises(ValueError, match="reason"):
        pool.apply(targets.fail, ("reason",))
    with pytest.raises(ValueError, match="1"):
        pool.map(targets.fail_odd, range(4), 4)
    return 5 + 20 + 1 + 7 + 1 + 4


def test_stats_of_processes(make_pool: MakePool) -> None:
    pool = make_pool(2)
    stats = settled(pool, use(pool))
    assert stats.done == 38
    assert stats.failed == 3
    assert stats.queued == 0
    assert stats.restarts == 0
    assert 0.05 <= stats.busy_seconds < WAIT
    assert 300 < stats.bytes < 100_000
    assert len(stats.workers) == 2
    assert sum(worker.done for worker in stats.workers) == 38
    assert {worker.pid for worker in stats.workers} == {w.pid for w in processes(pool)}
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.done = 0  # type: ignore[misc]
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.kill_self)
    settled(pool, 38)
    pool.close()
    pool.join()
    after = pool.stats()
    assert (after.done, after.failed, after.workers) == (38, 3, ())
    assert after.restarts == 1


def processes(pool: Pool) -> list[Any]:
    return list(pool._pool)


def test_stats_while_tasks_run(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(1)
    begun, go = str(tmp_path / "begun"), str(tmp_path / "go")
    result = pool.apply_async(targets.announce_and_wait, (begun, go))
    waiting = [pool.apply_async(targets.blob, (i,)) for i in range(30)]
    targets.wait_for(begun)
    stats = pool.stats()
    assert stats.running == 1
    assert stats.workers[0].busy
    assert stats.queued <= 30
    Path(go).touch()
    result.get(WAIT)
    for each in waiting:
        each.get(WAIT)
    assert settled(pool, 31).done == 31


def test_stats_of_threads() -> None:
    with ThreadPool(2) as pool:
        stats = settled(pool, use(pool))
        assert (stats.done, stats.failed) == (38, 3)
        assert len(stats.workers) == 2
    pool.join()


def test_trace(make_pool: MakePool, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("what was there before")
    pool = make_pool(2, trace=path)
    pids = {worker.pid for worker in processes(pool)}
    use(pool)
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.kill_self)
    pool.close()
    pool.join()
    events = json.loads(path.read_text())
    tasks = [event for event in events if event["ph"] == "X"]
    assert len(tasks) == 38
    assert sum(event["name"].endswith("targets.nap") for event in tasks) == 1
    assert all(event["pid"] == os.getpid() for event in events)
    for event in tasks:
        assert event["dur"] >= 0
        assert event["ts"] / 1e6 <= time.monotonic()
        if event["name"].endswith("targets.nap"):
            assert event["dur"] >= 50_000
    (death,) = [event for event in events if event["ph"] == "i"]
    assert "kill_self" in death["name"]
    names = [event for event in events if event["name"] == "thread_name"]
    assert 2 <= len(names) <= 3  # the last may have had no reason to start
    assert pids <= {event["tid"] for event in names}
    assert all("PoolWorker-" in event["args"]["name"] for event in names)


def test_trace_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Pool(1, trace=tmp_path / "nowhere" / "trace")
