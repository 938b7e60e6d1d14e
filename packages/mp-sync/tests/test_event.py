"""Event within one process."""

from __future__ import annotations

import pickle
import re
import sys
import threading
import time

import mp_sync_targets as targets
import pytest

from mp_connection import HandleError
from mp_sync import Event

assert sys.platform == "linux"


def test_setting_and_clearing() -> None:
    event = Event()
    assert event.is_set() is False
    assert re.fullmatch("<Event at 0x[0-9a-f]+ unset>", repr(event))
    event.set()
    event.set()
    assert event.is_set() is True
    assert re.fullmatch("<Event at 0x[0-9a-f]+ set>", repr(event))
    assert event.wait() is True
    event.clear()
    event.clear()
    assert event.is_set() is False


@pytest.mark.parametrize("timeout", [0, -1, 0.05, 0.4])
def test_waiting_in_vain(timeout: float) -> None:
    event = Event()
    start = time.monotonic()
    assert event.wait(timeout) is False
    assert max(timeout, 0) <= time.monotonic() - start < max(timeout, 0) + 10
    event.set()
    assert event.wait(timeout) is True


def test_all_who_wait_go_on_even_if_it_is_cleared_at_once() -> None:
    for _ in range(20):
        event = Event()
        results: list[bool] = []
        ready = threading.Semaphore(0)

        def wait(
            event: Event = event,
            results: list[bool] = results,
            ready: threading.Semaphore = ready,
        ) -> None:
            ready.release()
            results.append(event.wait(0.3))
            while not results[-1]:  # it had not begun to wait when it was set
                results[-1] = event.wait(targets.SECONDS)

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in threads:
            ready.acquire()
        time.sleep(0.001)
        event.set()
        event.clear()
        deadline = time.monotonic() + targets.SECONDS
        while any(t.is_alive() for t in threads) and time.monotonic() < deadline:
            event.set()
            time.sleep(0.001)
        for thread in threads:
            thread.join(targets.SECONDS)
        assert results == [True] * 4


def test_wrong_arguments() -> None:
    event = Event()
    with pytest.raises(TypeError):
        event.wait("1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not a number"):
        event.wait(float("nan"))
    with pytest.raises(TypeError):
        Event(1)  # type: ignore[call-arg]


def test_a_plain_pickle_is_refused() -> None:
    with pytest.raises(HandleError):
        pickle.dumps(Event())
