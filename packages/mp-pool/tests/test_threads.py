"""`ThreadPool`: what `Pool` does, on threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import mp_pool_insides as insides
import mp_pool_targets as targets
import pytest

from mp_pool import (
    BrokenPoolError,
    Pool,
    PoolTerminatedError,
    TaskCancelledError,
    TaskExitError,
    ThreadPool,
    TimeoutError,
)

assert sys.platform == "linux"

WAIT = 20  # seconds after which a test has failed


@pytest.fixture
def threads() -> Iterator[ThreadPool]:
    """A pool of three threads."""
    pool = ThreadPool(3)
    yield pool
    pool.terminate()
    pool.join()


def test_is_a_pool(threads: ThreadPool) -> None:
    assert isinstance(threads, Pool)
    assert repr(threads) == "<mp_pool.ThreadPool state=RUN pool_size=3>"


def test_calls(threads: ThreadPool) -> None:
    assert threads.apply(targets.add, (1,), {"third": 2}) == 13
    assert threads.apply_async(targets.square, (3,)).get(WAIT) == 9
    squares = [i * i for i in range(20)]
    for chunksize in (None, 1, 7):
        assert threads.map(targets.square, range(20), chunksize) == squares
    assert threads.map(targets.square, []) == []
    assert threads.starmap(targets.add, [(1, 2), (3, 4)]) == [3, 7]
    assert threads.map_async(targets.square, range(20)).get(WAIT) == squares
    for chunksize in (1, 6):
        assert list(threads.imap(targets.square, range(20), chunksize)) == squares
        unordered = threads.imap_unordered(targets.square, iter(range(20)), chunksize)
        assert sorted(unordered) == squares


def test_nothing_is_pickled(threads: ThreadPool) -> None:
    thing = threading.Lock()
    assert threads.apply(lambda thing: thing, (thing,)) is thing
    assert threads.map(lambda thing: thing, [thing] * 3) == [thing] * 3


def test_workers_are_threads_of_this_process(threads: ThreadPool) -> None:
    barrier = threading.Barrier(3)

    def meet(_: object) -> threading.Thread:
        barrier.wait(WAIT)
        return threading.current_thread()

    found = threads.map(meet, range(3), 1)
    assert len(set(found)) == 3
    assert all(thread.daemon for thread in found)


def test_failures_take_nothing_along(threads: ThreadPool) -> None:
    with pytest.raises(ValueError, match="oops"):
        threads.apply(targets.fail, ("oops",))
    with pytest.raises(TaskExitError) as caught:
        threads.apply(targets.leave, (3,))
    assert caught.value.code == 3
    assert isinstance(caught.value.__cause__, SystemExit)
    ran: list[int] = []

    def fail_odd(number: int) -> None:
        ran.append(number)
        targets.fail_odd(number)

    with pytest.raises(ValueError, match="1"):
        threads.map(fail_odd, range(10), 5)
    assert sorted(ran) == list(range(10))
    results = threads.imap(targets.fail_odd, range(4), 4)
    assert next(results) == 0
    with pytest.raises(ValueError, match="1"):
        next(results)
    assert next(results) == 2


def test_callbacks(threads: ThreadPool) -> None:
    values: list[int] = []
    errors: list[BaseException] = []
    threads.apply_async(targets.square, (3,), callback=values.append).wait(WAIT)
    threads.apply_async(
        targets.fail, (3,), callback=values.append, error_callback=errors.append
    ).wait(WAIT)
    assert values == [9]
    assert [type(error) for error in errors] == [ValueError]


def test_time_limits(threads: ThreadPool) -> None:
    go = threading.Event()
    result = threads.apply_async(go.wait, (WAIT,))
    results = threads.imap(go.wait, [WAIT])
    with pytest.raises(TimeoutError):
        result.get(0.01)
    with pytest.raises(TimeoutError):
        results.next(0.01)
    go.set()
    assert result.get(WAIT)
    assert results.next(WAIT)


def test_initializer(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    with ThreadPool(4, called.append, (7,)) as pool:
        pool.map(targets.square, range(10))
        pool.close()
        pool.join()
    assert called == [7] * 4


def test_initializer_that_fails_breaks_the_pool() -> None:
    pool = ThreadPool(1, targets.fail, ("no database",))
    with pytest.raises(BrokenPoolError, match="no database") as caught:
        pool.apply_async(targets.nothing).get(WAIT)
    assert isinstance(caught.value.__cause__, ValueError)
    pool.terminate()
    pool.join()


def test_close_lets_everything_be_done() -> None:
    pool = ThreadPool(2)
    done: list[int] = []
    pool.map_async(done.append, range(100), 1)
    results = pool.imap(targets.square, range(1000), buffersize=2)
    pool.close()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(targets.nothing)
    pool.join()
    assert len(done) == 100
    assert list(results) == [i * i for i in range(1000)]


def joined(pool: ThreadPool) -> bool:
    """Whether a pool can be joined in time."""
    joining = threading.Thread(target=pool.join, daemon=True)
    joining.start()
    joining.join(WAIT)
    return not joining.is_alive()


def test_closed_pool_ends_when_its_last_call_is_cancelled() -> None:
    pool = ThreadPool(1)
    begun, go = threading.Event(), threading.Event()

    def task() -> None:
        begun.set()
        go.wait(WAIT)

    result = pool.apply_async(task)
    assert begun.wait(WAIT)
    pool.close()
    result.cancel()
    with pytest.raises(TaskCancelledError):
        result.get(WAIT)
    go.set()
    assert joined(pool)


def test_imap_that_is_begun_while_the_pool_is_closed_has_an_outcome() -> None:
    pool = ThreadPool(1)
    results = pool.imap(targets.square, insides.Closing(pool.close))
    with pytest.raises(ValueError, match="Pool not running"):
        results.next(WAIT)
    assert joined(pool)


def test_join_needs_an_end(threads: ThreadPool) -> None:
    with pytest.raises(ValueError, match="still running"):
        threads.join()


def test_terminate_fails_what_is_not_done(threads: ThreadPool) -> None:
    go = threading.Event()
    results: list[Any] = [threads.map_async(go.wait, [WAIT] * 10, 1)]
    iterator = threads.imap(go.wait, iter([WAIT] * 100))
    threads.terminate()
    for result in results:
        with pytest.raises(PoolTerminatedError):
            result.get(0)
    with pytest.raises(PoolTerminatedError):
        iterator.next(WAIT)
    go.set()
    threads.join()


def test_pool_that_is_dropped_warns_and_ends() -> None:
    pool = ThreadPool(2)
    pool.map(targets.square, range(10))
    with pytest.warns(ResourceWarning, match="unclosed running pool"):
        del pool


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [((0,), ValueError), (("2",), TypeError), ((1, 2), TypeError)],
)
def test_wrong_arguments(arguments: tuple[Any, ...], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        ThreadPool(*arguments)


def test_many_pools_leave_nothing() -> None:
    """The fixture that looks for leaks sees the threads."""
    for _ in range(50):
        with ThreadPool(2) as pool:
            assert pool.apply(targets.square, (3,)) == 9
        pool.join()
