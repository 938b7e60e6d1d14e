"""A weather station: the whole of it, as a program uses it that installs everything."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from ctypes import Array, c_double, c_int
from typing import Any, assert_type

import mp_multiprocessing as mp
from mp_managers import (
    AcquirerProxy,
    ArrayProxy,
    AsyncResultProxy,
    AutoProxy,
    BarrierProxy,
    BaseManager,
    BaseProxy,
    Batch,
    ConditionProxy,
    DictProxy,
    EventProxy,
    IteratorProxy,
    Later,
    ListProxy,
    MakeProxyType,
    ManagerDiedError,
    Namespace,
    NamespaceProxy,
    PoolProxy,
    ProcessError,
    QueueProxy,
    RebuildProxy,
    RemoteError,
    Server,
    SetProxy,
    SharedMemoryManager,
    SyncManager,
    TLSConfig,
    Token,
    Value,
    ValueProxy,
    __version__ as managers_version,
)
from mp_multiprocessing import dummy
from mp_multiprocessing.connection import Client, Listener, wait
from mp_multiprocessing.pool import ThreadPool
from mp_multiprocessing.shared_memory import ShareableList
from mp_multiprocessing.synchronize import OwnerDiedError


class Gauge:
    """What stands outside."""

    def __init__(self, mean: float = 0.0) -> None:
        self.mean = mean

    def read(self, hours: int = 1) -> list[float]:
        return [self.mean] * hours


class Station(BaseManager):
    """Serves gauges."""


Station.shared(Gauge)
Listing: type[BaseProxy] = MakeProxyType("Listing", ("append", "pop"))
SyncManager.register("Listing", list, Listing)


def observe(readings: mp.Queue[float], lock: mp.Lock, done: mp.Event) -> None:
    with lock:
        readings.put(1.5)
    done.set()


def measured(ctx_name: mp.Method) -> float:
    ctx = mp.get_context(ctx_name)
    readings: mp.Queue[float] = ctx.Queue()
    lock, done = ctx.Lock(), ctx.Event()
    process = ctx.Process(target=observe, args=(readings, lock, done))
    process.start()
    found = readings.get(timeout=60)
    assert_type(found, float)
    process.join(60)
    assert done.is_set()
    readings.close()
    return found


def double(number: int) -> int:
    return 2 * number


def pooled() -> list[int]:
    with mp.Pool(2) as pool:
        assert_type(pool, mp.Pool)
        assert_type(pool.map(double, [1, 2]), list[int])
        found = pool.map_async(double, [3]).get(60)
        pool.close()
        pool.join()
    with ThreadPool(1) as threads, dummy.Pool(1) as others:
        found += threads.map(double, [4]) + others.map(double, [5])
    threads.join()
    others.join()
    return found


def shared(count: mp.JoinableQueue[int], places: mp.Semaphore) -> None:
    assert_type(mp.Value("i", 1).value, int)
    assert_type(mp.Array("d", [0.5])[:], list[float])
    assert_type(mp.RawValue(c_int, 1), c_int)
    assert_type(mp.RawArray("d", 2), Array[c_double])
    with places:
        count.put(1)
        assert_type(count.get(), int)
        count.task_done()
        count.join()
    small: mp.SimpleQueue[str] = mp.SimpleQueue()
    small.put("x")
    assert_type(small.get(), str)
    small.close()
    again, meeting = mp.RLock(), mp.Barrier(1)
    with mp.Condition(again) as held:
        assert_type(held, bool)
    assert_type(meeting.wait(60), int)


def talking() -> str:
    near: mp.Connection[str, str]
    far: mp.Connection[str, str]
    near, far = mp.Pipe()
    with near, far:
        near.send("x")
        (ready,) = wait([far], 60)
        text = ready.recv()
    with Listener[str, str]() as listener, Client(listener.address) as client:
        client.send(text)
        accepted = listener.accept(60)
        text = accepted.recv()
        accepted.close()
    return text


def gauges() -> list[float]:
    with Station() as station:
        gauge = station.create(Gauge, mean=2.5)
        assert_type(gauge, Gauge)
        return gauge.read(hours=2)


def containers(manager: SyncManager) -> list[int]:
    table = manager.dict({"a": 1})
    assert_type(table, DictProxy[str, int])
    numbers: ListProxy[int] = manager.list([1, 2])
    names: SetProxy[str] = manager.set(["x"])
    with numbers.batch() as batch:
        assert_type(batch, Batch)
        later = batch.call("append", 3)
        assert_type(later, Later)
    assert later.done
    assert "x" in names
    assert_type(table.get("a"), int | None)
    return numbers[:]


def synchronized(manager: SyncManager) -> Any:
    lock: AcquirerProxy = manager.Lock()
    condition: ConditionProxy = manager.Condition()
    event: EventProxy = manager.Event()
    barrier: BarrierProxy = manager.Barrier(1)
    queue: QueueProxy[int] = manager.Queue(3)
    space: NamespaceProxy = manager.Namespace(height=3)
    value: ValueProxy[int] = manager.Value("i", 5)
    array: ArrayProxy[float] = manager.Array("d", [0.5])
    with lock, condition:
        condition.notify_all()
    event.set()
    queue.put(value.value)
    assert_type(event.wait(60), bool)
    assert_type(barrier.wait(60), int)
    assert_type(queue.get(timeout=60), int)
    assert_type(array[0], float)
    with manager.Pool(1) as pool:
        assert_type(pool, PoolProxy)
        results = pool.imap(double, [1])
        assert_type(results, IteratorProxy[int])
        assert list(results) == [2]
        later = pool.apply_async(double, (1,))
        assert_type(later, AsyncResultProxy[int])
        assert later.get(60) == 2
    return space.height


def blocks() -> list[int]:
    with SharedMemoryManager() as manager:
        items = manager.ShareableList([1, 2])
        assert_type(items, ShareableList[int])
        found = list(items)
        items.shm.close()
    return found


def plumbing(manager: SyncManager, proxy: ListProxy[int]) -> None:
    """What only those use who write proxies of their own."""
    server: Server = BaseManager().get_server()
    server.stop()
    token = Token("list", "/an/address", "1")
    made: list[Any] = [AutoProxy, RebuildProxy, token, Namespace(a=1), Value("i", 1)]
    assert len(made) == 5
    assert_type(Value("i", 1).value, int)
    tls = TLSConfig(authority="ca.pem", hostname="localhost")
    BaseManager(("localhost", 0), tls=tls, max_connections=9)
    assert_type(manager.Value("i", 1), ValueProxy[int])
    assert_type(iter(proxy), Iterator[int])


def explain(error: mp.ProcessError) -> str:
    match error:
        case ManagerDiedError() | RemoteError() | OwnerDiedError():
            return "somebody has died"
        case mp.TimeoutError() | mp.BufferTooShort() | mp.AuthenticationError():
            return type(error).__name__
    assert isinstance(error, ProcessError)
    return str(error)


def the_rest() -> None:
    assert_type(mp.get_logger(), logging.Logger)
    assert_type(mp.log_to_stderr("ERROR"), logging.Logger)
    assert_type(mp.cpu_count(), int)
    assert mp.current_process().name == "MainProcess"
    assert mp.parent_process() is None
    assert mp.active_children() == []
    mp.allow_connection_pickling()
    mp.set_executable(b"python")
    mp.set_forkserver_preload(["json"])
    mp.set_start_method("spawn", force=True)
    assert mp.get_start_method() == "spawn"
    mp.set_start_method(None, force=True)
    mp.reducer.ForkingPickler.dumps([1])
    assert explain(mp.ProcessError("no")) == "no"


def main() -> None:
    mp.freeze_support()
    if mp.install():  # for the libraries that import the standard package
        import multiprocessing

        assert multiprocessing.__name__ == "mp_multiprocessing"
    print([measured(method) for method in mp.get_all_start_methods()], pooled())
    shared(mp.JoinableQueue(), mp.BoundedSemaphore(2))
    with mp.Manager() as manager:
        assert_type(manager, SyncManager)
        print(containers(manager), synchronized(manager), talking(), gauges())
        plumbing(manager, manager.list([1]))
    print(blocks(), mp.__version__ == managers_version)
    single = mp.Process(target=print, args=("the end",))
    single.start()
    single.join()
    the_rest()


if __name__ == "__main__":
    main()
