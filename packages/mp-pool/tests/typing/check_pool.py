"""What type checkers say of pools.  Never run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, assert_type

from mp_pool import (
    AsyncResult,
    Executor,
    IMapIterator,
    Pool,
    PoolStats,
    ThreadPool,
)
from mp_process import get_context


def none() -> str:
    return ""


def one(number: int) -> str:
    return str(number)


def two(number: int, text: str) -> list[str]:
    return [text] * number


def optional(number: int, text: str = "") -> float:
    return number + len(text)


def keywords(number: int, *, text: str) -> bytes:
    return text.encode() * number


def variadic(*numbers: int) -> int:
    return sum(numbers)


class Thing:
    def __init__(self, name: str) -> None:
        self.name = name

    def method(self, number: int) -> set[int]:
        return {number}


def check_apply(pool: Pool, some: Iterable[Any], words: Mapping[str, Any]) -> None:
    assert_type(pool.apply(none), str)
    assert_type(pool.apply(none, ()), str)
    assert_type(pool.apply(one, (1,)), str)
    assert_type(pool.apply(two, (1, "")), list[str])
    assert_type(pool.apply(optional, (1,)), float)
    assert_type(pool.apply(optional, (1, "")), float)
    assert_type(pool.apply(variadic, (1, 2, 3)), int)
    assert_type(pool.apply(Thing, ("",)), Thing)
    assert_type(pool.apply(Thing("").method, (1,)), set[int])
    assert_type(pool.apply(os.getpid), int)
    assert_type(pool.apply(keywords, (1,), {"text": ""}), bytes)
    assert_type(pool.apply(keywords, kwds={"number": 1, "text": ""}), bytes)
    assert_type(pool.apply(one, some, words), str)
    pool.apply(one)  # type: ignore[arg-type]
    pool.apply(one, ("",))  # type: ignore[arg-type]
    pool.apply(one, (1, 2))  # type: ignore[arg-type]
    pool.apply(two, ("", 1))  # type: ignore[arg-type]
    pool.apply(none, (1,))  # type: ignore[arg-type]
    pool.apply(1)  # type: ignore[call-overload]
    pool.apply(one, (1,), 3)  # type: ignore[call-overload]


def take_text(text: str) -> None: ...
def take_number(number: int) -> None: ...
def take_texts(texts: list[str]) -> None: ...
def take_error(error: BaseException) -> None: ...


def check_apply_async(pool: Pool) -> None:
    assert_type(pool.apply_async(none), AsyncResult[str])
    assert_type(pool.apply_async(two, (1, "")), AsyncResult[list[str]])
    assert_type(pool.apply_async(two, (1, "")).get(), list[str])
    assert_type(pool.apply_async(one, (1,)).get(timeout=1.5), str)
    assert_type(pool.apply_async(one, (1,)).wait(1), None)
    assert_type(pool.apply_async(one, (1,)).ready(), bool)
    assert_type(pool.apply_async(one, (1,)).successful(), bool)
    assert_type(pool.apply_async(keywords, (1,), {"text": ""}), AsyncResult[bytes])
    pool.apply_async(one, (1,), callback=take_text, error_callback=take_error)
    pool.apply_async(one, (1,), {}, take_text, take_error)
    pool.apply_async(one, ("",))  # type: ignore[arg-type]
    pool.apply_async(one, (1,), callback=take_number)  # type: ignore[misc]
    pool.apply_async(one, (1,), error_callback=take_text)  # type: ignore[arg-type]


def check_map(pool: Pool) -> None:
    assert_type(pool.map(one, [1, 2]), list[str])
    assert_type(pool.map(one, range(3), 5), list[str])
    assert_type(pool.map(Thing, "abc", chunksize=2), list[Thing])
    assert_type(pool.map_async(one, {1, 2}), AsyncResult[list[str]])
    assert_type(pool.starmap(two, [(1, "x")]), list[list[str]])
    assert_type(pool.starmap_async(two, [(1, "x")]), AsyncResult[list[list[str]]])
    pool.starmap(two, [("x", 1)])  # type: ignore[arg-type]
    assert_type(pool.map_async(one, [1]).get(), list[str])
    pool.map_async(one, [1], 1, take_texts, take_error)
    pool.map(one, ["a"])  # type: ignore[arg-type]
    pool.map(two, [1])  # type: ignore[arg-type]
    pool.map(one, 1)  # type: ignore[arg-type]
    pool.map_async(one, [1], callback=take_text)  # type: ignore[arg-type]


def check_imap(pool: Pool, threads: ThreadPool) -> None:
    assert_type(pool.imap(one, [1, 2]), IMapIterator[str])
    assert_type(pool.imap_unordered(one, range(3), 5), IMapIterator[str])
    assert_type(threads.imap(one, iter([1]), buffersize=3).next(timeout=1.5), str)
    assert_type(next(pool.imap(Thing, "abc")), Thing)
    assert_type(list(pool.imap(Thing, "abc")), list[Thing])
    pool.imap(one, ["a"])  # type: ignore[arg-type]
    pool.imap(two, [1])  # type: ignore[arg-type]
    pool.imap_unordered(one, 1)  # type: ignore[arg-type]
    pool.imap(one, [1], buffersize="2")  # type: ignore[arg-type]


async def check_async(pool: Pool) -> None:
    async for text in pool.imap(one, [1, 2]):
        assert_type(text, str)


def check_thread_pool() -> None:
    ThreadPool()
    ThreadPool(2, one, (1,))
    ThreadPool(initializer=two, initargs=(1, ""))
    ThreadPool(2, one, ("",))  # type: ignore[arg-type]
    ThreadPool(maxtasksperchild=3)  # type: ignore[call-overload]
    with ThreadPool(1) as pool:
        assert_type(pool, ThreadPool)
        assert_type(pool.map(one, [1]), list[str])


def check_terms(pool: Pool) -> None:
    assert_type(pool.apply(one, (1,), timeout=1.5, retries=2), str)
    assert_type(pool.apply(none, timeout=1), str)
    assert_type(pool.apply_async(one, (1,), timeout=1, retries=2), AsyncResult[str])
    assert_type(pool.apply_async(one, (1,), {}, timeout=1), AsyncResult[str])
    assert_type(pool.map(one, [1], timeout=3, progress=take_progress), list[str])
    assert_type(pool.imap(one, [1], retries=3), IMapIterator[str])
    assert_type(pool.apply_async(one, (1,)).cancel(), bool)
    assert_type(pool.stats(), PoolStats)
    pool.apply(one, ("",), timeout=1)  # type: ignore[arg-type]
    pool.apply(one, (1,), timeout="1")  # type: ignore[call-overload]
    pool.map(one, [1], progress=take_number)  # type: ignore[arg-type]


def take_progress(done: int, total: int) -> None: ...


async def check_await(pool: Pool) -> None:
    assert_type(await pool.apply_async(two, (1, "")), list[str])


def check_executor(executor: Executor) -> None:
    assert_type(executor.submit(two, 1, text=""), Future[list[str]])
    assert_type(executor.map(one, [1, 2], buffersize=2), Iterator[str])
    executor.submit(two, 1, 2)  # type: ignore[arg-type]


def check_pool() -> None:
    Pool()
    Pool(2)
    Pool(None, none)
    Pool(2, one, (1,))
    Pool(2, one, (1,), 5, get_context("spawn"))
    Pool(2, None, (), 5)
    Pool(initializer=two, initargs=(1, ""), maxtasksperchild=3)
    Pool(maxtasksperchild=3, context=get_context("fork"))
    Pool("available", max_rss=1 << 30, cpus=[[0], {1, 2}], trace="trace.json")
    Pool(1, one, (1,), finalizer=none)
    Pool(1, finalizer=one)  # type: ignore[arg-type]
    Pool("2")  # type: ignore[call-overload]
    Pool(2, one)  # type: ignore[arg-type]
    Pool(2, one, ("",))  # type: ignore[arg-type]
    Pool(context="fork")  # type: ignore[call-overload]
    with Pool(1) as pool:
        assert_type(pool, Pool)
        assert_type(pool.close(), None)
        assert_type(pool.terminate(), None)
        assert_type(pool.join(), None)
