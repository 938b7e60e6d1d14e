"""`imap` and `imap_unordered`: lazily, in order or not, each task with its outcome."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count, repeat
from pathlib import Path
from typing import Any

import mp_pool_insides as insides
import mp_pool_targets as targets
import pytest

from mp_pool import (
    Pool,
    PoolTerminatedError,
    ResultError,
    TaskLoadError,
    ThreadPool,
    TimeoutError,
    UnpicklableError,
    WorkerDiedError,
)
from mp_testing import until

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed

KINDS = ["imap", "imap_unordered"]


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


class Source:
    """An endless input that counts how much of it is read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[int]:
        for number in count():
            self.read = number + 1
            yield number

    def settles(self) -> int:
        """How much is read when no more is."""
        while True:
            before = self.read
            time.sleep(0.1)
            if self.read == before:
                return before


@pytest.mark.parametrize("chunksize", [1, 2, 7, 1000])
@pytest.mark.parametrize("made", [list, iter])
def test_results_come_one_by_one(
    shared_pool: Pool, chunksize: int, made: Callable[[range], Any]
) -> None:
    squares = [i * i for i in range(100)]
    results = shared_pool.imap(targets.square, made(range(100)), chunksize)
    assert iter(results) is results
    assert next(results) == 0
    assert results.next() == 1
    assert results.next(timeout=WAIT) == 4
    assert list(results) == squares[3:]
    with pytest.raises(StopIteration):
        next(results)
    unordered = shared_pool.imap_unordered(targets.square, made(range(100)), chunksize)
    assert sorted(unordered) == squares


def test_imap_of_nothing(shared_pool: Pool) -> None:
    for kind in KINDS:
        assert list(getattr(shared_pool, kind)(targets.square, [])) == []


def test_one_worker_keeps_the_order(make_pool: MakePool) -> None:
    pool = make_pool(1)
    numbers = list(range(500))
    assert list(pool.imap_unordered(targets.identity, numbers)) == numbers
    assert list(pool.imap_unordered(targets.identity, iter(numbers), 3)) == numbers


def test_results_come_as_they_are_done(shared_pool: Pool, tmp_path: Path) -> None:
    go = tmp_path / "go"
    items = [(str(go), i) for i in range(4)]
    results = shared_pool.imap_unordered(targets.wait_if_odd, items)
    assert {results.next(WAIT), results.next(WAIT)} == {0, 2}
    go.touch()
    assert {results.next(WAIT), results.next(WAIT)} == {1, 3}


@pytest.mark.parametrize("chunksize", [1, 5])
def test_next_with_a_time_limit(
    shared_pool: Pool, tmp_path: Path, chunksize: int
) -> None:
    go = tmp_path / "go"
    results = shared_pool.imap(targets.wait_for, [str(go)] * 10, chunksize)
    for seconds in (0, -1, 0.02):
        with pytest.raises(TimeoutError):
            results.next(seconds)
    go.touch()
    assert results.next(timeout=WAIT) in workers_of(shared_pool)
    assert len(list(results)) == 9


def workers_of(pool: Pool) -> set[int | None]:
    lanes = insides.manager_of(pool)._fleet
    return {lane.process.pid for lane in lanes if lane.process}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunksize", [1, 3, 10])
def test_task_that_fails_takes_no_other_along(
    shared_pool: Pool, kind: str, chunksize: int
) -> None:
    imap = getattr(shared_pool, kind)
    results = outcomes(imap(targets.fail_odd, range(10), chunksize))
    assert sorted(r for r in results if isinstance(r, int)) == [0, 2, 4, 6, 8]
    errors = [r for r in results if isinstance(r, ValueError)]
    assert sorted(error.args[0] for error in errors) == [1, 3, 5, 7, 9]
    assert all("in fail_odd" in str(error.__cause__) for error in errors)
    if kind == "imap":
        assert [type(r) for r in results] == [int, ValueError] * 5


@pytest.mark.parametrize("chunksize", [1, 4])
def test_other_failures_take_no_other_along(pool: Pool, chunksize: int) -> None:
    def types(results: Iterator[Any]) -> list[type]:
        return [type(result) for result in outcomes(results)]

    bad = [int, ResultError, int, int, ResultError, int]
    functions = [int, targets.make_unpicklable, int, int, targets.make_unpicklable, int]
    assert types(pool.imap(targets.in_worker_thread, functions, chunksize)) == bad
    functions = [int, targets.make_unloadable, int, int, targets.make_unloadable, int]
    assert types(pool.imap(targets.in_worker_thread, functions, chunksize)) == bad
    things: list[Any] = [1, threading.Lock(), 3, 4, 5, 6]
    unpicklable = [int, UnpicklableError, int, int, int, int]
    assert types(pool.imap(targets.identity, things, chunksize)) == unpicklable
    things = [1, 2, targets.Unloadable(), 4, 5, 6]
    unloadable = [int, int, TaskLoadError, int, int, int]
    assert types(pool.imap(targets.identity, things, chunksize)) == unloadable
    things = [1, 2, targets.KillsReader(), 4, 5, 6]
    deadly = [int, int, WorkerDiedError, int, int, int]
    assert types(pool.imap(targets.identity, things, chunksize)) == deadly


