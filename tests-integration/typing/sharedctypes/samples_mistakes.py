"""What a type checker has to object to in a program on mp-sharedctypes.  Never run."""

from __future__ import annotations

from samples import Point, Recorder

from mp_sharedctypes import Array, RawValue, Synchronized, Value
from mp_sharedctypes.shared_memory import ShareableList, SharedMemory
from mp_sync import Barrier, Condition, Event, Lock, Queue, RLock, Semaphore


def values(recorder: Recorder) -> None:
    # error: mypy[assignment] pyright[reportAttributeAccessIssue]
    recorder.count.value = "1"
    # error: mypy[assignment] pyright[reportAssignmentType]
    wrong: Synchronized[int] = Value("d")
    # error: mypy[assignment] pyright[reportAssignmentType]
    text: str = Value("i").value
    # error: mypy[arg-type] pyright[reportArgumentType]
    recorder.record("0.5")
    # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]
    recorder.samples[0] = "x"
    # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]
    Value("i", lock="yes")
    # error: mypy[assignment] pyright[reportAttributeAccessIssue]
    RawValue(Point).x = "left"
    # error: mypy[call-overload] pyright[reportCallIssue]
    Array("i", 3, True)
    del wrong, text


def blocks(block: SharedMemory, items: ShareableList[int]) -> None:
    # error: mypy[arg-type] pyright[reportArgumentType]
    SharedMemory(create=True, size="100")
    # error: mypy[misc] pyright[reportAttributeAccessIssue]
    block.size = 5
    # error: mypy[assignment] pyright[reportArgumentType]
    items[0] = "x"
    # error: mypy[arg-type] pyright[reportArgumentType]
    ShareableList(5)


def locks(lock: Lock) -> None:
    # error: mypy[arg-type] pyright[reportArgumentType]
    lock.acquire(timeout="1")
    # error: mypy[call-arg] pyright[reportCallIssue]
    lock.acquire(blocking=False)
    # error: mypy[assignment] pyright[reportAssignmentType]
    wrong: Lock = RLock()
    # error: mypy[arg-type] pyright[reportArgumentType]
    Condition(Semaphore())
    # error: mypy[call-arg] pyright[reportCallIssue]
    Barrier()
    # error: mypy[call-arg] pyright[reportCallIssue]
    Event(1)
    del wrong


def queues(queue: Queue[int]) -> None:
    # error: mypy[arg-type] pyright[reportArgumentType]
    queue.put("x")
    # error: mypy[assignment] pyright[reportAssignmentType]
    text: str = queue.get()
    # error: mypy[list-item] pyright[reportArgumentType]
    queue.put_many(["x"])
    del text


async def waiting(lock: RLock, go: Event) -> None:
    # error: mypy[attr-defined] pyright[reportAttributeAccessIssue,reportUnknownMemberType]
    await lock.aacquire()
    # error: mypy[arg-type] pyright[reportArgumentType]
    await go.await_("a minute")
