"""Workers that are killed, at every step: one task fails at most, the pool goes on."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import mp_pool_insides as insides
import mp_pool_targets as targets
import pytest

from mp_connection.channel import Received
from mp_connection.errors import HandleError
from mp_pool import (
    BrokenPoolError,
    Pool,
    ResultError,
    TaskExitError,
    WorkerDiedError,
    _fleet,
    _lane,
    _worker,
)
from mp_pool._desk import Call, Desk
from mp_pool._lane import Lane
from mp_process import active_children
from mp_testing import until

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed


def workers(pool: Pool, ready: bool = False) -> set[int]:
    """Identifiers of the workers that are there, or of those that are ready."""
    found = set()
    for lane in insides.manager_of(pool)._fleet:
        worker = insides.manager_of(pool)._scheduler.workers.get(lane.number)
        with suppress(ValueError):  # closed just now
            pid = lane.process and lane.process.pid
            if worker is not None and pid and (worker.ready or not ready):
                found.add(pid)
    return found


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def works(pool: Pool) -> None:
    assert pool.apply(targets.square, (3,)) == 9
    assert pool.map(targets.square, range(20), 1) == [i * i for i in range(20)]


def test_idle_worker_is_replaced(make_pool: MakePool) -> None:
    pool = make_pool(2)
    before = workers(pool)
    works(pool)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(workers(pool) - before) == 2)
    works(pool)


def test_idle_worker_killed_just_before_a_call(make_pool: MakePool) -> None:
    """Whether the pool knows of the death yet or not: no call fails."""
    pool = make_pool(1)
    for _ in range(5):
        works(pool)
        (pid,) = workers(pool)
        os.kill(pid, signal.SIGKILL)
        assert pool.apply(targets.square, (4,)) == 16
        until(lambda: len(workers(pool)) == 1)


def test_busy_worker_loses_its_task_only(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(2)
    begun, never = str(tmp_path / "begun"), str(tmp_path / "never")
    blocked = pool.apply_async(targets.announce_and_wait, (begun, never))
    targets.wait_for(begun)
    others = [pool.apply_async(targets.square, (i,)) for i in range(10)]
    pid = int(Path(begun).read_text())
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError) as caught:
        blocked.get(WAIT)
    assert caught.value.pid == pid
    assert [result.get(WAIT) for result in others] == [i * i for i in range(10)]
    works(pool)


def test_error_says_what_happened(make_pool: MakePool) -> None:
    pool = make_pool(1)
    with pytest.raises(WorkerDiedError) as caught:
        pool.apply(targets.kill_self)
    error = caught.value
    assert error.exitcode == -signal.SIGKILL
    assert error.function == "mp_pool_targets.kill_self"
    assert error.task is None
    assert error.pid is not None
    for part in (str(error.pid), "SIGKILL", "mp_pool_targets.kill_self", "PoolWorker"):
        assert part in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    works(pool)


SUBMIT: dict[str, Callable[..., object]] = {
    "apply": lambda pool, function, argument: pool.apply(function, (argument,)),
    "apply_async": lambda pool, function, argument: pool.apply_async(
        function, (argument,)
    ).get(WAIT),
    "map": lambda pool, function, argument: pool.map(function, [argument])[0],
}


@pytest.fixture(params=SUBMIT)
def submit(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Ways to have a function called with one argument."""
    return SUBMIT[request.param]


def test_each_kind_of_call_gets_the_error(
    make_pool: MakePool, submit: Callable[..., object]
) -> None:
    pool = make_pool(2)
    for _ in range(3):
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            submit(pool, targets.kill_self, signal.SIGKILL)
    works(pool)


def test_other_signals_and_exits(make_pool: MakePool) -> None:
    pool = make_pool(1)
    with pytest.raises(WorkerDiedError, match="SIGTERM") as caught:
        pool.apply(targets.kill_self, (signal.SIGTERM,))
    assert caught.value.exitcode == -signal.SIGTERM
    with pytest.raises(WorkerDiedError, match="ended with exit code 3") as caught:
        pool.apply(targets.end_at_once, (3,))
    assert caught.value.exitcode == 3
    with pytest.raises(WorkerDiedError, match="ended with exit code 0"):
        pool.apply(targets.end_at_once, (0,))
    works(pool)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("chunksize", [1, 4, 100])
def test_map_names_the_task(make_pool: MakePool, chunksize: int) -> None:
    pool = make_pool(2)
    items = [(number, 13) for number in range(20)]
    with pytest.raises(WorkerDiedError, match="task 13 of a map") as caught:
        pool.map(targets.die_at_item, items, chunksize)
    assert caught.value.task == 13
    assert caught.value.function == "mp_pool_targets.die_at_item"
    works(pool)


def test_error_callback_is_told(make_pool: MakePool) -> None:
    told: list[BaseException] = []
    pool = make_pool(1)
    pool.apply_async(targets.kill_self, error_callback=told.append).wait(WAIT)
    assert [type(error) for error in told] == [WorkerDiedError]


