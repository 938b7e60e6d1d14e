"""Pools in whose life anything may come at any time: nobody waits for ever.

`MP_POOL_LIVES_SECONDS=60` makes it longer, with other lives.
"""

from __future__ import annotations

import os
import random
import sys
import time
import warnings

assert sys.platform == "linux"

import pytest
from mp_pool_lives import Life

from mp_testing import StartMethod

SECONDS = float(os.environ.get("MP_POOL_LIVES_SECONDS", "0"))
#: Lives of one test, unless it is made longer.
LIVES = {"fork": 60, "spawn": 6, "forkserver": 25, None: 120}


@pytest.mark.slow
@pytest.mark.timeout(300 + SECONDS)
def test_everything_has_an_outcome_however_a_pool_ends(
    start_method: StartMethod,
) -> None:
    live(start_method)


@pytest.mark.slow
@pytest.mark.timeout(300 + SECONDS)
def test_everything_has_an_outcome_however_a_pool_of_threads_ends() -> None:
    live(None)


def live(method: StartMethod | None) -> None:
    number = random.randrange(1 << 32) if SECONDS else 0
    lives, end = LIVES[method], time.monotonic() + SECONDS
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        while count < lives or time.monotonic() < end:
            Life(method, number + count).run()
            count += 1
