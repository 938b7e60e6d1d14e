"""Pools whose workers cannot start: an error for everybody, and no loop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mp_pool_insides as insides
import mp_pool_targets as targets
import pytest

from mp_pool import AsyncResult, BrokenPoolError, Pool, UnpicklableError
from mp_pool._lane import Lane
from mp_process import get_context

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed


def is_broken(pool: Pool, match: str) -> BrokenPoolError:
    """Check that all calls fail, and return the error of the first."""
    with pytest.raises(BrokenPoolError, match=match) as caught:
        # Submitted before or after the pool knows: the same error.
        pool.apply_async(targets.nothing).get(WAIT)
    for call in (
        lambda: pool.apply(targets.nothing),
        lambda: pool.apply_async(targets.nothing),
        lambda: pool.map(targets.square, [1]),
        lambda: pool.__enter__(),
    ):
        with pytest.raises(BrokenPoolError, match=match):
            call()
    assert "state=BROKEN" in repr(pool)
    return caught.value


def test_failing_initializer(make_pool: MakePool, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    pool = make_pool(2, targets.refuse, (str(starts),))
    error = is_broken(pool, r"initializer.*RuntimeError\('no database'\)")
    assert isinstance(error.__cause__, RuntimeError)
    assert "in refuse" in str(error.__cause__.__cause__)
    time.sleep(0.3)
    assert len(starts.read_text()) <= 2
    pool.close()
    pool.join()


def test_initializer_that_exits(make_pool: MakePool, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    pool = make_pool(2, targets.leave_at_start, (str(starts), 3))
    is_broken(pool, "ended with exit code 3 before it was ready")
    time.sleep(0.3)
    assert len(starts.read_text()) <= 2


def test_initializer_that_calls_sys_exit(make_pool: MakePool) -> None:
    pool = make_pool(1, targets.leave, (0,))
    is_broken(pool, "initializer of a worker raised SystemExit")


def test_workers_that_are_killed_at_start_again_and_again(
    make_pool: MakePool, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    pool = make_pool(1, targets.die_at_start, (str(starts),))
    is_broken(pool, "killed by SIGKILL before it was ready")
    assert starts.read_text() == "xxx"


def test_everybody_who_waits_is_told(make_pool: MakePool, tmp_path: Path) -> None:
    """The workers that work are given up as well."""
    first, starts = tmp_path / "first", str(tmp_path / "starts")
    pool = make_pool(1, targets.refuse_second, (str(first), starts))
    pool.apply(targets.nothing)
    begun, never = str(tmp_path / "begun"), str(tmp_path / "never")
    told: list[BaseException] = []
    results: list[AsyncResult[Any]] = [
        pool.apply_async(targets.end_at_once, (3,)),
        pool.apply_async(targets.announce_and_wait, (begun, never)),
        pool.map_async(targets.square, range(5), error_callback=told.append),
    ]
    for result in results[1:]:
        with pytest.raises(BrokenPoolError, match="no database"):
            result.get(WAIT)
    assert [type(error) for error in told] == [BrokenPoolError]
    assert not Path(begun).exists()


def test_thread_in_apply_is_told(make_pool: MakePool, tmp_path: Path) -> None:
    first, starts = str(tmp_path / "first"), str(tmp_path / "starts")
    pool = make_pool(1, targets.refuse_second, (first, starts))
    pool.apply(targets.nothing)
    blocked = pool.apply_async(targets.wait_and_end, (str(tmp_path / "go"),))
    caught: list[BaseException] = []

    def call() -> None:
        try:
            pool.apply(targets.nothing)
        except BrokenPoolError as error:
            caught.append(error)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join(WAIT)
    assert len(caught) == 3
    blocked.wait(WAIT)


def test_broken_pool_can_be_ended(make_pool: MakePool) -> None:
    pool = make_pool(1, targets.leave, (1,))
    is_broken(pool, "initializer")
    pool.join()
    pool.close()
    pool.terminate()
    pool.join()
    with pytest.raises(BrokenPoolError):
        pool.apply(targets.nothing)


def test_initializer_that_cannot_be_pickled() -> None:
    for method in ("spawn", "forkserver"):
        with pytest.raises(UnpicklableError):
            Pool(2, lambda: None, context=get_context(method))


def test_first_worker_that_cannot_be_started(
    start_method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool is not made, and nothing is left of it."""
    launch, count = Lane.launch, 0

    def fail_third(self: Lane, *args: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError("no more processes")
        launch(self, *args)

    monkeypatch.setattr(Lane, "launch", fail_third)
    with pytest.raises(OSError, match="no more processes"):
        Pool(4, context=get_context(start_method))


def test_replacement_that_cannot_be_started(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(1)
    pool.apply(targets.nothing)

    def fail(self: Lane, *args: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(Lane, "launch", fail)
    result = pool.apply_async(targets.kill_self)
    result.wait(WAIT)
    is_broken(pool, "no more processes")


def test_fault_in_the_pools_own_thread(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pool = make_pool(1)
    pool.apply(targets.nothing)
    begun = str(tmp_path / "begun")
    result = pool.apply_async(targets.announce_and_wait, (begun, begun + ".never"))
    targets.wait_for(begun)

    def fail(self: Lane, *args: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(insides.manager_of(pool), "_request", fail)
    with pytest.raises(BrokenPoolError, match="a bug"):
        pool.apply_async(targets.nothing, callback=targets.identity).get(WAIT)
    with pytest.raises(BrokenPoolError, match="a bug"):
        result.get(WAIT)
    with pytest.raises(BrokenPoolError, match="a bug"):
        pool.apply(targets.nothing)


MAIN = """\
import sys
sys.path[:0] = {path!r}
from mp_pool import BrokenPoolError, Pool
from mp_process import get_context

def f(x):
    return x

{guard}
    try:
        with Pool(2, context=get_context({method!r})) as pool:
            print(pool.map(f, [1, 2]))
    except BrokenPoolError as error:
        print("guard" in str(error))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_main_module_without_a_guard(tmp_path: Path, method: str) -> None:
    """An error that says why, and an end."""
    script = tmp_path / "program.py"
    script.write_text(MAIN.format(path=sys.path, guard="if True:", method=method))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "True\n"
    guard = 'if __name__ == "__main__":'
    script.write_text(MAIN.format(path=sys.path, guard=guard, method=method))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "[1, 2]\n"
    assert done.stderr == ""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_module_of_the_initializer_that_cannot_be_imported(
    tmp_path: Path, method: str
) -> None:
    (tmp_path / "fragile.py").write_text(
        "import os\n"
        "if os.getpid() != int(os.environ['MAKER']):\n"
        "    raise ImportError('no such luck')\n"
        "def f(): pass\n"
    )
    code = (
        f"import sys, os; sys.path[:0] = {[str(tmp_path), *sys.path]!r}\n"
        "os.environ['MAKER'] = str(os.getpid())\n"
        "import fragile\n"
        "from mp_pool import Pool, BrokenPoolError\n"
        "from mp_process import get_context\n"
        f"pool = Pool(2, fragile.f, context=get_context({method!r}))\n"
        "try: pool.apply(os.getpid)\n"
        "except BrokenPoolError as error: print('no such luck' in str(error))\n"
        "pool.terminate()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ},
    )
    assert done.stdout == "True\n", done.stderr