def test_chunk_whose_worker_is_killed_in_the_middle(pool: Pool, tmp_path: Path) -> None:
    """36 results, one error, 63 results; and no task has run twice."""
    ran = tmp_path / "ran"
    items = [(i, 36, str(ran)) for i in range(100)]
    results = outcomes(pool.imap(targets.write_and_die_at, items, 100))
    error = results[36]
    assert isinstance(error, WorkerDiedError)
    assert error.task == 36
    assert results[:36] == list(range(36))
    assert results[37:] == list(range(37, 100))
    assert ran.read_text() == "x" * 100


def test_map_runs_the_tasks_behind_a_death(pool: Pool, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    items = [(i, 36, str(ran)) for i in range(100)]
    with pytest.raises(WorkerDiedError) as caught:
        pool.map(targets.write_and_die_at, items, 100)
    assert caught.value.task == 36
    assert ran.read_text() == "x" * 100


def test_large_results_of_a_chunk_survive_a_death(pool: Pool) -> None:
    """More than a worker can note at once."""
    sizes = [300_000] * 8
    sizes[6] = -1
    results = outcomes(pool.imap(targets.blob_or_death, sizes, 8))
    assert isinstance(results.pop(6), WorkerDiedError)
    assert [len(result) for result in results] == [300_000] * 7


def test_connections_as_results_of_a_chunk(shared_pool: Pool) -> None:
    for result in shared_pool.imap(targets.make_pipe, [0, 0, 0], 3):
        with result as connection:
            assert connection.recv() == "from the worker"


def test_function_that_cannot_be_pickled_raises_in_the_call(shared_pool: Pool) -> None:
    with pytest.raises(UnpicklableError):
        shared_pool.imap(lambda x: x, [1])


def test_wrong_arguments(shared_pool: Pool) -> None:
    for keywords in ({"chunksize": 0}, {"buffersize": 0}, {"chunksize": -1}):
        with pytest.raises(ValueError, match="at least 1"):
            shared_pool.imap(targets.square, [1], **keywords)
    with pytest.raises(TypeError):
        shared_pool.imap(targets.square, 5)  # type: ignore[arg-type]


def failing_input(total: int, when: int) -> Iterator[int]:
    for number in range(total):
        if number == when:
            raise LookupError("no more")
        yield number


@pytest.mark.parametrize(("chunksize", "given"), [(1, 7), (2, 6), (4, 4)])
def test_error_of_the_input_is_raised_in_its_turn(
    shared_pool: Pool, chunksize: int, given: int
) -> None:
    """Elements of a chunk that was not complete are not run."""
    results = shared_pool.imap(targets.square, failing_input(20, 7), chunksize)
    assert [next(results) for _ in range(given)] == [i * i for i in range(given)]
    with pytest.raises(LookupError, match="no more"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    unordered = outcomes(
        shared_pool.imap_unordered(targets.square, failing_input(20, 7), chunksize)
    )
    assert len(unordered) == given + 1
    assert sum(isinstance(result, LookupError) for result in unordered) == 1


# ------------------------------------------------------------------- the window


@pytest.mark.parametrize("kind", KINDS)
def test_input_is_read_as_results_are_taken(pool: Pool, kind: str) -> None:
    source = Source()
    results = getattr(pool, kind)(targets.square, source, buffersize=5)
    assert source.settles() == 5
    for taken in range(1, 20):
        next(results)
        until(lambda taken=taken: source.read == 5 + taken)  # type: ignore[misc]
    assert source.settles() == 24
    results = getattr(pool, kind)(targets.square, other := Source(), 3, buffersize=5)
    assert other.settles() == 3
    next(results)
    pool.terminate()


def test_window_adapts_to_the_size_of_what_travels(pool: Pool) -> None:
    small = pool.imap(targets.square, few := Source())
    next(small)
    until(lambda: few.read > 256)
    assert few.settles() <= 1 + 512
    large = pool.imap(targets.blob_of, much := Source())
    assert [len(next(large)) for _ in range(10)] == [1 << 20] * 10
    assert much.settles() <= 10 + 16 + 1
    pool.terminate()


def test_iterator_that_is_dropped_reads_no_more(pool: Pool) -> None:
    results = pool.imap(targets.square, source := Source(), buffersize=4)
    next(results)
    del results
    gc.collect()
    assert source.settles() <= 6
    assert pool.map(targets.square, range(10)) == [i * i for i in range(10)]


def test_iterator_that_nobody_begins_has_all_tasks_run(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(2)
    path = tmp_path / "written"
    pool.imap_unordered(targets.write, (str(path) for _ in range(1000)))
    pool.close()
    pool.join()
    assert path.read_text() == "x" * 1000


def test_results_can_be_taken_after_join(make_pool: MakePool) -> None:
    pool = make_pool(2)
    results = pool.imap(targets.square, range(2000), buffersize=3)
    pool.close()
    assert next(results) == 0
    pool.join()
    assert list(results) == [i * i for i in range(1, 2000)]


def test_close_lets_the_input_be_read_on(make_pool: MakePool) -> None:
    pool = make_pool(2)
    results = pool.imap(targets.square, iter(range(100)), buffersize=3)
    pool.close()
    assert list(results) == [i * i for i in range(100)]
    pool.join()


def test_terminate_ends_an_iteration(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(2)
    results = pool.imap(targets.wait_for, repeat(str(tmp_path / "never")))
    told: list[BaseException] = []

    def take() -> None:
        try:
            next(results)
        except PoolTerminatedError as error:
            told.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    pool.terminate()
    thread.join(WAIT)
    assert len(told) == 1
    for _ in range(200):
        with pytest.raises(PoolTerminatedError):
            results.next(WAIT)


def test_input_that_blocks_delays_nothing_but_itself(shared_pool: Pool) -> None:
    go = threading.Event()

    def generate() -> Iterator[int]:
        yield 3
        go.wait(WAIT)
        yield 4

    results = shared_pool.imap(targets.square, generate())
    assert results.next(WAIT) == 9
    with pytest.raises(TimeoutError):
        results.next(0.02)
    assert list(shared_pool.imap(targets.square, [5, 6])) == [25, 36]
    go.set()
    assert list(results) == [16]


def test_many_at_once(shared_pool: Pool) -> None:
    results = [shared_pool.imap(targets.square, range(i, i + 300)) for i in range(6)]
    for i, each in enumerate(results):
        assert list(each) == [k * k for k in range(i, i + 300)]


def test_several_threads_share_an_iterator(shared_pool: Pool) -> None:
    results = shared_pool.imap_unordered(targets.identity, range(2000))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(results)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert sorted(found) == list(range(2000))


def test_ctrl_c_in_next_loses_no_result(shared_pool: Pool) -> None:
    """Interrupted again and again while it waits, the iterator skips nothing."""
    results = shared_pool.imap(targets.nap_and_return, range(60))
    found: list[int] = []
    stop = threading.Event()

    def interrupt() -> None:
        while not stop.wait(0.003):
            os.kill(os.getpid(), signal.SIGINT)

    class Interrupted(Exception):
        pass

    waiting = False

    def handle(*_: object) -> None:
        if waiting:
            raise Interrupted

    before = signal.signal(signal.SIGINT, handle)
    thread = threading.Thread(target=interrupt)
    thread.start()
    interrupted = 0
    try:
        while len(found) < 60:
            try:
                waiting = True
                results_ready = results._has_news() or results.next(0.001)
            except (Interrupted, TimeoutError) as error:
                interrupted += isinstance(error, Interrupted)
                waiting = False
                continue
            waiting = False
            if results_ready is True:
                found.append(next(results))
            else:
                found.append(results_ready)
    finally:
        stop.set()
        thread.join(WAIT)
        signal.signal(signal.SIGINT, before)
    assert found == list(range(60))


# ---------------------------------------------------------------------- asyncio


def test_async_for(shared_pool: Pool) -> None:
    async def collect(kind: str) -> list[int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        results = getattr(shared_pool, kind)(targets.nap_and_return, range(20))
        found = [result async for result in results]
        ticking.cancel()
        assert ticks  # the loop went on meanwhile
        return found

    assert asyncio.run(collect("imap")) == list(range(20))
    assert sorted(asyncio.run(collect("imap_unordered"))) == list(range(20))


def test_async_for_that_is_cancelled(shared_pool: Pool, tmp_path: Path) -> None:
    results = shared_pool.imap(targets.wait_for, [str(tmp_path / "go")])

    async def take() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(results), 0.02)

    asyncio.run(take())
    assert not results._stream.sleepers
    (tmp_path / "go").touch()
    assert results.next(WAIT)


def test_thread_pool_has_it_too() -> None:
    with ThreadPool(2) as pool:
        assert list(pool.imap(targets.square, range(100), 3)) == [
            i * i for i in range(100)
        ]
