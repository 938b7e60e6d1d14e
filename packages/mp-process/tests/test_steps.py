"""A launcher, a fork server or a child that is killed at any step harms nobody."""

from __future__ import annotations

import os
import sys

assert sys.platform == "linux"

import mp_process_steps as steps
import pytest

#: Every step is what ``MP_PROCESS_STEPS=full`` asks for, or the program of that name.
FULL = os.environ.get("MP_PROCESS_STEPS") == "full"

#: From how many steps one is taken, where each costs an interpreter; in `run slow`.
STRIDES: dict[tuple[str, steps.Role], tuple[int, int]] = {
    ("fork", "child"): (1, 1),
    ("fork", "launcher"): (1, 1),
    ("spawn", "child"): (12, 3),
    ("spawn", "launcher"): (25, 4),
    ("forkserver", "child"): (2, 1),
    ("forkserver", "launcher"): (60, 12),
    ("forkserver", "server"): (25, 6),
}
SLOW = [key for key, (some, more) in STRIDES.items() if some != more]


@pytest.mark.parametrize(("method", "role"), STRIDES)
def test_killed_at_a_step(method: str, role: steps.Role) -> None:
    """There is an error or an exit code, and no process and no descriptor is left."""
    kill(method, role, STRIDES[method, role][0])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("method", "role"), SLOW)
def test_killed_at_more_steps(method: str, role: steps.Role) -> None:
    kill(method, role, STRIDES[method, role][1])


def kill(method: str, role: steps.Role, stride: int) -> None:
    step = 1
    with steps.driver(method, role) as driver:
        while driver.attempt(step):
            step += 1 if FULL else stride
    assert step > 40
