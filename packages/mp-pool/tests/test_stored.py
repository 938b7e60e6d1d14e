"""A function that is a large object's is sent once, and not with every chunk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_pool import Pool, WorkerDiedError
from mp_pool._stored import StoredFunction, stored

assert sys.platform == "linux"

NUMBERS = range(40)


def noted(directory: Path, what: str) -> list[str]:
    """Who did it, once for each time."""
    return [path.name.split("-")[1] for path in directory.glob(f"{what}-*")]


CALLS: dict[str, Callable[[Pool, targets.Large], Any]] = {
    "map": lambda pool, large: pool.map(large.add, NUMBERS, 2),
    "imap": lambda pool, large: list(pool.imap(large.add, NUMBERS, 2)),
    "unordered": lambda pool, large: sorted(pool.imap_unordered(large.add, NUMBERS)),
    "starmap": lambda pool, large: pool.starmap(
        large.add, [(number - 1, 1) for number in NUMBERS], 1
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_once_in_each_worker(shared_pool: Pool, tmp_path: Path, call: str) -> None:
    results = CALLS[call](shared_pool, targets.Large(str(tmp_path)))
    assert results == [1_000_000 + number for number in NUMBERS]
    assert len(noted(tmp_path, "pickled")) == 1
    workers = noted(tmp_path, "unpickled")
    assert 1 <= len(workers) == len(set(workers)) <= 2


def test_a_later_object_is_not_taken_for_an_earlier_one(
    shared_pool: Pool, tmp_path: Path
) -> None:
    for size in (100_000, 200_000, 300_000):
        large = targets.Large(str(tmp_path))
        large.content = bytes(size)
        assert shared_pool.map(large.add, range(4), 1) == [size + n for n in range(4)]


def test_a_new_worker_gets_it_too(pool: Pool, tmp_path: Path) -> None:
    """Also when a chunk is sent a second time, task by task."""
    large = targets.Large(str(tmp_path))
    iterator = pool.imap(large.end, range(20), 5)
    results: list[object] = []
    for _ in range(20):
        try:
            results.append(iterator.next(30))
        except WorkerDiedError:
            results.append(None)
    assert results == [None if number == 7 else number for number in range(20)]
    assert len(noted(tmp_path, "pickled")) == 1


def test_what_is_small_or_cannot_be_stored_is_sent_as_it_is() -> None:
    assert stored(targets.square) is targets.square
    unpicklable: Callable[[], None] = lambda: None  # noqa: E731
    assert stored(unpicklable) is unpicklable


def test_its_memory_can_be_given_back_twice() -> None:
    function = stored(bytes(200_000).find)
    assert isinstance(function, StoredFunction)
    function.close()
    function.close()
