"""Whoever waits for a map unpickles what has come while other tasks still run."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_pool import AsyncResult, Pool, ResultError, TimeoutError
from mp_pool._result import _LONG

WAIT = 20

#: Called in this process when a `Loud` is unpickled.
heard: list[Callable[[], object]] = []


class Loud:
    """Large, and noted when it is unpickled, which the caller does."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.bulk = b"x" * _LONG

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for call in heard:
            call()


def loud_or_late(thing: int | str) -> Loud:
    """A number, at once; or that of a file that is waited for."""
    return Loud(thing if isinstance(thing, int) else targets.wait_for(thing) * 0)


def loud_or_failure(thing: int | str) -> Loud:
    if isinstance(thing, str):
        targets.wait_for(thing)
        raise KeyError(thing)
    return Loud(thing)


def items_of(*items: int | str) -> list[int | str]:
    """To be sent in chunks of two: by themselves they would come together."""
    return list(items)


@pytest.fixture
def news() -> Any:
    """A semaphore that counts what was unpickled."""
    count = threading.Semaphore(0)
    heard.append(count.release)
    yield count
    heard.clear()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


def in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Call it in a thread; its result is put in the list."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    return thread, results


@pytest.mark.parametrize("way", ["map", "map_async"])
def test_values_are_unpickled_while_others_are_made(
    pool: Pool, news: threading.Semaphore, go: Path, way: str
) -> None:
    items = items_of(1, 2, str(go), 3)

    def call() -> list[int]:
        if way == "map":
            return [loud.number for loud in pool.map(loud_or_late, items, 2)]
        return [loud.number for loud in pool.map_async(loud_or_late, items, 2).get()]

    thread, results = in_thread(call)
    assert news.acquire(timeout=WAIT)
    assert news.acquire(timeout=WAIT)
    assert not news.acquire(timeout=0.05)
    go.touch()
    thread.join(WAIT)
    assert results == [[1, 2, 0, 3]]
    assert news.acquire(timeout=WAIT)
    assert news.acquire(timeout=WAIT)
    assert not news.acquire(blocking=False)  # once each


def test_nobody_unpickles_before_somebody_asks(
    pool: Pool, news: threading.Semaphore, go: Path
) -> None:
    result = pool.map_async(loud_or_late, items_of(1, 2, str(go)), 2)
    waiting, _ = in_thread(result.wait)
    go.touch()
    waiting.join(WAIT)
    assert result.ready()
    assert not news.acquire(blocking=False)
    assert [loud.number for loud in result.get(WAIT)] == [1, 2, 0]


def test_waiting_is_for_all_of_it(pool: Pool, go: Path) -> None:
    result = pool.map_async(loud_or_late, items_of(1, 2, str(go)), 2)

    async def use() -> list[int]:
        task = asyncio.ensure_future(_value_of(result))
        await asyncio.sleep(0.2)  # mostly the first has come before
        assert not task.done()
        waiting, ended = in_thread(result.wait)
        waiting.join(0.2)
        assert not ended
        go.touch()
        return await asyncio.wait_for(task, WAIT)

    assert asyncio.run(use()) == [1, 2, 0]


async def _value_of(result: AsyncResult[list[Loud]]) -> list[int]:
    return [loud.number for loud in await result]


def test_time_outs_hold(pool: Pool, news: threading.Semaphore, go: Path) -> None:
    result = pool.map_async(loud_or_late, items_of(1, 2, str(go)), 2)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        result.get(0.2)
    assert 0.15 < time.monotonic() - begun < WAIT
    go.touch()
    assert [loud.number for loud in result.get(WAIT)] == [1, 2, 0]
    for _ in range(3):
        assert news.acquire(timeout=WAIT)
    assert not news.acquire(blocking=False)


def test_several_threads_get_the_same(pool: Pool, go: Path) -> None:
    result = pool.map_async(loud_or_late, items_of(1, 2, 3, 4, str(go)), 2)
    threads = [in_thread(lambda: result.get(WAIT)) for _ in range(4)]
    go.touch()
    for thread, _ in threads:
        thread.join(WAIT)
    values = [values for _, values in threads]
    assert [loud.number for loud in result.get()] == [1, 2, 3, 4, 0]
    assert all(value == [result.get()] for value in values)


def test_a_failure_comes_out_all_the_same(
    pool: Pool, news: threading.Semaphore, go: Path
) -> None:
    thread, errors = in_thread(
        lambda: _error_of(lambda: pool.map(loud_or_failure, items_of(1, 2, str(go)), 2))
    )
    assert news.acquire(timeout=WAIT)
    go.touch()
    thread.join(WAIT)
    assert [type(error) for error in errors] == [KeyError]


def _error_of(function: Callable[[], object]) -> BaseException | None:
    try:
        function()
    except BaseException as error:
        return error
    return None


def test_what_cannot_be_unpickled_fails_at_the_end(pool: Pool, go: Path) -> None:
    calls = threading.Semaphore(0)

    def fail() -> None:
        calls.release()
        raise LookupError("not here")

    heard.append(fail)
    try:
        items = items_of(1, 2, str(go))
        thread, errors = in_thread(
            lambda: _error_of(lambda: pool.map(loud_or_late, items, 2))
        )
        assert calls.acquire(timeout=WAIT)
        thread.join(0.1)
        assert not errors
        heard.clear()
        go.touch()
        thread.join(WAIT)
    finally:
        heard.clear()
    assert [type(error) for error in errors] == [ResultError]
    assert "LookupError('not here')" in str(errors[0])
    assert not calls.acquire(blocking=False)  # once


def test_an_interruption_meanwhile_loses_nothing(pool: Pool, go: Path) -> None:
    result = pool.map_async(loud_or_late, items_of(1, 2, str(go)), 2)

    def interrupt() -> None:
        raise KeyboardInterrupt

    heard.append(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            result.get(WAIT)
    finally:
        heard.clear()
    go.touch()
    assert [loud.number for loud in result.get(WAIT)] == [1, 2, 0]


def test_an_interruption_at_the_end_loses_nothing(
    pool: Pool, news: threading.Semaphore, go: Path
) -> None:
    result = pool.map_async(loud_or_late, items_of(1, 2, str(go), 3), 2)
    with pytest.raises(TimeoutError):
        result.get(0.5)
    go.touch()
    result.wait(WAIT)

    def interrupt() -> None:
        heard.clear()
        raise KeyboardInterrupt

    heard[:] = [interrupt]
    with pytest.raises(KeyboardInterrupt):  # in what came last
        result.get(WAIT)
    assert [loud.number for loud in result.get(WAIT)] == [1, 2, 0, 3]
