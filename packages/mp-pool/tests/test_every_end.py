"""Every way in which a task can go wrong ends that task, with a typed error, only.

The list is run through with one pool for each start method: after each entry the pool
works on, with as many workers as before.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_pool import (
    Pool,
    RemoteTraceback,
    ResultError,
    TaskExitError,
    TaskFailedError,
    TaskLoadError,
    UnpicklableError,
    WorkerDiedError,
)
from mp_process.process import BaseProcess

assert sys.platform == "linux"

WAIT = 20  # seconds after which a test has failed


def caught(kind: type[Exception], call: Callable[..., object], *arguments: Any) -> Any:
    """The error of this very class that a call raises."""
    with pytest.raises(kind) as info:
        call(*arguments)
    assert type(info.value) is kind
    return info.value


def with_each(pool: Pool, kind: type[Exception], function: Any, argument: Any) -> Any:
    """The error of a task, which is the same however the task is submitted."""
    caught(kind, pool.apply, function, (argument,))
    caught(kind, pool.map, function, [argument, argument], 2)
    caught(kind, next, pool.imap(function, [argument, argument], 2))
    return caught(kind, pool.apply_async(function, (argument,)).get, WAIT)


def killed_while_busy(pool: Pool) -> None:
    error = with_each(pool, WorkerDiedError, targets.kill_self, signal.SIGKILL)
    assert error.exitcode == -signal.SIGKILL
    assert "SIGKILL" in str(error)
    assert error.function == "mp_pool_targets.kill_self"


#: Held by whoever has tasks run that must not be hit.
quiet = threading.Lock()


def killed_while_idle(pool: Pool) -> None:
    with quiet:
        for worker in pool._pool:
            assert isinstance(worker, BaseProcess)
            os.kill(worker.pid or 0, signal.SIGKILL)
    assert pool.map(targets.square, range(8), 1) == [i * i for i in range(8)]


def segmentation_fault(pool: Pool) -> None:
    error = caught(WorkerDiedError, pool.apply, targets.crash)
    assert error.exitcode == -signal.SIGSEGV
    assert "Segmentation fault" in error.traceback
    assert "in crash" in error.traceback
    assert error.traceback.rstrip() in str(error)
    assert pickle.loads(pickle.dumps(error)).traceback == error.traceback


def end_by_os_exit(pool: Pool) -> None:
    error = with_each(pool, WorkerDiedError, targets.end_at_once, 7)
    assert error.exitcode == 7
    assert error.traceback == ""


def end_by_sys_exit(pool: Pool) -> None:
    assert with_each(pool, TaskExitError, targets.leave, 3).code == 3


def argument_that_does_not_pickle(pool: Pool) -> None:
    caught(UnpicklableError, pool.apply, targets.identity, (threading.Lock(),))
    caught(UnpicklableError, pool.apply_async, targets.identity, (threading.Lock(),))
    caught(UnpicklableError, pool.map, targets.identity, [1, threading.Lock()])


def argument_that_does_not_unpickle(pool: Pool) -> None:
    with_each(pool, TaskLoadError, targets.identity, targets.Unloadable())


def result_that_does_not_pickle(pool: Pool) -> None:
    error = with_each(pool, ResultError, targets.make_unpicklable, None)
    assert "lock" in error.exc
    assert "locks" in error.value


def result_that_does_not_unpickle(pool: Pool) -> None:
    assert with_each(pool, ResultError, targets.make_unloadable, None).exc


def exception_with_another_constructor(pool: Pool) -> None:
    error = with_each(pool, TaskFailedError, targets.raise_stubborn, None)
    assert "StubbornError" in error.kind
    assert "7: seven" in error.text


def exception_that_does_not_pickle(pool: Pool) -> None:
    error = with_each(pool, TaskFailedError, targets.raise_locked, None)
    assert "LockedError" in error.kind
    assert "in raise_locked" in str(error.__cause__)


def exception_group_with_notes_and_causes(pool: Pool) -> None:
    group = caught(ExceptionGroup, pool.apply, targets.fail_in_group)
    assert [type(error) for error in group.exceptions] == [ValueError, KeyError]
    assert group.__notes__ == ["of the group"]
    assert group.exceptions[0].__notes__ == ["of the first"]
    assert isinstance(group.__cause__, RemoteTraceback)
    for text in ("ZeroDivisionError: the reason", "of the first", "KeyError"):
        assert text in group.__cause__.tb


def recursion_without_end(pool: Pool) -> None:
    with_each(pool, RecursionError, targets.recurse, 0)


def no_memory(pool: Pool) -> None:
    with_each(pool, MemoryError, targets.raise_memory_error, None)


def other_exceptions(pool: Pool) -> None:
    caught(TaskExitError, pool.apply, targets.raise_no_exception)
    caught(TaskExitError, pool.apply, targets.interrupt_self)


def output_without_end(pool: Pool) -> None:
    """What nobody reads holds nobody up."""
    assert pool.apply(targets.print_much, (50 << 20,)) == 50 << 20


def nonsense_in_the_channel(pool: Pool) -> None:
    caught(WorkerDiedError, pool.apply, targets.write_to_channel)


ENDS = (
    killed_while_busy,
    killed_while_idle,
    segmentation_fault,
    end_by_os_exit,
    end_by_sys_exit,
    argument_that_does_not_pickle,
    argument_that_does_not_unpickle,
    result_that_does_not_pickle,
    result_that_does_not_unpickle,
    exception_with_another_constructor,
    exception_that_does_not_pickle,
    exception_group_with_notes_and_causes,
    recursion_without_end,
    no_memory,
    other_exceptions,
    output_without_end,
    nonsense_in_the_channel,
)


def test_one_task_ends_and_nothing_else(pool: Pool) -> None:
    bystander = threading.Event()
    wrong: list[int] = []

    def stand_by() -> None:
        """Another user of the pool, who never notices anything."""
        number = 0
        while not bystander.is_set():
            number += 1
            with quiet:
                if pool.apply(targets.square, (number,)) != number * number:
                    wrong.append(number)
            time.sleep(0.01)

    thread = threading.Thread(target=stand_by)
    thread.start()
    try:
        for end in ENDS:
            try:
                end(pool)
            except BaseException as error:
                error.add_note(f"in {end.__name__}")
                raise
            assert pool.map(targets.square, range(20), 1) == [i * i for i in range(20)]
            assert thread.is_alive()
    finally:
        bystander.set()
        thread.join(WAIT)
    assert not wrong
    assert len(pool._pool) == 2
