"""Contexts: the whole API bound to a start method."""

from __future__ import annotations

import os
import sys

import pytest

import mp_multiprocessing as mp
from mp_multiprocessing import context
from mp_testing import StartMethod

assert sys.platform == "linux"


def square(number: int) -> int:
    return number * number


def answer(connection: mp.Connection[str, str]) -> None:
    connection.send(f"{connection.recv()} from {mp.current_process().name}")
    connection.close()


def test_a_context_has_the_names_of_the_package(start_method: mp.Method) -> None:
    ctx = mp.get_context(start_method)
    names = [name for name in mp.__all__ if callable(getattr(mp, name))]
    assert "set_executable" in names
    # A context makes connections, and is no place for their class.
    for name in set(names) - {"Connection", "Method", "install"}:
        assert callable(getattr(ctx, name, None)), name
    assert ctx.get_start_method() == start_method
    assert ctx.get_context() is ctx
    assert issubclass(ctx.TimeoutError, ctx.ProcessError)


def test_the_context_of_a_method_is_always_the_same(start_method: mp.Method) -> None:
    assert mp.get_context(start_method) is mp.get_context(start_method)
    assert isinstance(mp.get_context(start_method), context.BaseContext)


def test_the_default_context_is_that_of_the_settled_method() -> None:
    settled = mp.get_start_method(allow_none=True)
    mp.set_start_method("spawn", force=True)
    try:
        assert mp.get_context() is mp.get_context("spawn")
    finally:
        mp.set_start_method(settled, force=True)


def test_a_context_starts_processes_its_way(start_method: mp.Method) -> None:
    ctx = mp.get_context(start_method)
    ours, theirs = ctx.Pipe()
    with ours, theirs:
        process = ctx.Process(target=answer, args=(theirs,), name="answering")
        process.start()
        ours.send("an answer")
        assert ours.poll(20)
        assert ours.recv() == "an answer from answering"
        process.join(20)
        assert process.exitcode == 0
        process.close()


def test_a_context_makes_pools_of_its_processes(start_method: mp.Method) -> None:
    with mp.get_context(start_method).Pool(2) as pool:
        assert pool.map(square, range(7)) == [0, 1, 4, 9, 16, 25, 36]
        assert pool.apply(os.getpid) != os.getpid()
        pool.close()
        pool.join()


def count(lock: mp.Lock, done: mp.Event, places: mp.Semaphore) -> None:
    """Take what is handed over, and say so."""
    with lock, places:
        done.set()


@pytest.mark.parametrize("making", ["fork", "spawn", "forkserver"])
def test_locks_of_one_context_work_with_processes_of_any_other(
    start_method: mp.Method, making: mp.Method
) -> None:
    maker = mp.get_context(making)
    lock, done, places = maker.Lock(), maker.Event(), maker.BoundedSemaphore(1)
    with lock:
        process = mp.get_context(start_method).Process(
            target=count, args=(lock, done, places)
        )
        process.start()
        assert not done.is_set()
    assert done.wait(20)
    process.join(20)
    assert process.exitcode == 0
    process.close()
    assert places.get_value() == 1
    assert isinstance(lock, mp.Lock)


def test_locks_can_be_sent_to_a_pool(start_method: mp.Method) -> None:
    lock = mp.Lock()
    with mp.get_context(start_method).Pool(2) as pool:
        assert pool.map(is_locked, [lock] * 3) == [False] * 3
        with lock:
            assert pool.map(is_locked, [lock] * 3) == [True] * 3
        pool.close()
        pool.join()


def is_locked(lock: mp.Lock) -> bool:
    return lock.locked()


def test_a_pool_follows_the_default_method_of_the_package() -> None:
    with mp.Pool(1) as pool:
        assert pool.apply(current_name).startswith("ForkPoolWorker")
        pool.close()
        pool.join()


def current_name() -> str:
    return mp.current_process().name


def test_an_unknown_method_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="unknown start method 'teleport'; there are"):
        mp.get_context("teleport")  # type: ignore[arg-type]


def test_a_bound_context_cannot_be_given_another_method() -> None:
    with pytest.raises(ValueError, match="always uses 'spawn'"):
        mp.get_context("spawn").set_start_method("fork")


def test_a_manager_of_a_context(start_method: StartMethod) -> None:
    context = mp.get_context(start_method)
    with context.Manager() as manager:
        assert type(manager._process) is context.Process
        assert manager.list([1])[0] == 1


def test_the_manager_of_the_package() -> None:
    with mp.Manager() as manager:
        assert manager.dict(a=1).items() == [("a", 1)]


def test_a_start_method_of_a_third_party_is_refused_with_advice() -> None:
    context._concrete_contexts["loky"] = mp.get_context("spawn")
    try:
        with pytest.raises(RuntimeError, match=r"third party's.*MP_DROPIN=0"):
            mp.get_context("loky")  # type: ignore[arg-type]
    finally:
        del context._concrete_contexts["loky"]
