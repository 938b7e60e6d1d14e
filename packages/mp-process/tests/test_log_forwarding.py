"""Log records of children in the handlers of their parent."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import logging
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mp_process_scripts
import pytest
from mp_process_logging import (
    BIG,
    SECONDS,
    Kept,
    Locking,
    fork_on,
    forwards_itself,
    log_and_start,
    log_at_exit,
    log_big,
    log_extras,
    log_for_ever,
    log_many,
    log_once,
    log_three,
    log_to_two,
    log_when_told,
    run,
    start,
    take_locks,
    tell_and_log,
)

import mp_process
from mp_connection import Connection, Pipe
from mp_process import forward_logs
from mp_process.context import Method
from mp_testing import until


@pytest.fixture
def kept() -> Iterator[Kept]:
    """The only handler of the root logger, whose level is INFO."""
    root, handler = logging.getLogger(), Kept()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    yield handler
    root.handlers[:] = handlers
    root.setLevel(level)


def test_records_reach_the_parents_handlers(start_method: Method, kept: Kept) -> None:
    with forward_logs():
        process = start(start_method, log_three)
        pid = process.pid
        process.join(SECONDS)
    info, error = kept.records
    assert (info.name, info.levelno, info.msg, info.args) == (
        *("own.part", logging.INFO, "text and 7", None),
    )
    assert (info.process, info.processName) == (pid, "child")
    assert error.exc_info is None
    assert error.exc_text is not None
    assert error.exc_text.splitlines()[-1] == "ValueError: why"
    assert "failed\nTraceback" in logging.Formatter().format(error)


def test_no_record_is_lost_and_each_processes_are_in_order(
    start_method: Method, kept: Kept
) -> None:
    names = ["a", "b", "c"]
    with forward_logs():
        processes = [start(start_method, log_many, name, 500) for name in names]
        for process in processes:
            process.join(SECONDS)
    for name in names:
        numbers = [int(r.getMessage()) for r in kept.records if r.name == name]
        assert numbers == list(range(500))


def test_what_is_logged_at_a_childs_exit_arrives(
    start_method: Method, kept: Kept
) -> None:
    with forward_logs():
        run(start_method, log_at_exit)
    assert kept.messages == ["before", "at exit"]


def test_descendants_send_too(start_method: Method, kept: Kept) -> None:
    methods: list[Method] = ["fork", "spawn", "fork", "forkserver"]
    with forward_logs():
        run(start_method, log_and_start, methods)
    assert kept.messages == [f"{number} below" for number in range(5)]


def test_a_child_that_forwards_sends_on(start_method: Method, kept: Kept) -> None:
    with forward_logs():
        run(start_method, forwards_itself, [])
    assert kept.messages == ["0", "1", "done"]


def test_a_handler_below_handles_once(
    start_method: Method, kept: Kept, tmp_path: Path
) -> None:
    """In a forked child the parent's are there as well, but leave it to the parent."""
    below, apart = logging.getLogger("below"), logging.getLogger("apart")
    # What a child's copies of them do has to be seen here.
    first = logging.FileHandler(tmp_path / "first")
    second = logging.FileHandler(tmp_path / "second")
    below.addHandler(first)
    apart.addHandler(second)
    apart.propagate = False
    try:
        with forward_logs():
            run(start_method, log_once, "below", "one")
            run(start_method, log_once, "apart.more", "two")
    finally:
        below.removeHandler(first)
        apart.removeHandler(second)
        apart.propagate = True
        first.close()
        second.close()
    assert kept.messages == ["one"]
    assert (tmp_path / "first").read_text() == "one\n"
    assert (tmp_path / "second").read_text() == "two\n"


def test_only_loggers_that_were_asked_for_send(
    start_method: Method, kept: Kept
) -> None:
    with forward_logs("asked"):
        run(start_method, log_to_two)
    assert kept.messages == ["sent"]


