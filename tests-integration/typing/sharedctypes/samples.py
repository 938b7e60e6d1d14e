"""A recorder of samples: mp-sharedctypes and mp-sync as a program uses them."""

from __future__ import annotations

import asyncio
import threading
from ctypes import Array as CArray, Structure, c_double, c_int
from typing import Literal, assert_type

from mp_connection import Connection, Pipe
from mp_sharedctypes import (
    Array,
    RawArray,
    RawValue,
    Synchronized,
    SynchronizedArray,
    SynchronizedBase,
    SynchronizedString,
    SynchronizedStructure,
    SynchronizedText,
    Value,
    __version__ as sharedctypes_version,
    copy,
    synchronized,
)
from mp_sharedctypes.shared_memory import ShareableList, SharedMemory
from mp_sync import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    JoinableQueue,
    Lock,
    OwnerDiedError,
    Queue,
    RLock,
    Semaphore,
    SimpleQueue,
    __version__ as sync_version,
)


class Point(Structure):
    _fields_ = (("x", c_double), ("y", c_double))
    x: float
    y: float


class Recorder:
    """Everything that the writers and the reader share."""

    def __init__(self, size: int) -> None:
        self.samples: SynchronizedArray[float] = Array("d", size)
        self.count: Synchronized[int] = Value("i", 0)
        self.name: SynchronizedString = Array("c", b"recorder")
        self.title: SynchronizedText = Array("u", "a title")
        self.corner: SynchronizedStructure[Point] = Value(Point, 1, 2)
        self.places = Semaphore(2)
        self.full = Event()
        self.more = Condition(RLock())

    def record(self, sample: float) -> None:
        with self.places, self.count:
            self.samples[self.count.value] = sample
            self.count.value += 1
            if self.count.value == len(self.samples):
                self.full.set()
        with self.more:
            self.more.notify_all()

    def wait(self) -> list[float]:
        with self.more:
            self.more.wait_for(self.full.is_set, timeout=60)
        return self.samples[:]


def record() -> list[float]:
    recorder = Recorder(3)
    writers = [
        threading.Thread(target=recorder.record, args=(number / 2,))
        for number in range(3)
    ]
    for writer in writers:
        writer.start()
    samples = recorder.wait()
    for writer in writers:
        writer.join()
    assert recorder.name.value == b"recorder"
    assert recorder.title[:5] == "a tit"
    with recorder.corner as locked:
        assert_type(locked, bool)
    assert recorder.corner.get_obj().y == 2
    return sorted(samples)


def values() -> None:
    assert_type(Value("d").add(1), float)
    assert_type(Value("i", 3).update(lambda number: number * 2), int)
    assert_type(Value("i", lock=False), c_int)
    assert_type(Array("i", [1, 2], lock=RLock())[:], list[int])
    assert_type(RawValue("d", 1).value, float)
    assert_type(RawArray("i", 3), CArray[c_int])
    assert_type(copy(Point(1, 2)).x, float)
    guarded = synchronized(RawArray("d", 3))
    assert_type(guarded, SynchronizedArray[float])
    both: list[SynchronizedBase[CArray[c_double]]] = []
    assert not both


def blocks() -> tuple[bytes, list[int | str]]:
    block = SharedMemory(create=True, size=100)
    items: ShareableList[int | str] = ShareableList([1, "text"])
    ours: Connection[tuple[SharedMemory, ShareableList[int | str]], None]
    theirs: Connection[None, tuple[SharedMemory, ShareableList[int | str]]]
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send((block, items))
        same, list_of = theirs.recv(timeout=60)
        same.buf[:2] = b"hi"
    found = bytes(block.buf[:2]), list(list_of)
    for one in (block, same, items.shm, list_of.shm):
        one.close()
    return found


def locks() -> None:
    lock, meeting = Lock(robust=True), Barrier(1, timeout=60)
    with lock as held:
        assert_type(held, Literal[True])
        assert lock.locked()
    bounded: Semaphore = BoundedSemaphore(2)
    assert_type(bounded.get_value(), int)
    assert_type(meeting.wait(), int)
    try:
        lock.acquire(timeout=60)
    except OwnerDiedError as error:
        assert_type(error.pid, int)
        lock.recover()
    lock.release()


def queues() -> list[str]:
    queue: Queue[str] = Queue(10)
    queue.put_many(["a", "b"])
    joinable = JoinableQueue[int]()
    joinable.put(1)
    assert_type(joinable.get(timeout=60), int)
    joinable.task_done()
    joinable.join()
    simple: SimpleQueue[bytes] = SimpleQueue()
    simple.put(b"c")
    assert_type(simple.get(), bytes)
    found = queue.get_many(2, timeout=60)
    for one in (queue, joinable, simple):
        one.close()
    return found


async def in_an_event_loop(queue: Queue[int], lock: Lock, go: Event) -> int:
    go.set()
    async with lock:
        assert_type(await go.await_(60), bool)
        await queue.aput(5)
        return await queue.aget()


def main() -> None:
    values()
    locks()
    print(record(), blocks(), queues(), sync_version == sharedctypes_version)
    queue: Queue[int] = Queue()
    print(asyncio.run(in_an_event_loop(queue, Lock(), Event())))
    queue.close()


if __name__ == "__main__":
    main()
