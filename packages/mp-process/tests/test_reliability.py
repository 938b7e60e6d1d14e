"""Many starts at once, with somebody who kills, and on a system that refuses."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

import mp_process
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

SECONDS = 60

#: With MP_PROCESS_STARTS=full, all methods are tried as often as the cheapest.
FULL = os.environ.get("MP_PROCESS_STARTS") == "full"

#: Once for every run of the tests, and once in full.
TWICE = pytest.mark.parametrize(
    "full", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "full"]
)


@TWICE
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:this process has other threads")
def test_sixteen_threads_start(start_method: StartMethod, full: bool) -> None:
    """Each of them some, or fifty, which all end with the code of their own."""
    rounds = 8 if start_method == "fork" else 4 if start_method == "forkserver" else 1
    if full:
        rounds = 50 if FULL or start_method != "spawn" else 2
    ctx = get_context(start_method)
    barrier = threading.Barrier(16)
    codes: list[tuple[int, int | None]] = []
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        barrier.wait(SECONDS)
        try:
            for round_ in range(rounds):
                code = (thread * rounds + round_) % 200
                process = ctx.Process(target=targets.exit_with, args=(code,))
                process.start()
                process.join(SECONDS)
                codes.append((code, process.exitcode))
                process.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(codes) == 16 * rounds
    assert [pair for pair in codes if pair[0] != pair[1]] == []
    assert mp_process.active_children() == []


@TWICE
@pytest.mark.timeout(300)
def test_starts_with_a_killer(
    start_method: StartMethod, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody kills at random: each start is an exit code or an error, soon."""
    monkeypatch.setattr(scripts, "SECONDS", 250)
    starts = 100 if start_method == "fork" else 20
    if full:
        starts = 500 if FULL or start_method == "fork" else 50
    seed = random.randrange(2**32)
    program = Path(__file__).with_name("mp_process_storm.py")
    done = scripts.run(program, start_method, str(starts), str(seed))
    ended, killed, unknown, refused = map(int, done.stdout.split())
    assert ended + killed + unknown + refused >= starts
    # How many a loaded machine refuses depends on how often the fork server is killed.
    assert ended > 0
    assert killed + unknown + refused > 0
    if start_method != "forkserver":
        assert unknown == refused == 0


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_no_process_to_be_had(
    method: StartMethod, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's error is that of start, nothing has changed, and it can be tried."""
    process = get_context(method).Process(target=targets.exit_with, args=(3,))
    before = targets.open_files(), mp_process.active_children()

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if method == "fork":
            patch.setattr(os, "fork", refuse)
        else:
            patch.setattr(subprocess, "Popen", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match=os.strerror(number)) as caught:
                process.start()
            assert caught.value.errno == number
            del caught  # its frames own what they have opened
            assert process.pid is process.exitcode is None
            assert "initial" in repr(process)
            assert (targets.open_files(), mp_process.active_children()) == before
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 3
