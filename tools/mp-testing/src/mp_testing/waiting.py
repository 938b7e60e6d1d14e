"""Waiting for what happens soon, in another process or thread."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds.

    Args:
        condition: what; called every few milliseconds.
        seconds: after which it is an AssertionError.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
