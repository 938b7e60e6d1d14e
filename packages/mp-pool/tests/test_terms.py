"""Time limits, cancellation, retries, and what is set for each worker."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_pool import (
    MemoryLimitError,
    Pool,
    TaskCancelledError,
    TaskTimeoutError,
    ThreadPool,
    WorkerDiedError,
    worker_state,
)
from mp_pool._platform import available_cpus
from mp_process.process import BaseProcess

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed


def outcomes(results: Iterator[Any]) -> list[Any]:
    """All that comes: values, and the exceptions in their places."""
    found: list[Any] = []
    while True:
        try:
            found.append(next(results))
        except StopIteration:
            return found
        except Exception as error:
            found.append(error)


def works(pool: Pool) -> None:
    assert pool.apply(targets.square, (3,)) == 9
    assert pool.map(targets.square, range(20), 1) == [i * i for i in range(20)]


# ------------------------------------------------------------------ time limits


def test_task_that_takes_too_long_is_ended(pool: Pool) -> None:
    with pytest.raises(TaskTimeoutError, match=r"nap took longer than 0.1 sec") as got:
        pool.apply(targets.nap, (60,), timeout=0.1)
    assert got.value.function == "mp_pool_targets.nap"
    assert got.value.task is None
    copy = pickle.loads(pickle.dumps(got.value))
    assert vars(copy) == vars(got.value)
    result = pool.apply_async(targets.nap, (60,), timeout=0.1)
    with pytest.raises(TaskTimeoutError):
        result.get(WAIT)
    works(pool)


def test_time_limit_is_that_of_each_task(pool: Pool) -> None:
    """Waiting for a worker does not count, nor do the tasks before in the chunk."""
    naps = [0.5] * 6
    assert pool.map(targets.nap, naps, chunksize=3, timeout=1.4) == naps
    assert pool.map(targets.nap, naps, chunksize=1, timeout=1.4) == naps
    naps[2] = 60
    for chunksize in (1, 3):
        imap = pool.imap(targets.nap, naps, chunksize, timeout=1.4)
        results = outcomes(imap)
        error = results.pop(2)
        assert isinstance(error, TaskTimeoutError)
        assert error.task == 2
        assert results == [0.5] * 5
    with pytest.raises(TaskTimeoutError):
        pool.starmap(targets.nap, [(60,)], timeout=0)


def test_task_that_ignores_sigterm_is_killed(make_pool: MakePool) -> None:
    pool = make_pool(1, targets.ignore_sigterm)
    with pytest.raises(TaskTimeoutError):
        pool.apply(targets.nap, (60,), timeout=0.05)
    assert pool.apply(targets.square, (3,)) == 9


def test_others_go_on_while_a_task_is_ended(pool: Pool) -> None:
    slow = pool.apply_async(targets.nap, (60,), timeout=0.1)
    others = [pool.apply_async(targets.square, (i,)) for i in range(200)]
    assert [other.get(WAIT) for other in others] == [i * i for i in range(200)]
    with pytest.raises(TaskTimeoutError):
        slow.get(WAIT)


def test_wrong_terms(make_pool: MakePool) -> None:
    pool = make_pool(1)
    for terms in ({"timeout": -1}, {"retries": -1}, {"timeout": float("nan")}):
        with pytest.raises(ValueError, match="at least 0"):
            pool.map(targets.square, [1], **terms)
    with ThreadPool(1) as threads, pytest.raises(ValueError, match="no timeout"):
        threads.apply(targets.square, (1,), timeout=1)
    threads.join()


# ----------------------------------------------------------------- cancellation


def test_call_that_runs_is_cancelled(pool: Pool, tmp_path: Path) -> None:
    begun, never = str(tmp_path / "begun"), str(tmp_path / "never")
    told: list[BaseException] = []
    result = pool.apply_async(
        targets.announce_and_wait, (begun, never), error_callback=told.append
    )
    pid = targets.wait_for(begun)
    assert pid
    assert result.cancel()
    with pytest.raises(TaskCancelledError):
        result.get(WAIT)
    assert [type(error) for error in told] == [TaskCancelledError]
    assert not result.cancel()
    works(pool)
    assert not (tmp_path / "never").exists()


def test_call_that_was_sent_at_once_is_cancelled(pool: Pool, tmp_path: Path) -> None:
    """Without a callback a call goes to an idle worker without the I/O thread."""
    works(pool)
    result = pool.apply_async(targets.wait_for, (str(tmp_path / "never"),))
    assert result.cancel()
    with pytest.raises(TaskCancelledError):
        result.get(WAIT)
    works(pool)


@pytest.mark.parametrize("size", [1, 2])
def test_calls_that_wait_are_cancelled(
    make_pool: MakePool, tmp_path: Path, size: int
) -> None:
    pool = make_pool(size)
    go, ran = str(tmp_path / "go"), tmp_path / "ran"
    begun = [str(tmp_path / f"begun{number}") for number in range(size)]
    blocked = [pool.apply_async(targets.announce_and_wait, (b, go)) for b in begun]
    for path in begun:
        targets.wait_for(path)
    waiting = [
        pool.apply_async(targets.write, (str(ran), str(number % 10)))
        for number in range(40)
    ]
    for number, result in enumerate(waiting):
        if number % 10:
            assert result.cancel()
    for number, result in enumerate(waiting):
        if number % 10:
            with pytest.raises(TaskCancelledError):
                result.get(WAIT)
    Path(go).touch()
    for result in waiting[::10]:
        result.get(WAIT)
    for done in blocked:
        assert done.get(WAIT)
    if size > 1:  # one worker has some in its hands already
        assert ran.read_text() == "0000"
    works(pool)


def test_map_is_cancelled_as_a_whole(pool: Pool, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    result = pool.map_async(targets.wait_for, [go] * 50, 1)
    other = pool.map_async(targets.wait_for, [go] * 3, 1)
    assert result.cancel()
    with pytest.raises(TaskCancelledError):
        result.get(WAIT)
    Path(go).touch()
    assert len(other.get(WAIT)) == 3
    works(pool)


def test_cancelling_at_any_moment_harms_nobody(pool: Pool) -> None:
    """Whatever was just happening: it is cancelled or complete."""
    for _ in range(30):
        results = [pool.apply_async(targets.square, (i,)) for i in range(20)]
        for result in results[::3]:
            result.cancel()
        for number, result in enumerate(results):
            try:
                assert result.get(WAIT) == number * number
            except TaskCancelledError:
                assert number % 3 == 0
    works(pool)


def test_cancelling_in_a_thread_pool() -> None:
    with ThreadPool(1) as pool:
        go = threading.Event()
        running, waiting = [pool.apply_async(go.wait, (WAIT,)) for _ in range(2)]
        assert waiting.cancel()
        with pytest.raises(TaskCancelledError):
            waiting.get(WAIT)
        go.set()
        assert running.get(WAIT)
    pool.join()


# ---------------------------------------------------------------------- retries


def test_task_is_run_again_after_a_death(pool: Pool, tmp_path: Path) -> None:
    begun, marker = tmp_path / "begun", str(tmp_path / "marker")
    arguments = (str(begun), marker)
    assert pool.apply(targets.run_and_die_once, arguments, retries=1)
    assert begun.read_text() == "xx"


def test_task_is_run_again_so_often_and_no_more(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    with pytest.raises(WorkerDiedError):
        pool.apply_async(targets.write_and_die, (str(path),), retries=2).get(WAIT)
    assert path.read_text() == "xxx"
    works(pool)


@pytest.mark.parametrize("chunksize", [1, 10])
def test_only_the_task_that_died_is_run_again(
    pool: Pool, tmp_path: Path, chunksize: int
) -> None:
    ran = tmp_path / "ran"
    items = [(str(ran), str(tmp_path / str(i // 4)), i) for i in range(10)]
    assert pool.map(targets.write_and_die_once, items, chunksize, retries=1) == list(
        range(10)
    )
    # One of each four ran twice.
    runs = ran.read_text()
    assert sorted(set(runs)) == sorted("0123456789")
    assert len(runs) == 13


def test_exceptions_are_not_retried(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    with pytest.raises(RuntimeError, match="no database"):
        pool.apply(targets.refuse, (str(path),), retries=5)
    assert path.read_text() == "x"


# ------------------------------------------------------------------- per worker


def test_task_that_takes_too_much_memory_is_ended(make_pool: MakePool) -> None:
    pool = make_pool(1, max_rss=300 << 20)
    with pytest.raises(MemoryLimitError, match="bytes of memory") as caught:
        pool.apply(targets.fill_memory, (500 << 20,))
    assert caught.value.function == "mp_pool_targets.fill_memory"
    assert pool.apply(targets.square, (3,)) == 9
    results = outcomes(pool.imap(targets.fill_memory, [1 << 20, 500 << 20, 1 << 20], 3))
    assert isinstance(results[1], MemoryLimitError)
    assert results[::2] == [1 << 20] * 2


def test_finalizer_and_state(make_pool: MakePool, tmp_path: Path) -> None:
    path = tmp_path / "ended"
    pool = make_pool(
        1, targets.prepare, (str(path),), finalizer=targets.clean_up, maxtasksperchild=2
    )
    assert [pool.apply(targets.count_state) for _ in range(3)] == [1, 2, 1]
    pool.close()
    pool.join()
    assert path.read_text() == "1:2 2:1 "


def test_only_workers_have_a_state() -> None:
    with pytest.raises(RuntimeError, match="only a worker"):
        worker_state()


def test_workers_keep_to_their_cpus(make_pool: MakePool) -> None:
    mine = sorted(os.sched_getaffinity(0))
    pool = make_pool(2, cpus=[mine[:1], mine[-1:]])
    found = pool.map(targets.affinity, range(50), 1)
    assert {tuple(cpus) for cpus in found} <= {(mine[0],), (mine[-1],)}


def test_available_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = len(os.sched_getaffinity(0))
    root = str(tmp_path)
    assert available_cpus(root) == everything
    (tmp_path / "cpu.max").write_text("max 100000")
    assert available_cpus(root) == everything
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert available_cpus(root) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1")
    assert available_cpus(root) == everything
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("150000")
    assert available_cpus(root) == 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: {3})
        with Pool("available") as pool:
            assert "pool_size=1" in repr(pool)
    pool.join()


# --------------------------------------------------------------- progress, loops


def test_progress_is_told(pool: Pool) -> None:
    told: list[tuple[int, int]] = []
    pool.map(targets.square, range(40), 4, progress=lambda *at: told.append(at))
    result = pool.starmap_async(
        targets.add, [(1, 2)] * 7, 1, progress=lambda *at: told.append(at)
    )
    pool.close()
    pool.join()
    assert result.get(0) == [3] * 7
    assert (40, 40) in told
    assert (7, 7) in told
    for total in (40, 7):
        done = [at[0] for at in told if at[1] == total]
        assert done == sorted(done)


def test_result_is_awaited(pool: Pool) -> None:
    async def use() -> None:
        good = pool.apply_async(targets.nap, (0.02,))
        bad = pool.apply_async(targets.fail, ("reason",))
        assert await good == 0.02
        assert await good == 0.02
        with pytest.raises(ValueError, match="reason"):
            await bad
        many = [pool.apply_async(targets.square, (i,)) for i in range(20)]

        async def wait_for(result: Any) -> Any:
            return await result

        found = await asyncio.gather(*(wait_for(result) for result in many))
        assert found == [i * i for i in range(20)]
        slow = pool.apply_async(targets.nap, (0.2,))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait_for(slow), 0.01)
        assert not slow._sleepers
        assert slow.get(WAIT) == 0.2

    asyncio.run(use())


def test_loop_that_is_closed_is_no_harm(pool: Pool, tmp_path: Path) -> None:
    """The pool would wake a loop that is not there any more."""
    result = pool.apply_async(targets.wait_for, (str(tmp_path / "go"),))
    loop = asyncio.new_event_loop()

    async def wait() -> Any:
        return await result

    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0.01))
    waiting = list(result._sleepers)
    assert waiting
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    result._sleepers.extend(waiting)
    (tmp_path / "go").touch()
    assert result.get(WAIT)
    works(pool)


def test_time_of_a_worker_that_is_stopped(pool: Pool) -> None:
    """SIGSTOP is no end; SIGTERM waits for SIGCONT, and SIGKILL does not."""
    works(pool)
    pids = [worker.pid for worker in pool._pool if isinstance(worker, BaseProcess)]
    for pid in pids:
        os.kill(pid or 0, signal.SIGSTOP)
    before = time.monotonic()
    with pytest.raises(TaskTimeoutError):
        pool.apply(targets.square, (3,), timeout=0.1)
    assert time.monotonic() - before < WAIT
    for pid in pids:
        try:
            os.kill(pid or 0, signal.SIGCONT)
        except ProcessLookupError:
            pass
    works(pool)
