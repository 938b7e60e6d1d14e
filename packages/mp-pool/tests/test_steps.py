"""A worker that is killed at any line that serves a request takes one task at most."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import mp_pool_steps as steps
import pytest

from mp_testing import StartMethod

#: From how many lines one is taken; here, and in `run slow`.  `mp_pool_steps.py` as a
#: program takes all of them.
STRIDES: dict[StartMethod, tuple[int, int]] = {
    "fork": (43, 3),
    "spawn": (181, 31),
    "forkserver": (113, 17),
}


def kill(method: StartMethod, request: str, stride: int) -> None:
    # Not the same lines of all requests, which have many in common.
    first = 1 + list(steps.REQUESTS).index(request) * 3 % stride
    with steps.driver(method) as driver:
        lines = steps.kill_at_lines(driver, request, first, stride)
        assert lines > 1
        assert driver.deaths


#: What runs each time: starting workers is cheap under fork only.
BRIEF: list[tuple[StartMethod, str]] = [
    *[("fork", request) for request in steps.REQUESTS],
    ("spawn", "imap"),
    ("forkserver", "imap"),
]


@pytest.mark.parametrize(("method", "request_"), BRIEF)
def test_killed_at_a_line(method: StartMethod, request_: str) -> None:
    """No hang, one typed error at most, all else right, and as many workers."""
    kill(method, request_, STRIDES[method][0])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("request_", steps.REQUESTS)
def test_killed_at_more_lines(start_method: StartMethod, request_: str) -> None:
    kill(start_method, request_, STRIDES[start_method][1])
