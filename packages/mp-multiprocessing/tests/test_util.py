"""`util`: what third parties use of the standard module of this name."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mp_multiprocessing as mp
from mp_multiprocessing import util

assert sys.platform == "linux"


class Thing:
    """Can be referred to weakly."""


def test_a_finalizer_runs_once_and_gives_its_result() -> None:
    calls: list[tuple[int, int]] = []

    def note(a: int, b: int) -> int:
        calls.append((a, b))
        return a + b

    thing = Thing()
    finalizer = util.Finalize(thing, note, (1,), {"b": 2})
    assert finalizer.still_active()
    assert finalizer() == 3
    assert finalizer() is None
    assert not finalizer.still_active()
    del thing
    gc.collect()
    assert calls == [(1, 2)]


def test_a_finalizer_runs_when_its_object_goes_and_nobody_keeps_it() -> None:
    calls: list[int] = []
    things = [Thing(), Thing()]
    util.Finalize(things[0], calls.append, (0,))
    util.Finalize(things[1], calls.append, (1,)).cancel()
    things.clear()
    gc.collect()
    assert calls == [0]


def test_a_finalizer_without_an_object_needs_a_priority() -> None:
    with pytest.raises(ValueError, match="exitpriority"):
        util.Finalize(None, print)


def test_finalizers_run_at_exit_by_priority_and_not_in_forked_children() -> None:
    program = (
        "import os\n"
        "from mp_multiprocessing import util\n"
        "for n in 1, 5, -3:\n"
        "    util.Finalize(None, print, (n,), exitpriority=n)\n"
        "util.Finalize(None, lambda: print(util.is_exiting()), exitpriority=3)\n"
        "if os.fork():\n"
        "    os.wait()\n"
        "    print(util.is_exiting(), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.splitlines() == ["False", "5", "True", "1", "-3"]


def test_what_is_registered_for_forks_is_called_in_each_child_while_it_lives() -> None:
    calls: list[str] = []
    kept, gone = Thing(), Thing()
    util.register_after_fork(kept, lambda thing: calls.append("kept"))
    util.register_after_fork(gone, lambda thing: calls.append("gone"))
    util.register_after_fork(kept, lambda thing: calls.append(str(thing is kept)))
    del gone
    gc.collect()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if calls == ["kept", "True"] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert calls == []


def test_fork_aware_locks_are_free_and_locals_empty_in_a_child() -> None:
    lock, local = util.ForkAwareThreadLock(), util.ForkAwareLocal()
    local.x = 1
    with lock:
        pid = os.fork()
        if pid == 0:
            free = lock.acquire(blocking=False)
            os._exit(0 if free and not hasattr(local, "x") else 1)
        assert not lock.acquire(blocking=False)
    assert os.waitpid(pid, 0)[1] == 0
    assert local.x == 1


def report(connection: mp.Connection[str, None]) -> None:
    path = util.get_temp_dir()
    connection.send(path if os.path.isdir(path) else "")


def test_each_process_has_a_directory_until_its_end(start_method: mp.Method) -> None:
    ours, theirs = mp.Pipe()
    process = mp.get_context(start_method).Process(target=report, args=(theirs,))
    process.start()
    theirs.close()
    path = Path(ours.recv())
    process.join()
    assert path.name
    assert not path.exists()
    ours.close()


def test_the_functions_log_to_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    logger = util.get_logger()
    level = logger.level
    logger.setLevel(util.SUBDEBUG)
    logger.addHandler(caplog.handler)
    try:
        util.sub_debug("a %d", 1)
        util.debug("b")
        util.info("c")
        util.sub_warning("d")
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
    assert [(r.levelname, r.getMessage(), r.filename) for r in caplog.records] == [
        ("SUBDEBUG", "a 1", "test_util.py"),
        ("DEBUG", "b", "test_util.py"),
        ("INFO", "c", "test_util.py"),
        ("SUBWARNING", "d", "test_util.py"),
    ]
    assert logging.getLogger(util.LOGGER_NAME) is logger


def test_a_program_is_started_with_some_descriptors_and_no_others() -> None:
    reader, writer = os.pipe()
    other, kept = os.pipe()
    os.set_inheritable(kept, True)
    code = f"import os; os.write({writer}, b'x'); os.close({kept})"
    pid = util.spawnv_passfds(
        sys.executable, [sys.executable, "-I", "-S", "-c", code], [writer]
    )
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(writer)
    assert os.read(reader, 10) == b"x"
    for fd in (reader, other, kept):
        os.close(fd)