def test_levels_are_the_parents(start_method: Method, kept: Kept) -> None:
    logger = logging.getLogger("leveled")
    logger.setLevel(logging.ERROR)
    kept.setLevel(logging.INFO)
    try:
        with forward_logs():
            run(start_method, log_once, "leveled", "no")
            logger.setLevel(logging.WARNING)
            run(start_method, log_once, "leveled", "yes")
            until(lambda: kept.messages == ["yes"])  # it is on its way
            kept.setLevel(logging.ERROR)
            run(start_method, log_once, "leveled", "not the handler")
    finally:
        logger.setLevel(logging.NOTSET)
    assert kept.messages == ["yes"]


def test_attributes_travel_or_are_text(start_method: Method, kept: Kept) -> None:
    with forward_logs():
        run(start_method, log_extras)
    (record,) = kept.records
    more = vars(record)
    assert record.getMessage() == "<odd>"
    assert (more["path"], more["odd"], more["n"]) == (Path("/a"), "<odd>", 3)
    assert "lambda" in more["f"]


def test_big_records_keep_their_place(start_method: Method, kept: Kept) -> None:
    with forward_logs():
        run(start_method, log_big)
    assert [len(message) for message in kept.messages] == [BIG, 5] * 3


@pytest.mark.parametrize("size", [0, 300_000])
def test_a_killed_child_harms_nobody(
    start_method: Method, kept: Kept, size: int
) -> None:
    with forward_logs():
        victim = start(start_method, log_for_ever, size)
        deadline = time.monotonic() + SECONDS
        while len(kept.records) < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        victim.kill()
        victim.join(SECONDS)
        assert victim.exitcode == -signal.SIGKILL
        run(start_method, log_once, "other", "lives")
    *numbers, last = kept.messages
    assert last == "lives"
    assert len(numbers) >= 20
    assert [int(text.rstrip("x")) for text in numbers] == list(range(len(numbers)))
    assert {len(text) - len(text.rstrip("x")) for text in numbers} == {size}


class Slow(Kept):
    """Handles nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        assert self.go.wait(SECONDS)
        super().emit(record)


def test_a_full_buffer_makes_children_wait_and_loses_nothing(
    start_method: Method, kept: Kept
) -> None:
    slow = Slow()
    logging.getLogger().handlers[:] = [slow]
    ours, theirs = Pipe()
    with ours, theirs, forward_logs():
        process = start(start_method, tell_and_log, theirs, 3000)
        assert ours.recv() == "begin"
        threading.Timer(0.3, slow.go.set).start()
        process.join(SECONDS)  # which does not have to receive anything
        assert process.exitcode == 0
        assert ours.recv() == "end"
    assert slow.messages == [str(number) for number in range(3000)]


def test_children_go_on_when_the_parent_listens_no_more(
    start_method: Method, kept: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    pair: tuple[Connection[str, list[str]], Connection[list[str], str]] = Pipe()
    ours, theirs = pair
    with ours:
        with theirs, forward_logs():
            process = start(start_method, log_when_told, theirs)
            ours.recv()
            ours.send("first")
            ours.send("own")
            ours.send("second")
            deadline = time.monotonic() + SECONDS
            while len(kept.records) < 2 and time.monotonic() < deadline:
                time.sleep(0.005)
        for message in ("third", "fourth", ""):
            ours.send(message)
        assert ours.recv()[-1] == "fourth"
        process.join(SECONDS)
        assert process.exitcode == 0
    assert kept.messages == ["first", "second"]
    # Where nothing was forked there is no handler, which is for standard error.
    assert capfd.readouterr().err.count("Traceback") == 0


def test_what_was_sent_before_the_stop_is_handled(
    start_method: Method, kept: Kept
) -> None:
    slow = Slow()
    logging.getLogger().handlers[:] = [slow]
    forwarding = forward_logs()
    run(start_method, log_many, "sent", 20)
    slow.go.set()
    forwarding.stop()
    forwarding.stop()
    assert slow.messages == [str(number) for number in range(20)]


def test_later_children_are_not_concerned(kept: Kept) -> None:
    forward_logs().stop()
    run("fork", log_many, "later", 1)
    assert kept.messages == []


def test_it_is_asked_for_once(kept: Kept) -> None:
    with forward_logs(), pytest.raises(RuntimeError, match="already"):
        forward_logs()
    forward_logs().stop()


def test_a_plain_fork_sends_too(start_method: Method, kept: Kept) -> None:
    with forward_logs():
        run(start_method, fork_on)
    assert kept.messages == ["from below", "from above"]


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_no_fork_takes_place_while_a_record_is_handled(kept: Kept) -> None:
    """A lock that a handler holds is free in each child; nor does `start` warn."""
    locking = Locking()
    logging.getLogger().handlers[:] = [locking]
    with forward_logs():
        busy = start("fork", log_for_ever, 0)
        for _ in range(15):
            run("fork", take_locks)
        busy.kill()
        busy.join(SECONDS)
    assert locking.messages.count("got it") == 15


def test_a_fork_does_not_wait_for_ever_for_a_handler(kept: Kept) -> None:
    """Nor does it leave the lock that it did not get in disorder."""
    slow = Slow()
    logging.getLogger().handlers[:] = [slow]
    with forward_logs():
        run("fork", log_once, "first", "first")
        assert slow.entered.wait(SECONDS)
        run("fork", log_once, "second", "second")  # it begins and ends
        assert slow.messages == []
        slow.go.set()
        run("fork", log_once, "third", "third")
    assert slow.messages == ["first", "second", "third"]


def test_a_handler_that_fails_does_not_end_it(
    start_method: Method, kept: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    class Failing(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.getMessage() == "0":
                raise ZeroDivisionError("in a filter")
            return True

    failing = Failing()
    kept.addFilter(failing)
    with forward_logs():
        run(start_method, log_many, "own", 2)
    assert kept.messages == ["1"]
    assert "in a filter" in capfd.readouterr().err


AT_EXIT = """
import mp_process
import logging, sys, time
def work():
    time.sleep(0.3)
    logging.getLogger("late").info("late")
