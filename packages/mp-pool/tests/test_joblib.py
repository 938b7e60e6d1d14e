"""joblib on a pool: what its own backend promises, and nothing left behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy
import pytest
from joblib.externals.loky.process_executor import (  # type: ignore[import-untyped]
    TerminatedWorkerError,
)

from mp_connection import Pipe
from mp_pool import BrokenPoolError, RemoteTraceback, WorkerDiedError, joblib_backend
from mp_process import active_children, get_context
from mp_testing import until

assert sys.platform == "linux"

SECONDS = 30


@pytest.fixture(autouse=True)
def _backend() -> Iterator[None]:
    """Two workers of the backend for the calls of a test, which end with it."""
    joblib_backend.register()
    with joblib.parallel_config(backend="mp", n_jobs=2):
        yield
    joblib_backend._idle.clear()


def parallel(tasks: Any, **options: Any) -> Any:
    return joblib.Parallel(**options)(tasks)


def workers() -> set[int | None]:
    """The processes that are there after a call, which do not include this one."""
    assert os.getpid() not in parallel(joblib.delayed(os.getpid)() for _ in range(4))
    return {process.pid for process in active_children()}


def test_functions_and_classes_travel_by_value() -> None:
    class Here:
        def __init__(self, x: int) -> None:
            self.x = x

    found = parallel(joblib.delayed(lambda h: Here(h.x + 1))(Here(i)) for i in range(9))
    assert [type(each) is Here and each.x for each in found] == list(range(1, 10))


def test_the_main_module_needs_no_guard() -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "mp_pool_joblib.py"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[1, 2, 3]\n", "")


def test_workers_are_used_again() -> None:
    first = workers()
    assert len(first) == 2
    assert workers() == first
    with joblib.parallel_config(backend="mp", n_jobs=3):
        assert not workers() & first  # the others have ended
    assert not workers() & first
    assert len(active_children()) == 2


def test_workers_end_when_they_were_idle_for_long() -> None:
    parallel((joblib.delayed(abs)(i) for i in range(3)), idle_worker_timeout=0.1)
    until(lambda: not active_children())
    assert len(workers()) == 2


def test_calls_of_two_threads_have_workers_of_their_own() -> None:
    both = threading.Barrier(2, timeout=SECONDS)
    found: list[set[int]] = []

    def call() -> None:
        with joblib.parallel_config(backend="mp", n_jobs=2), joblib.Parallel() as call:
            both.wait()
            found.append(set(call(joblib.delayed(os.getpid)() for _ in range(9))))
            both.wait()
            found.append({process.pid for process in active_children() if process.pid})
            both.wait()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    one, other, *there = sorted(found, key=len)
    assert not one & other
    assert [len(pids) for pids in there] == [4, 4]
    assert len(active_children()) == 2  # which wait for more


def test_a_forked_child_has_workers_of_its_own() -> None:
    first = workers()
    ours, theirs = Pipe()

    def child() -> None:
        joblib_backend._idle.clear()  # not the parent's
        theirs.send(workers())
        joblib_backend._idle.clear()

    process = get_context("fork").Process(target=child)
    with pytest.warns(DeprecationWarning, match="other threads"):
        process.start()
    assert ours.poll(SECONDS)
    assert not ours.recv() & first
    process.join(SECONDS)
    assert process.exitcode == 0
    assert workers() == first


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_are_mapped(order: Any) -> None:
    array = numpy.arange(400_000.0).reshape(400, -1).copy(order)

    def look(array: Any) -> tuple[bool, bool, float]:
        return array.flags.writeable, array.flags.f_contiguous, float(array.sum())

    for given in (array, array[::2], array[:, ::2]):
        for writeable, _, total in parallel(
            joblib.delayed(look)(given) for _ in range(4)
        ):
            assert not writeable
            assert total == given.sum()
    ((_, turned, _),) = parallel([joblib.delayed(look)(array)])
    assert turned == (order == "F")
    ((writeable, _, _),) = parallel([joblib.delayed(look)(array[:10])])
    assert writeable  # a small one is a copy of the worker's own
    ((writeable, _, _),) = parallel([joblib.delayed(look)(array)], max_nbytes=None)
    assert writeable
    ((writeable, _, _),) = parallel([joblib.delayed(look)(array)], mmap_mode="c")
    assert writeable
    ((writeable, _, _),) = parallel([joblib.delayed(look)(array[:20])], max_nbytes=100)
    assert not writeable


def copies(array: Any) -> int:
    """Files of an array's size that are open here."""
    sizes = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            sizes.append(os.fstat(int(fd)).st_size)
        except OSError:
            pass  # that of the listing itself
    return sizes.count(array.nbytes)


def test_arrays_of_one_task_each_are_let_go() -> None:
    """However many they are; and one array of many tasks is copied once."""
    array = numpy.arange(200_001.0)
    with joblib.Parallel(batch_size=1) as call:
        given = (array + i for i in range(40))
        found = call(joblib.delayed(numpy.max)(each) for each in given)
        assert found == [200_000 + i for i in range(40)]
        gc.collect()
        assert copies(array) == 0
        found = call(joblib.delayed(numpy.take)(array, i) for i in range(40))
        assert found == [*range(40)]
        gc.collect()
        assert copies(array) == 1
    assert copies(array) == 0


def test_objects_in_arrays_travel_along() -> None:
    array = numpy.array([{"number": i} for i in range(200_000)], dtype=object)
    (found,) = parallel([joblib.delayed(lambda a: a[-1]["number"])(array)])
    assert found == 199_999


