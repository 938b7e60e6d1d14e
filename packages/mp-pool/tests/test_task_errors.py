"""What cannot be pickled or unpickled, and tasks that try to end their worker."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_connection import Pipe
from mp_pool import (
    Pool,
    RemoteTraceback,
    ResultError,
    TaskExitError,
    TaskFailedError,
    TaskLoadError,
    UnpicklableError,
    WorkerDiedError,
    errors,
)

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed

Submit = Callable[..., Any]

SUBMIT: dict[str, Submit] = {
    "apply": lambda pool, function, argument: pool.apply(function, (argument,)),
    "apply_async": lambda pool, function, argument: pool.apply_async(
        function, (argument,)
    ).get(WAIT),
    "map": lambda pool, function, argument: pool.map(function, [argument])[0],
}


@pytest.fixture(params=SUBMIT)
def submit(request: pytest.FixtureRequest) -> Submit:
    """Ways to have a function called with one argument."""
    return SUBMIT[request.param]


def same_worker(pool: Pool, pid: int) -> bool:
    """Whether the pool works, with the worker that it had."""
    return pool.apply(targets.pid) == pid


# ------------------------------------------------------- arguments, in the caller


def test_unpicklable_argument_raises_in_the_call(make_pool: MakePool) -> None:
    pool = make_pool(1)
    lock = threading.Lock()
    for call in (
        lambda: pool.apply(targets.identity, ([1, lock],)),
        lambda: pool.apply_async(targets.identity, ([1, lock],)),
    ):
        with pytest.raises(UnpicklableError, match="args") as caught:
            call()
        assert caught.value.path == "args[0][1]"
    with pytest.raises(UnpicklableError) as caught:
        pool.apply(targets.add, (), {"first": {"deep": lock}})
    assert caught.value.path == "kwds['first']['deep']"
    for number, chunksize in ((7, 3), (0, 1)):
        items: list[object] = [None] * 9
        items[number] = lock
        with pytest.raises(UnpicklableError) as caught:
            pool.map(targets.identity, items, chunksize)
        assert caught.value.path == f"iterable[{number}]"
    assert pool.apply(targets.square, (3,)) == 9


def test_unpicklable_function_raises_in_the_call(make_pool: MakePool) -> None:
    pool = make_pool(1)
    for call in (
        lambda: pool.apply(lambda: 1),
        lambda: pool.apply_async(lambda: 1),
        lambda: pool.map(lambda x: x, [1]),
        lambda: pool.map_async(lambda x: x, [1]),
    ):
        with pytest.raises(UnpicklableError) as caught:
            call()
        assert caught.value.path == "func"
    assert pool.apply(targets.square, (3,)) == 9


def test_nothing_of_a_call_that_cannot_be_pickled_runs(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1)
    path = tmp_path / "written"
    items: list[Any] = [(str(path), "x"), (str(path), "x"), (str(path), lambda: 1)]
    with pytest.raises(UnpicklableError):
        pool.map(targets.write_item, items, 1)
    pool.close()
    pool.join()
    assert not path.exists()


def test_error_of_a_reduce_method_is_raised_as_it_is(make_pool: MakePool) -> None:
    class Stubborn:
        def __reduce__(self) -> str:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine") as caught:
        make_pool(1).apply(targets.identity, (Stubborn(),))
    assert any("args[0]" in note for note in caught.value.__notes__)


# ------------------------------------------------------- arguments, in the worker


def test_unloadable_argument_fails_its_task_only(
    make_pool: MakePool, submit: Submit
) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    with pytest.raises(TaskLoadError, match="RuntimeError: made in") as caught:
        submit(pool, targets.identity, targets.Unloadable())
    assert "_refuse_elsewhere" in str(caught.value.__cause__)
    assert same_worker(pool, pid)


def test_function_that_a_worker_cannot_find_fails_its_task_only(
    make_pool: MakePool, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)  # the worker has the module as it was

    def late(_: object) -> None: ...

    late.__qualname__ = "late"
    late.__module__ = targets.__name__
    monkeypatch.setattr(targets, "late", late, raising=False)
    with pytest.raises(TaskLoadError, match=r"AttributeError.*late"):
        submit(pool, late, 1)
    assert same_worker(pool, pid)


def test_other_chunks_of_the_map_run(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(1)
    path = str(tmp_path / "written")
    items: list[Any] = [(path, "a"), (path, targets.Unloadable()), (path, "c")]
    with pytest.raises(TaskLoadError):
        pool.map(targets.write_item, items, 1)
    assert Path(path).read_text() == "ac"


# ------------------------------------------------------------------------ results


def test_unpicklable_result_fails_its_task_only(
    make_pool: MakePool, submit: Submit
) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    with pytest.raises(ResultError, match="lock") as caught:
        submit(pool, targets.make_unpicklable, None)
    assert caught.value.path.endswith("['locks'][1]")
    assert caught.value.path.startswith("result")
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert same_worker(pool, pid)


def test_unloadable_result_fails_its_task_only(
    make_pool: MakePool, submit: Submit
) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    with pytest.raises(ResultError, match=f"made in {pid}") as caught:
        submit(pool, targets.make_unloadable, None)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert same_worker(pool, pid)


def test_unloadable_result_is_no_success(make_pool: MakePool) -> None:
    told: list[BaseException] = []
    pool = make_pool(1)
    result = pool.apply_async(targets.make_unloadable, error_callback=told.append)
    result.wait(WAIT)
    assert not result.successful()
    assert [type(error) for error in told] == [ResultError]


def test_result_is_unpickled_by_who_asks(make_pool: MakePool) -> None:
    """Unpickling may use the pool, and take its time."""
    pool = make_pool(1)
    result = pool.apply_async(targets.make_thread_name)
    assert result.get(WAIT) == threading.current_thread().name


# --------------------------------------------------------------------- exceptions


def test_exception_that_does_not_unpickle(make_pool: MakePool, submit: Submit) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    with pytest.raises(TaskFailedError, match="7: seven") as caught:
        submit(pool, targets.raise_stubborn, None)
    assert caught.value.kind == "mp_pool_targets.StubbornError"
    assert caught.value.text == "StubbornError('7: seven')"
    assert "in raise_stubborn" in str(caught.value.__cause__)
    assert same_worker(pool, pid)


def test_exception_that_does_not_pickle(make_pool: MakePool, submit: Submit) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    with pytest.raises(TaskFailedError, match="locked") as caught:
        submit(pool, targets.raise_locked, None)
    assert caught.value.kind == "mp_pool_targets.LockedError"
    assert "in raise_locked" in str(caught.value.__cause__)
    assert same_worker(pool, pid)


def test_exception_whose_repr_fails(make_pool: MakePool) -> None:
    pool = make_pool(1)
    with pytest.raises(TaskFailedError, match="repr fails"):
        pool.apply(targets.raise_unprintable)
    assert pool.apply(targets.square, (3,)) == 9


def test_exceptions_keep_their_attributes_and_notes(make_pool: MakePool) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        make_pool(1).apply(targets.fail_with_note, ("/nonexistent",))
    assert caught.value.filename == "/nonexistent"
    assert caught.value.__notes__ == ["a note"]


def test_traceback_text_shows_the_chain(make_pool: MakePool) -> None:
    with pytest.raises(KeyError) as caught:
        make_pool(1).apply(targets.fail_in_chain)
    cause = caught.value.__cause__
    assert isinstance(cause, RemoteTraceback)
    assert cause.tb in str(cause)
    assert "direct cause" in cause.tb
    assert "ZeroDivisionError" in cause.tb


@pytest.mark.parametrize("code", [0, 3, None, "stop", [1]])
def test_sys_exit_fails_its_task_only(
    make_pool: MakePool, submit: Submit, code: object
) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    with pytest.raises(TaskExitError, match="SystemExit") as caught:
        submit(pool, targets.leave, code)
    assert caught.value.kind == "SystemExit"
    assert caught.value.code == (code if not isinstance(code, list) else "[1]")
    assert same_worker(pool, pid)


def test_other_exceptions_that_are_no_exception(make_pool: MakePool) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    with pytest.raises(TaskExitError, match="NoException") as caught:
        pool.apply(targets.raise_no_exception)
    assert caught.value.kind == "mp_pool_targets.NoException"
    assert same_worker(pool, pid)


# -------------------------------------------------------------------------- SIGINT


def test_sigint_interrupts_the_task_and_not_the_worker(
    make_pool: MakePool, submit: Submit
) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    before = time.monotonic()
    with pytest.raises(TaskExitError, match="KeyboardInterrupt") as caught:
        submit(pool, targets.interrupt_self, None)
    assert time.monotonic() - before < 5
    assert caught.value.kind == "KeyboardInterrupt"
    assert same_worker(pool, pid)


def test_sigint_does_nothing_to_an_idle_worker(
    make_pool: MakePool, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(1)
    pid = pool.apply(targets.pid)
    for _ in range(3):
        os.kill(pid, signal.SIGINT)
        assert same_worker(pool, pid)
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------ error classes


@pytest.mark.parametrize(
    "error",
    [
        WorkerDiedError("text", 1, -9, "f", 3),
        TaskExitError("text", "SystemExit", 3),
        TaskFailedError("text", "kind", "repr"),
        ResultError("text", "result[0]"),
        RemoteTraceback("lines"),
        errors.BrokenPoolError("text"),
        errors.PoolTerminatedError("text"),
        TaskLoadError("text"),
    ],
)
def test_errors_pickle_with_all_they_say(error: errors.ProcessError) -> None:
    error.__cause__ = ValueError("why")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert type(error).__module__ == "mp_pool"
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    assert repr(copy.__cause__) == repr(error.__cause__)


def test_errors_are_this_projects_errors() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.ProcessError)


def test_connection_in_an_exception_cannot_travel(make_pool: MakePool) -> None:
    first, second = Pipe()
    with first, second:
        pool = make_pool(1)
        with pytest.raises(TaskFailedError):
            pool.apply(targets.fail, (first,))
        assert pool.apply(targets.square, (3,)) == 9