if __name__ == "__main__":
    logging.basicConfig(level="INFO", filename=sys.argv[2], filemode="w")
    mp_process.forward_logs()
    mp_process.get_context(sys.argv[1]).Process(target=work).start()
    logging.info("at the end")
"""


def test_at_exit_the_last_records_are_waited_for(
    tmp_path: Path, start_method: Method
) -> None:
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(AT_EXIT)
    assert mp_process_scripts.run(program, start_method, log).stderr == ""
    assert log.read_text().splitlines() == ["INFO:root:at the end", "INFO:late:late"]


KILLED = """
import logging, os, sys, time
import mp_process, mp_process_scripts
def work(path):
    parent = mp_process.parent_process()
    logging.warning("sent")
    parent.join(30)
    # The kernel closes a dying process's descriptors one by one: what tells of its end
    # may be closed before what records are sent to.  A zombie has closed all.
    assert not mp_process_scripts.wait_for_end([parent.pid], 30)
    own = logging.FileHandler(path)
    logging.getLogger().addHandler(own)
    logging.warning("own")
    logging.getLogger().removeHandler(own)
    own.close()
    logging.warning("last")
if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    mp_process.forward_logs()
    p = mp_process.get_context(sys.argv[1]).Process(target=work, args=(sys.argv[2],))
    p.start()
    print(p.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_children_outlive_a_killed_parent(tmp_path: Path, start_method: Method) -> None:
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(KILLED)
    done = mp_process_scripts.run(program, start_method, log, code=-9)
    assert not mp_process_scripts.wait_for_end([int(done.stdout)], SECONDS)
    assert "own" in log.read_text().split()
    assert "last" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_logger_of_the_layers_is_forwarded_once(
    tmp_path: Path, start_method: Method
) -> None:
    program = tmp_path / "program.py"
    program.write_text("""
import logging, sys
import mp_connection, mp_process
def work():
    mp_connection.get_logger().warning("hello")
if __name__ == "__main__":
    mp_connection.log_to_stderr("WARNING")
    with mp_process.forward_logs():
        p = mp_process.get_context(sys.argv[1]).Process(target=work, name="child")
        p.start()
        p.join()
""")
    done = mp_process_scripts.run(program, start_method)
    assert done.stderr == "[WARNING/child] hello\n"


def test_it_is_not_imported_for_nothing() -> None:
    module = "mp_process._log_forwarding"
    code = f"import sys, mp_process; sys.exit({module!r} in sys.modules)"
    mp_process_scripts.run("-c", code)
    assert mp_process.forward_logs is forward_logs