def test_files_that_are_mapped_here_are_mapped_there(tmp_path: Path) -> None:
    path = tmp_path / "array"
    numpy.arange(300_000.0).tofile(path)
    array = numpy.memmap(path, dtype=float, mode="r+")

    def change(array: Any) -> None:
        array[10] = -1.0

    parallel([joblib.delayed(change)(array)], mmap_mode="r+")
    assert array[10] == -1.0


def test_results() -> None:
    found = parallel(joblib.delayed(numpy.full)(300_000, i) for i in range(6))
    assert [int(array[-1]) for array in found] == list(range(6))
    assert all(array.flags.writeable for array in found)
    given = joblib.delayed(abs)
    lazily = parallel((given(-i) for i in range(50)), return_as="generator")
    assert list(lazily) == list(range(50))
    anyhow = parallel((given(-i) for i in range(50)), return_as="generator_unordered")
    assert sorted(anyhow) == list(range(50))


def test_an_error_says_where_it_was_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        parallel(joblib.delayed(int)(text) for text in ("1", "x", "2"))
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert parallel(joblib.delayed(int)(text) for text in ("1", "2")) == [1, 2]


def test_a_worker_that_dies_is_an_error() -> None:
    """And no hang; the class is the one that programs know."""
    with pytest.raises(TerminatedWorkerError, match="exit code 3") as caught:
        parallel(joblib.delayed(os._exit)(3) for _ in range(4))
    assert isinstance(caught.value.__cause__, WorkerDiedError)
    assert parallel(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]


def test_workers_that_cannot_begin_are_an_error() -> None:
    with pytest.raises(TerminatedWorkerError, match="exit code 4") as caught:
        parallel(
            (joblib.delayed(abs)(i) for i in range(4)),
            initializer=os._exit,
            initargs=(4,),
        )
    assert isinstance(caught.value.__cause__, BrokenPoolError)
    assert parallel(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]


@pytest.mark.parametrize("form", ["list", "generator", "generator_unordered"])
def test_what_cannot_be_pickled_is_an_error(form: str) -> None:
    """Also when a callback submits it, in a thread of the pool's."""
    for wrong in (0, 70):
        tasks = (
            joblib.delayed(id)(threading.Lock() if i == wrong else i)
            for i in range(100)
        )
        with pytest.raises(Exception, match="pickle"):
            list(parallel(tasks, batch_size=1, return_as=form))
    assert parallel(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]


def test_a_call_that_takes_too_long_is_ended() -> None:
    before = time.monotonic()
    with pytest.raises(joblib.parallel.TimeoutError):
        parallel((joblib.delayed(time.sleep)(60) for _ in range(3)), timeout=0.3)
    assert time.monotonic() - before < SECONDS
    assert active_children() == []
    with joblib.Parallel() as again:
        with pytest.raises(ZeroDivisionError):
            again(joblib.delayed(divmod)(1, i) for i in (1, 0))
        assert again(joblib.delayed(divmod)(1, i) for i in (1, 1)) == [(1, 0)] * 2


def test_libraries_have_the_threads_that_are_left() -> None:
    def variable() -> str | None:
        return os.environ.get("OMP_NUM_THREADS")

    with joblib.parallel_config(backend="mp", n_jobs=2, inner_max_num_threads=7):
        assert parallel([joblib.delayed(variable)()]) == ["7"]
    assert variable() != "7"  # here it is as it was


def test_an_initializer_is_called_in_each_worker() -> None:
    def initializer(texts: list[str]) -> None:
        os.environ["MP_POOL_TEXT"] = texts[0]

    given: dict[str, Any] = {"initializer": initializer, "initargs": (["begun"],)}
    asked = joblib.delayed(os.getenv)("MP_POOL_TEXT")
    assert parallel((asked for _ in range(8)), **given) == ["begun"] * 8
    assert parallel(asked for _ in range(8)) == [None] * 8  # by others
    with joblib.Parallel(**given) as call:
        with pytest.raises(ZeroDivisionError):
            call(joblib.delayed(divmod)(1, i) for i in (1, 0))
        assert call(asked for _ in range(8)) == ["begun"] * 8  # after an abort too


def test_calls_within_calls() -> None:
    def outer(n: int) -> list[int]:
        return parallel((joblib.delayed(abs)(-i) for i in range(n)), n_jobs=2)  # type: ignore[no-any-return]

    found = parallel(joblib.delayed(outer)(n) for n in range(4))
    assert found == [list(range(n)) for n in range(4)]


def test_how_many() -> None:
    def count(n: int | None) -> int:
        backend = joblib_backend.make_backend(nesting_level=0)
        found: int = backend.effective_n_jobs(n)
        return found

    assert count(3) == 3
    assert count(None) == 1
    assert count(-1) == joblib.cpu_count()
    assert count(-1000) == 1
    with pytest.raises(ValueError, match="n_jobs"):
        count(0)
    assert (
        parallel((joblib.delayed(os.getpid)() for _ in range(2)), n_jobs=1)
        == [os.getpid()] * 2
    )
    with pytest.raises(ValueError, match="idle_worker_timeout"):
        joblib_backend.make_backend(nesting_level=0).configure(2, timeout=3)


def test_below_threads_there_is_one_worker() -> None:
    backend = joblib_backend.make_backend(nesting_level=1)
    assert backend.effective_n_jobs(2) == 2
    found: list[int] = []

    def ask() -> None:
        with pytest.warns(UserWarning, match="below threads"):
            found.append(backend.effective_n_jobs(2))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(SECONDS)
    assert found == [1]


def test_it_can_be_the_default() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import joblib, os, mp_pool.joblib_backend as backend\n"
            "backend.register(make_default=True)\n"
            "calls = [joblib.delayed(os.getpid)() for _ in range(4)]\n"
            "assert os.getpid() not in joblib.Parallel(n_jobs=2)(calls)\n"
            "assert backend._idle._waiting is not None",
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