def test_later_tasks_are_given_to_others_and_none_runs_twice(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(2)
    runs, marker = [str(tmp_path / str(i)) for i in range(30)], str(tmp_path / "killed")
    results = [
        pool.apply_async(targets.run_and_die_once, (run, marker)) for run in runs
    ]
    failed = 0
    for result in results:
        try:
            result.get(WAIT)
        except WorkerDiedError:
            failed += 1
    assert failed == 1
    assert [Path(run).read_text() for run in runs] == ["x"] * 30


# --------------------------------------------------- deaths between certain steps


def test_death_before_ready(make_pool: MakePool, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    pool = make_pool(2, targets.die_at_first_start, (str(marker),))
    works(pool)
    assert marker.exists()


@pytest.mark.usefixtures("backend")
def test_death_between_receiving_and_noting(
    make_pool: MakePool, tmp_path: Path, submit: Callable[..., object]
) -> None:
    """The task had not begun: it is given to another worker."""
    pool = make_pool(1)
    marker = tmp_path / "died"
    killer = targets.KillsReader(str(marker))
    assert submit(pool, targets.identity, killer) == "unharmed"
    assert marker.exists()
    works(pool)


def test_task_that_kills_whoever_receives_it(make_pool: MakePool) -> None:
    """It is not sent again for ever."""
    pool = make_pool(2)
    with pytest.raises(WorkerDiedError, match="receiving"):
        pool.apply(targets.identity, (targets.KillsReader(),))
    with pytest.raises(WorkerDiedError, match="receiving"):
        pool.map(targets.identity, [1, targets.KillsReader(), 3], 1)
    works(pool)


@pytest.mark.usefixtures("backend")
def test_death_between_noting_and_running(make_pool: MakePool, tmp_path: Path) -> None:
    """What is noted counts as begun, whether it was or not."""
    pool = make_pool(1, targets.kill_after_begin, (str(tmp_path / "died"),))
    written = tmp_path / "written"
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.write, (str(written),))
    assert not written.exists()
    works(pool)


def test_death_between_running_and_sending(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(1)
    with pytest.raises(WorkerDiedError, match="make_writer_killer"):
        pool.apply(targets.make_writer_killer, (os.getpid(),))
    works(pool)


def test_death_between_sending_and_removing_the_note(
    make_pool: MakePool, tmp_path: Path, submit: Callable[..., object]
) -> None:
    """The result is there: nothing failed."""
    marker = tmp_path / "died"
    pool = make_pool(1, targets.kill_before_end, (str(marker),))
    assert submit(pool, targets.square, 5) == 25
    works(pool)
    assert marker.exists()


def test_death_in_the_middle_of_a_large_result(
    make_pool: MakePool,
    monkeypatch: pytest.MonkeyPatch,
    submit: Callable[..., object],
) -> None:
    pool = make_pool(1)
    works(pool)
    (pid,) = workers(pool)
    try_receive = Lane.try_receive
    partly: list[Lane] = []

    def receive_and_kill(lane: Lane) -> bytes | Received | HandleError | None:
        received = try_receive(lane)
        if lane.channel.pending and not partly:
            partly.append(lane)
            os.kill(pid, signal.SIGKILL)
        return received

    monkeypatch.setattr(Lane, "try_receive", receive_and_kill)
    size = 50 * 1024 * 1024
    with pytest.raises(WorkerDiedError, match="blob"):
        submit(pool, targets.blob, size)
    assert partly
    monkeypatch.undo()
    works(pool)


def test_death_in_the_middle_of_a_large_argument(
    make_pool: MakePool, tmp_path: Path
) -> None:
    """The worker is killed while it does not read what is being sent to it."""
    pool = make_pool(1)
    begun, never = str(tmp_path / "begun"), str(tmp_path / "never")
    blocked = pool.apply_async(targets.announce_and_wait, (begun, never))
    targets.wait_for(begun)
    data = b"x" * 20_000_000
    results = [pool.apply_async(targets.identity, (data,)) for _ in range(2)]
    os.kill(workers(pool).pop(), signal.SIGKILL)
    with pytest.raises(WorkerDiedError):
        blocked.get(WAIT)
    assert all(result.get(WAIT) == data for result in results)


# ----------------------------------------------------------------- other cruelties


def test_death_of_a_worker_that_a_caller_waits_for(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1)
    works(pool)
    begun = str(tmp_path / "begun")

    def kill() -> None:
        targets.wait_for(begun)
        for pid in workers(pool):
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(WorkerDiedError, match="announce_and_wait"):
        pool.apply(targets.announce_and_wait, (begun, begun + ".never"))
    thread.join(WAIT)
    works(pool)


def test_death_before_the_answer_is_waited_for(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call was sent by its caller; the pool sees the end of the worker first."""
    pool = make_pool(1)
    works(pool)
    watch = insides.desk_of(pool).watch

    def watch_late(fd: int, events: int) -> None:
        until(lambda: any(lane.over for lane in insides.manager_of(pool)._fleet))
        watch(fd, events)

    monkeypatch.setattr(insides.desk_of(pool), "watch", watch_late)
    result = pool.apply_async(targets.kill_self)
    monkeypatch.undo()
    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        result.get(WAIT)
    works(pool)


def test_death_before_the_worker_is_given_back(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller that leads it has the answer, and does not know of the end."""
    pool = make_pool(1)
    works(pool)
    until(lambda: bool(insides.desk_of(pool).idle))
    give_back, struck = Desk._give_back, []

    def give_back_late(self: Desk, lane: Lane, call: Call) -> None:
        monkeypatch.undo()
        assert lane.process is not None
        struck.append(lane.process.pid)
        lane.process.kill()
        until(lambda: lane.over)
        give_back(self, lane, call)

    monkeypatch.setattr(Desk, "_give_back", give_back_late)
    assert pool.apply(targets.square, (3,)) == 9
    assert struck
    # It is replaced without any further call.
    until(lambda: bool(workers(pool, ready=True) - set(struck)))
    works(pool)


def test_grandchild_that_holds_the_channel_hides_no_death(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1)
    go = tmp_path / "go"
    grandchild = pool.apply(targets.fork_and_leave_behind, (str(go),))
    try:
        with pytest.raises(WorkerDiedError):
            pool.apply(targets.kill_self)
        works(pool)
    finally:
        go.touch()
        until(lambda: has_ended(grandchild))


def test_child_of_a_task_that_returns_answers_nothing(make_pool: MakePool) -> None:
    pool = make_pool(1)
    for _ in range(3):
        assert pool.apply(targets.fork_and_return) in workers(pool)
    works(pool)


def test_random_deaths_under_load(make_pool: MakePool) -> None:
    pool = make_pool(2)
    stop, progress = threading.Event(), threading.Event()

    def kill() -> None:
        # Killing one that starts, again and again, would break the pool; and a slow
        # machine would do nothing but start them if it had not done a task meanwhile.
        kills = 0
        while kills < 8 and not stop.wait(0.03):
            if not progress.is_set():
                continue
            progress.clear()
            kills += 1
            for pid in list(workers(pool, ready=True))[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        results = [pool.apply_async(targets.square, (i,)) for i in range(3000)]
        died = 0
        for number, result in enumerate(results):
            try:
                assert result.get(WAIT) == number * number
            except WorkerDiedError:
                died += 1
            else:
                progress.set()
        assert died < 100
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("start_method", ["fork"], indirect=True)
def test_replacement_that_stays_silent_is_replaced(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A copy of a process with threads may wait for a lock for ever."""
    monkeypatch.setattr(_fleet, "SILENT_SECONDS", 0.2)
    pool = make_pool(1)
    monkeypatch.setattr(_lane, "run_worker", partial(run_later, str(tmp_path / "x")))
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.kill_self)
    works(pool)


@pytest.mark.parametrize("start_method", ["fork"], indirect=True)
def test_replacements_that_all_stay_silent_break_the_pool(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fleet, "SILENT_SECONDS", 0.1)
    pool = make_pool(1)
    monkeypatch.setattr(_lane, "run_worker", lambda *_: time.sleep(60))
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.kill_self)
    with pytest.raises(BrokenPoolError, match="no sign of life"):
        pool.apply(targets.nothing)


def run_later(marker: str, *args: Any) -> None:
    """A worker that hangs at its start, the first time."""
    if targets.first_time(marker):
        time.sleep(60)
    _worker.run_worker(*args)


def test_slow_initializer_is_no_silence(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fleet, "SILENT_SECONDS", 0.1)
    pool = make_pool(1, targets.nap, (0.4,))
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.kill_self)
    works(pool)


def test_replacement_minds_sigint_like_the_first(make_pool: MakePool) -> None:
    """It was started by another thread than the main one."""
    pool = make_pool(1)
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.kill_self)
    with pytest.raises(TaskExitError, match="KeyboardInterrupt"):
        pool.apply(targets.interrupt_self)
    (pid,) = workers(pool)
    os.kill(pid, signal.SIGINT)
    works(pool)
    assert workers(pool) == {pid}


@pytest.mark.parametrize("large", [False, True])
def test_result_whose_descriptors_do_not_fit_fails_alone(
    make_pool: MakePool, submit: Callable[..., object], large: bool
) -> None:
    pool = make_pool(1)
    works(pool)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = max(map(int, os.listdir("/proc/self/fd"))) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    kept = []
    try:
        with suppress(OSError):
            while True:
                kept.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(ResultError, match="descriptors"):
            submit(pool, targets.make_pipe, 200_000 if large else 0)
    finally:
        for fd in kept:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    works(pool)


def test_worker_whose_channel_is_written_to_by_a_task(make_pool: MakePool) -> None:
    """What is no message ends that worker, and no other."""
    pool = make_pool(1)
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.write_to_channel)
    works(pool)


def test_no_process_is_left(make_pool: MakePool) -> None:
    pool = make_pool(2)
    with pytest.raises(WorkerDiedError):
        pool.apply(targets.kill_self)
    pool.close()
    pool.join()
    assert not active_children()
