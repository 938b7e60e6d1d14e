"""The portable backend passes the same tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

assert sys.platform == "linux"

from mp_sync import _backend

FILES = (
    *("lock", "event", "condition", "barrier"),
    *("sharing", "deaths", "robust", "async", "chaos"),
)
#: Each start method is its own, and one kind of semaphore like the other; some tests
#: are only about time.
SOME = " and ".join(
    f"not {word}"
    for word in (
        *("spawn", "forkserver", "bounded", "None"),
        *("vain", "is_kept", "returns", "every_step", "aborting"),
        *("nothing_hangs", "many", "take_turns", "wrong", "plain_lock", "zero"),
    )
)


QUEUES = ("queue", "queue_deaths")

choices = pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(SOME, id="some"),
        pytest.param("", id="all", marks=pytest.mark.slow),
    ],
)


def run(files: tuple[str, ...], chosen: str, variable: str) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-k", chosen, "-m", "not slow"),
            *(str(here / f"test_{name}.py") for name in files),
        ],
        env=os.environ | {variable: "portable"},
        cwd=here.parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(_backend.backend == "portable", reason="they run under it now")
@pytest.mark.timeout(300)
@choices
def test_the_tests_under_the_portable_backend(chosen: str) -> None:
    run(FILES, chosen, "MP_SYNC_BACKEND")


@pytest.mark.timeout(300)
@choices
def test_queues_where_mp_connection_is_portable(chosen: str) -> None:
    files = QUEUES[:1] if chosen else QUEUES
    run(files, chosen, "MP_CONNECTION_BACKEND")
