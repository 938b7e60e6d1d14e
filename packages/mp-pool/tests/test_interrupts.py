"""Ctrl-C, or any signal handler that raises, at any instruction of a caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import mp_pool_insides as insides
import mp_pool_targets as targets
import pytest

from mp_pool import Pool
from mp_pool._desk import Call
from mp_testing import StartMethod

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed


class Interrupt(BaseException):
    """What the handler raises."""


class Alarms:
    """Raises `Interrupt` when a signal comes while `inside`; once each time."""

    def __init__(self) -> None:
        self.inside = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.inside:
            self.inside = False
            raise Interrupt


@contextmanager
def alarms(first: float, interval: float = 0.0) -> Iterator[Alarms]:
    """Send signals to this process, after so many seconds."""
    found = Alarms()
    before = signal.signal(signal.SIGALRM, found.handle)
    signal.setitimer(signal.ITIMER_REAL, first, interval)
    try:
        yield found
    finally:
        found.inside = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupted(call: Callable[[], object], seconds: float) -> None:
    """Make a call that is interrupted after so many seconds."""

    def call_inside() -> None:
        found.inside = True
        call()

    with alarms(seconds) as found, pytest.raises(Interrupt):
        call_inside()


def both_workers_work(pool: Pool, directory: Path) -> None:
    """Two tasks that need each other run, and calls are led again."""
    first, second = str(directory / "a"), str(directory / "b")
    results = [
        pool.apply_async(targets.announce_and_wait, (first, second)),
        pool.apply_async(targets.announce_and_wait, (second, first)),
    ]
    for result in results:
        result.get(WAIT)
    deadline = time.monotonic() + WAIT
    while len(insides.desk_of(pool).idle) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert not insides.desk_of(pool).claims
    assert pool.apply(targets.square, (3,)) == 9


@pytest.mark.parametrize("way", ["apply", "get", "map", "wait"])
def test_wait_is_interrupted_and_nothing_is_lost(
    make_pool: MakePool, tmp_path: Path, way: str
) -> None:
    pool = make_pool(2)
    pool.apply(targets.nothing)
    go, begun = tmp_path / "go", str(tmp_path / "begun")
    other = pool.apply_async(targets.wait_for, (str(go),))
    calls: dict[str, Callable[[], object]] = {
        "apply": lambda: pool.apply(targets.announce_and_wait, (begun, str(go))),
        "get": lambda: other.get(),
        "map": lambda: pool.map(targets.wait_for, [str(go)]),
        "wait": lambda: other.wait(WAIT),
    }
    before = time.monotonic()
    interrupted(calls[way], 0.1)
    assert time.monotonic() - before < 5
    assert not other.ready()
    go.touch()
    assert other.get(WAIT)
    both_workers_work(pool, tmp_path)


def test_answer_to_an_interrupted_call_is_not_taken_for_another(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1)
    for number in range(5):
        go, begun = tmp_path / f"go{number}", str(tmp_path / f"begun{number}")
        pool.apply(targets.nothing)
        interrupted(
            partial(pool.apply, targets.announce_and_wait, (begun, str(go))), 0.05
        )
        result = pool.apply_async(targets.square, (number,))
        go.touch()
        assert pool.apply(targets.square, (100 + number,)) == (100 + number) ** 2
        assert result.get(WAIT) == number**2


def test_worker_in_the_hands_of_an_interrupted_caller_is_found(
    make_pool: MakePool, tmp_path: Path
) -> None:
    """The moment between taking a worker from the list and claiming it."""
    pool = make_pool(2)
    both_workers_work(pool, tmp_path)
    desk = insides.desk_of(pool)
    lost = desk.idle.pop()
    desk.post(Call(next(desk.serials), targets.nothing, b""))
    deadline = time.monotonic() + WAIT
    while lost not in desk.idle:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    other = tmp_path / "other"
    other.mkdir()
    both_workers_work(pool, other)


def storm(call: Callable[[int], object], seconds: float) -> tuple[int, int]:
    """Interrupt calls at random instructions; how many were, and how many not."""
    struck = spared = 0
    end = time.monotonic() + seconds
    with alarms(0.001, 0.00037) as found:
        while time.monotonic() < end:
            try:
                found.inside = True
                call(struck + spared)
                found.inside = False
                spared += 1
            except Interrupt:
                struck += 1
    return struck, spared


# What is raised within a finalizer cannot leave it: Python prints it and goes on.
unraisable = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


@unraisable
def test_storm_of_interrupts_in_apply(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(2)
    pool.apply(targets.nothing)

    def call(number: int) -> None:
        assert pool.apply(targets.square, (number,)) == number * number

    struck, spared = storm(call, 1.0)
    assert struck > 10
    assert spared > 10
    both_workers_work(pool, tmp_path)


@unraisable
def test_storm_of_interrupts_while_others_use_the_pool(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(2)
    pool.apply(targets.nothing)
    stop = threading.Event()
    wrong: list[object] = []

    def use() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            found = pool.apply_async(targets.square, (number,)).get(WAIT)
            mapped = pool.map(targets.square, range(5), 1)
            if found != number * number or mapped != [0, 1, 4, 9, 16]:
                wrong.append((number, found, mapped))

    def call(number: int) -> None:
        if number % 3 == 0:
            assert pool.map(targets.square, [number, 2], 1) == [number * number, 4]
        elif number % 3 == 1:
            assert pool.apply(targets.square, (number,)) == number * number
        else:
            pool.apply_async(targets.square, (number,)).get()

    thread = threading.Thread(target=use)
    thread.start()
    try:
        struck, _ = storm(call, 1.0)
    finally:
        stop.set()
        thread.join(WAIT)
    assert struck > 10
    assert not thread.is_alive()
    assert not wrong
    both_workers_work(pool, tmp_path)


CTRL_C = """\
import sys, time
sys.path[:0] = {path!r}
import mp_pool_targets as targets
from mp_pool import Pool
from mp_process import get_context

if __name__ == "__main__":
    with Pool(2, context=get_context({method!r})) as pool:
        pool.map(targets.nothing_of, range(4))
        print("go", flush=True)
        {call}
"""


@pytest.mark.parametrize(
    "call",
    [
        "pool.apply(time.sleep, (60,))",
        "pool.map(time.sleep, [60] * 8)",
        "pool.apply_async(time.sleep, (60,)).get()",
        "time.sleep(60)",
    ],
)
def test_ctrl_c_in_a_terminal(
    tmp_path: Path, start_method: StartMethod, call: str
) -> None:
    """The signal goes to all processes: one traceback, and a quick end."""
    script = tmp_path / "program.py"
    script.write_text(CTRL_C.format(path=sys.path, method=start_method, call=call))
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(0.1)
        before = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, text = process.communicate(timeout=WAIT)
        assert time.monotonic() - before < 15
    assert process.returncode == -signal.SIGINT
    assert text.count("Traceback") == 1, text
    assert text.rstrip().endswith("KeyboardInterrupt")
