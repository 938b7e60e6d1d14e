"""Pools within pools, many workers, many pools, and a killer for as long as is wanted.

`MP_POOL_SOAK_SECONDS=60` makes the soak longer.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_pool import Pool, WorkerDiedError
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 60  # seconds after which a test has failed

SOAK_SECONDS = float(os.environ.get("MP_POOL_SOAK_SECONDS", "3"))


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_task_has_a_pool_of_its_own(pool: Pool) -> None:
    assert pool.map(targets.use_pool, [3, 4], 1) == [[0, 1, 4], [0, 1, 4, 9]]
    # A worker that is killed takes the workers of its own pool along.
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.use_pool_and_die)


def test_workers_of_a_killed_worker_end(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    result = pool.apply_async(targets.write_workers_and_wait, (str(path),))
    deadline = time.monotonic() + WAIT
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    mine, *inner = map(int, path.read_text().split())
    assert all(map(is_running, inner))
    os.kill(mine, signal.SIGKILL)
    with pytest.raises(WorkerDiedError):
        result.get(WAIT)
    while any(map(is_running, inner)):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_two_hundred_workers() -> None:
    pool = Pool(200, context=get_context("fork"))
    assert pool.map(targets.square, range(2000), 1) == [i * i for i in range(2000)]
    assert len(pool._pool) == 200
    pool.close()
    pool.join()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [100, 1000])
def test_many_pools_that_are_dropped_leave_nothing(count: int) -> None:
    """The fixture that looks for leaks has the last word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for number in range(count):
            pool = Pool(1, context=get_context("fork"))
            if number % 10 == 0:
                assert pool.apply(targets.square, (number,)) == number * number
            del pool
    gc.collect()
    deadline = time.monotonic() + WAIT
    while threading.active_count() > 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_soak(make_pool: MakePool, start_method: StartMethod) -> None:
    """Workers are killed at random; every result is right, or says that it was."""
    pool = make_pool(3)
    over = threading.Event()
    # As many deaths before a worker is ready would break the pool, as they should.
    pause = {"fork": 0.05, "spawn": 1.0, "forkserver": 0.1}[start_method]

    def kill() -> None:
        while not over.wait(random.expovariate(1 / pause)):
            stats = pool.stats()
            ready = [worker.pid for worker in stats.workers if worker.done]
            if ready and (pid := random.choice(ready)) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def check(get: Callable[[], Any], right: Any) -> bool:
        try:
            assert get() == right
        except WorkerDiedError:
            return False
        return True

    squares = [i * i for i in range(40)]
    thread = threading.Thread(target=kill)
    thread.start()
    good = died = 0
    try:
        end = time.monotonic() + SOAK_SECONDS
        while time.monotonic() < end:
            asked: list[tuple[Callable[[], Any], Any]] = [
                (lambda: pool.map(targets.square, range(40), 1), squares),
                (lambda: pool.map(targets.square, range(40)), squares),
                (lambda: pool.apply(targets.use_pool, (3,)), squares[:3]),
                (lambda: pool.apply(targets.nap, (0.01,)), 0.01),
            ]
            for i in range(50):
                result = pool.apply_async(targets.square, (i,))
                asked.append((partial(result.get, WAIT), i * i))
            for get, right in asked:
                done = check(get, right)
                good += done
                died += not done
            for chunksize in (1, 7):
                results = pool.imap(targets.square, range(40), chunksize)
                for number in range(40):
                    done = check(partial(results.next, WAIT), number * number)
                    good += done
                    died += not done
                with pytest.raises(StopIteration):
                    next(results)
    finally:
        over.set()
        thread.join(WAIT)
    print(f"{start_method}: {good} right, {died} died, {pool.stats().restarts} deaths")
    assert good > died
    assert pool.map(targets.square, range(40), 1) == squares
