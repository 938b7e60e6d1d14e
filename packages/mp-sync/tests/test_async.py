"""Locks, semaphores, events and conditions in event loops."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

import mp_sync_targets as targets
import pytest

import mp_sync
from mp_connection import Pipe
from mp_process import get_context
from mp_sync import BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_sync import _async, _native, _portable

T = TypeVar("T")
AsyncLock: TypeAlias = Lock | Semaphore

KINDS: dict[str, Callable[[], AsyncLock]] = {
    "lock": Lock,
    "robust lock": lambda: Lock(robust=True),
    "semaphore": Semaphore,
    "bounded semaphore": BoundedSemaphore,
    "robust semaphore": lambda: Semaphore(robust=True),
}


@pytest.fixture(params=KINDS)
def lock(request: pytest.FixtureRequest) -> Iterator[AsyncLock]:
    """Each kind that event loops can take, free."""
    yield KINDS[request.param]()
    del request.node.funcargs["lock"]


@pytest.fixture(autouse=True)
def sleeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[_async._Sleeper]:
    """What sleeps for tasks, whose thread ends with the test."""
    own = _async._Sleeper()
    monkeypatch.setattr(_async, "_sleeper", own)
    monkeypatch.setattr(_async, "_IDLE", 0.005)
    yield own
    deadline = time.monotonic() + targets.SECONDS
    while own._news is not None and time.monotonic() < deadline:
        time.sleep(0.005)  # it ends when it has had nothing to do
    assert own._news is None


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def limited() -> T:
        return await asyncio.wait_for(coroutine, targets.SECONDS)

    result = asyncio.run(limited())
    gc.collect()
    return result


def test_taking_and_letting_go(lock: AsyncLock) -> None:
    async def work() -> None:
        assert await lock.aacquire() is True
        assert lock.locked()
        assert await lock.aacquire(0) is False
        assert await lock.aacquire(timeout=0.03) is False
        lock.release()
        async with lock as held:
            assert held is True
            assert lock.locked()
        assert not lock.locked()

    run(work())


def test_a_task_waits_and_others_go_on(lock: AsyncLock) -> None:
    steps: list[str] = []

    async def hold() -> None:
        async with lock:
            steps.append("held")
            await asyncio.sleep(0.05)
            steps.append("let go")

    async def wait() -> None:
        async with lock:
            steps.append("taken")

    async def work() -> None:
        holding = asyncio.create_task(hold())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(wait())
        await holding
        await waiting

    run(work())
    assert steps == ["held", "let go", "taken"]
    assert not lock.locked()


def test_many_tasks_take_turns_with_one_thread(lock: AsyncLock) -> None:
    inside = 0
    most = 0
    threads = set()

    async def one() -> None:
        nonlocal inside, most
        async with lock:
            inside += 1
            most = max(most, inside)
            threads.add(threading.active_count())
            await asyncio.sleep(0)
            inside -= 1

    before = threading.active_count()

    async def work() -> None:
        await asyncio.gather(*(one() for _ in range(30)))

    run(work())
    assert most == 1
    assert max(threads) <= before + 1


def test_a_process_lets_a_task_go_on(lock: AsyncLock) -> None:
    ours, theirs = Pipe()
    child = get_context("fork").Process(target=targets.hold, args=(lock, theirs))
    child.start()
    assert ours.poll(targets.SECONDS)
    ours.recv()

    async def work() -> None:
        waiting = asyncio.create_task(lock.aacquire())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        ours.send("let go")
        assert await waiting

    run(work())
    lock.release()
    child.join(targets.SECONDS)
    assert child.exitcode == 0
    child.close()
    ours.close()
    theirs.close()


def test_a_cancelled_task_has_taken_nothing(lock: AsyncLock) -> None:
    async def work() -> None:
        await lock.aacquire()
        doomed = [asyncio.create_task(lock.aacquire()) for _ in range(3)]
        other = asyncio.create_task(lock.aacquire())
        await asyncio.sleep(0.02)
        lock.release()
        for task in doomed:
            task.cancel()
        done = await asyncio.gather(*doomed, return_exceptions=True)
        # One may have had it before it was cancelled.
        for result in done:
            if result is True:
                lock.release()
        assert await other
        lock.release()
        assert not lock.locked()

    run(work())


def test_an_event_lets_tasks_go_on(start_method: StartMethod) -> None:
    event = Event()

    async def work() -> None:
        assert await event.await_(0) is False
        assert await event.await_(timeout=0.03) is False
        waiting = [asyncio.create_task(event.await_()) for _ in range(5)]
        await asyncio.sleep(0.02)
        child = get_context(start_method).Process(
            target=targets.set_event, args=(event,)
        )
        child.start()
        assert await asyncio.gather(*waiting) == [True] * 5
        assert await event.await_() is True
        child.join(targets.SECONDS)
        child.close()

    run(work())


def test_an_event_that_is_cleared_at_once_was_set() -> None:
    event = Event()

    async def work() -> None:
        waiting = asyncio.create_task(event.await_())
        await asyncio.sleep(0.01)
        event.set()
        event.clear()
        assert await waiting is True

    run(work())


@pytest.mark.parametrize("robust", [False, True])
def test_conditions_notify_tasks(robust: bool) -> None:
    condition = Condition(Lock(robust=robust))
    items: list[int] = []
    got: list[int] = []

    async def consume() -> None:
        for _ in range(10):
            async with condition:
                assert await condition.await_for(lambda: items)
                got.append(items.pop(0))

    async def work() -> None:
        tasks = [asyncio.create_task(consume()) for _ in range(3)]
        for number in range(30):
            async with condition:
                items.append(number)
                condition.notify()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        async with condition:
            assert await condition.await_(0.02) is False
            assert await condition.await_for(lambda: False, 0.02) is False

    run(work())
    assert sorted(got) == list(range(30))


def test_a_condition_is_notified_by_a_process() -> None:
    condition = Condition(Lock())

    async def work() -> None:
        async with condition:
            child = get_context("fork").Process(
                target=targets.notify, args=(condition, 1)
            )
            child.start()
            assert await condition.await_(targets.SECONDS) is True
        child.join(targets.SECONDS)
        child.close()

    run(work())


def test_a_cancelled_wait_holds_the_lock_and_passes_its_notification_on() -> None:
    condition = Condition(Lock())
    ended: list[str] = []

    async def wait(name: str) -> None:
        async with condition:
            try:
                await condition.await_()
                ended.append(name)
            except asyncio.CancelledError:
                assert condition._lock._depth()
                ended.append("cancelled")

    async def work() -> None:
        first = asyncio.create_task(wait("first"))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(wait("second"))
        await asyncio.sleep(0.01)
        async with condition:
            condition.notify()
        first.cancel()
        await first
        # It had the notification, or else it passes it on.
        if ended[0] == "cancelled":
            await second
            assert ended == ["cancelled", "second"]
        else:
            async with condition:
                condition.notify()
            await second
        assert not condition._lock.locked()

    run(work())


def test_conditions_over_an_rlock_refuse() -> None:
    """All tasks of a thread would hold it at the same time."""

    async def work() -> None:
        condition = Condition()
        for function in (condition.aacquire, condition.await_, condition.__aenter__):
            with pytest.raises(TypeError, match=r"Condition\(Lock\(\)\)"):
                await function()
        condition = Condition(Lock())
        with pytest.raises(RuntimeError, match="hold"):
            await condition.await_()

    run(work())
    assert not hasattr(RLock, "aacquire")


def test_a_dead_holder_is_an_error_for_a_task_too() -> None:
    lock = Lock(robust=True)
    pid = os.fork()
    if pid == 0:
        lock.acquire()
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)

    async def work() -> None:
        with pytest.raises(mp_sync.OwnerDiedError) as info:
            await lock.aacquire()
        assert info.value.pid == pid
        assert lock.recover()
        lock.release()

    run(work())


def test_where_the_kernel_cannot_sleep_on_several_words_tasks_look_themselves(
    sleeper: _async._Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pairs: object, seconds: float) -> list[int]:
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(_async, "sleep_on_any", refuse)
    lock, event = Lock(), Event()

    async def take() -> None:
        async with lock:
            await asyncio.sleep(0)
        assert await event.await_()

    async def work() -> None:
        tasks = [asyncio.create_task(take()) for _ in range(5)]
        await asyncio.sleep(0.02)
        event.set()
        await asyncio.gather(*tasks)

    run(work())
    assert not sleeper._able


def test_more_waits_than_the_thread_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_async, "_MOST", 4)
    events = [Event() for _ in range(20)]

    async def work() -> None:
        waiting = [asyncio.create_task(event.await_()) for event in events]
        await asyncio.sleep(0.01)
        for event in events:
            event.set()
        assert await asyncio.gather(*waiting) == [True] * 20

    run(work())


@pytest.mark.parametrize("backend", [_native, _portable], ids=["native", "portable"])
def test_sleeping_on_several_words(backend: ModuleType) -> None:
    """Returns which were changed, and when one is woken."""
    first, second = backend.Words(), backend.Words()
    pairs = [first._seen(3), second._seen(0)]
    assert backend.sleep_on_any(pairs, 0.01) == []
    second.add(0, 1)
    assert backend.sleep_on_any(pairs, targets.SECONDS) == [1]
    pairs = [first._seen(3), second._seen(0)]
    thread = threading.Timer(0.05, first.wake, (3, 1))
    thread.start()
    assert backend.sleep_on_any(pairs, targets.SECONDS) == [0]
    thread.join()
    with pytest.raises(OSError, match="Bad address"):
        backend.sleep_on_any([(8, 0)], 0.01)
