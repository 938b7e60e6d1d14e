"""Types that users rely on; checked by mypy, never run."""

from __future__ import annotations

from typing import assert_type

import mp_multiprocessing as mp


def work(number: int, text: str) -> float:
    return number * len(text)


def half(number: int) -> float:
    return number / 2


ctx = mp.get_context("spawn")
pool: mp.Pool = ctx.Pool(2)
assert_type(pool.map(half, [1, 2]), list[float])
assert_type(pool.apply(work, (1, "x")), float)
pool.apply(work, ("x", 1))  # type: ignore[arg-type]
ctx.Pool(2, initializer=half, initargs=("x",))  # type: ignore[arg-type]
ctx.Pool(2, initializer=half, initargs=(1,))
ctx.Pool(2, half, (1,))
ctx.Process(target=work, args=(1, "x"))
mp.Process(target=work, args=("x", 1))  # type: ignore[arg-type]


def typed_ends(connection: mp.Connection[int, str]) -> None:
    connection.send(1)
    connection.send("x")  # type: ignore[arg-type]
    assert_type(connection.recv(), str)


def guarded(lock: mp.Lock, again: mp.RLock, places: mp.Semaphore, go: mp.Event) -> bool:
    with lock, again, places:
        assert_type(places.get_value(), int)
        go.set()
    lock.acquire(timeout="1")  # type: ignore[arg-type]
    return lock.acquire(False) and go.wait(0.1)


mp.Process(target=guarded, args=(ctx.Lock(), ctx.RLock(), mp.Semaphore(2), ctx.Event()))
mp.Process(target=guarded, args=(mp.RLock(),))  # type: ignore[arg-type]
bounded: mp.Semaphore = ctx.BoundedSemaphore(2)
ctx.Semaphore("2")  # type: ignore[arg-type]


def waiting(condition: mp.Condition) -> str | None:
    with condition:
        assert_type(condition.wait(1.5), bool)
        condition.notify(2)
        return condition.wait_for(some_text, timeout=1)


def some_text() -> str | None:
    return None


ctx.Condition(mp.Lock())
mp.Condition(lock=mp.RLock())
mp.Condition(mp.Semaphore())  # type: ignore[arg-type]


def meeting(barrier: mp.Barrier) -> None:
    assert_type(barrier.wait(1.5), int)
    assert_type(barrier.n_waiting, int)


ctx.Barrier(2, some_text, timeout=1)
mp.Barrier("2")  # type: ignore[arg-type]


def shared() -> None:
    assert_type(mp.Value("i", 0).value, int)
    assert_type(ctx.Value("d", 0.5).value, float)
    assert_type(ctx.Array("d", 3)[:], list[float])
    assert_type(mp.RawArray("d", 3)[0], float)
    assert_type(ctx.RawValue("i").value, int)


def taken(queue: mp.Queue[int], joinable: mp.JoinableQueue[str]) -> None:
    assert_type(queue.get(), int)
    assert_type(queue.get_many(), list[int])
    assert_type(joinable.get(), str)
    queue.put("x")  # type: ignore[arg-type]
    assert_type(mp.Queue[int]().get(), int)
    simple: mp.SimpleQueue[bytes] = ctx.SimpleQueue()
    assert_type(simple.get(), bytes)
    mp.Queue().put(object())
