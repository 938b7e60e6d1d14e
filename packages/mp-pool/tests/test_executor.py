"""`Executor`: what `concurrent.futures` promises, and deaths that harm no other."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import mp_pool_targets as targets
import pytest

import mp_pool
from mp_pool import BrokenPoolError, Executor, UnpicklableError, WorkerDiedError
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

WAIT = 20  # seconds after which a test has failed


@pytest.fixture
def executor(start_method: StartMethod) -> Iterator[Executor]:
    """An executor with two workers."""
    with Executor(2, get_context(start_method)) as executor:
        yield executor


def test_futures(executor: Executor) -> None:
    assert isinstance(executor, concurrent.futures.Executor)
    future = executor.submit(targets.add, 1, third=2)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(WAIT) == 13
    assert future.done()
    failing = executor.submit(targets.fail, "reason")
    assert isinstance(failing.exception(WAIT), ValueError)
    many = [executor.submit(targets.square, i) for i in range(50)]
    done, not_done = concurrent.futures.wait(many, WAIT)
    assert (len(done), len(not_done)) == (50, 0)
    found = {f.result() for f in concurrent.futures.as_completed(many, WAIT)}
    assert found == {i * i for i in range(50)}
    told: list[int] = []
    called = executor.submit(targets.square, 3)
    called.add_done_callback(lambda future: told.append(future.result()))
    called.result(WAIT)
    executor.shutdown()
    assert told == [9]


def test_death_of_a_worker_fails_its_future_only(executor: Executor) -> None:
    deadly = executor.submit(targets.kill_self)
    others = [executor.submit(targets.square, i) for i in range(30)]
    assert isinstance(deadly.exception(WAIT), WorkerDiedError)
    assert [other.result(WAIT) for other in others] == [i * i for i in range(30)]


def test_map(executor: Executor) -> None:
    assert list(executor.map(targets.square, range(10))) == [i * i for i in range(10)]
    pairs = executor.map(targets.add, range(5), range(1, 9), chunksize=2)
    assert list(pairs) == [1, 3, 5, 7, 9]
    endless = executor.map(targets.square, count(), buffersize=3)
    assert [next(endless) for _ in range(4)] == [0, 1, 4, 9]
    for kind in (TimeoutError, mp_pool.TimeoutError, concurrent.futures.TimeoutError):
        with pytest.raises(kind):
            list(executor.map(targets.nap, [0.5], timeout=0.01))
    del endless


def test_cancel(
    executor: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What runs is ended as well."""
    begun, never = str(tmp_path / "begun"), str(tmp_path / "never")
    running = executor.submit(targets.announce_and_wait, begun, never)
    targets.wait_for(begun)
    assert running.cancel()
    assert running.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        running.result(WAIT)
    done, _ = concurrent.futures.wait([running], WAIT)
    assert done == {running}
    assert running.cancel()
    assert not caplog.records
    future = executor.submit(targets.square, 3)
    assert future.result(WAIT) == 9
    assert not future.cancel()


def test_shutdown(executor: Executor, tmp_path: Path) -> None:
    path = tmp_path / "written"
    for _ in range(20):
        executor.submit(targets.write, str(path))
    executor.shutdown()
    assert path.read_text() == "x" * 20
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(targets.nothing)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(targets.square, [1])
    executor.shutdown(wait=False)


@pytest.mark.parametrize("way", ["submit", "map"])
def test_call_that_another_thread_shuts_the_executor_down_in(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    check = Executor._check

    def check_before(self: Executor) -> None:
        monkeypatch.undo()
        check(self)
        self.shutdown()

    monkeypatch.setattr(Executor, "_check", check_before)
    with pytest.raises(RuntimeError, match="after shutdown"):
        getattr(executor, way)(targets.square, [1])


def test_shutdown_that_cancels(executor: Executor, tmp_path: Path) -> None:
    go, begun = str(tmp_path / "go"), [str(tmp_path / str(i)) for i in range(2)]
    running = [executor.submit(targets.announce_and_wait, b, go) for b in begun]
    for path in begun:
        targets.wait_for(path)
    waiting = [executor.submit(targets.square, i) for i in range(50)]
    executor.shutdown(wait=False, cancel_futures=True)
    for future in waiting:
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(WAIT)
    Path(go).touch()
    for future in running:
        assert future.result(WAIT)
    executor.shutdown()


def test_errors_of_the_call_are_raised_by_it(executor: Executor) -> None:
    with pytest.raises(UnpicklableError):
        executor.submit(lambda: None)


def test_initializer_that_fails(start_method: StartMethod) -> None:
    context = get_context(start_method)
    with Executor(1, context, targets.fail, ("no database",)) as executor:
        try:
            error = executor.submit(targets.nothing).exception(WAIT)
        except BrokenPoolError as raised:  # it is known already
            error = raised
        assert isinstance(error, BrokenPoolError)


def test_workers_are_replaced_after_their_lifetime() -> None:
    with Executor(1, max_tasks_per_child=1) as executor:
        pids = {executor.submit(targets.pid).result(WAIT) for _ in range(3)}
    assert len(pids) == 3
