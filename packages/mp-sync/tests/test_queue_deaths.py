"""Processes killed at every step of what they do with a queue, and at random."""

from __future__ import annotations

import fcntl
import mmap
import os
import queue as standard
import random
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

import pytest

from mp_connection import TimeoutError
from mp_sync import JoinableQueue, Queue, SimpleQueue

assert sys.platform == "linux"

AnyQueue: TypeAlias = Queue[Any]

#: Of a longer run: MP_CHAOS_SECONDS=300 hatch run test …/test_queue_deaths.py -k chaos
SECONDS = float(os.environ.get("MP_CHAOS_SECONDS", "1"))

KINDS: dict[str, Callable[[], AnyQueue]] = {
    "Queue": Queue,
    "bounded": lambda: Queue(1000),
    "JoinableQueue": JoinableQueue,
}
#: More than the kernel's buffer holds.
MANY = 400


@pytest.fixture(params=KINDS)
def queue(request: pytest.FixtureRequest) -> Iterator[AnyQueue]:
    """Each kind of queue."""
    made = KINDS[request.param]()
    yield made
    made.close()
    del request.node.funcargs["queue"]


def killed_at(step: int, function: Callable[[], object]) -> bool:
    """Fork a child that calls a function, and dies at a line of ours; whether it did.

    Args:
        step: how many lines of the queue's and the channel's modules it gets on.
        function: what it does.
    """
    pid = os.fork()
    if not pid:
        left = step

        def trace(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal left
            if not frame.f_globals["__name__"].startswith(("mp_sync.", "mp_conn")):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            function()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


def at_every_step(
    queue: AnyQueue,
    before: list[object],
    function: Callable[[], object],
    check: Callable[[list[object]], None],
    stride: int = 1,
) -> None:
    """Kill a child at each step, and look at what is left of the queue each time."""
    step = 0
    while True:
        for item in before:
            queue.put(item)
        killed = killed_at(step, function)
        size = queue.qsize()
        assert queue.empty() is (size == 0)
        left = drained(queue)
        assert len(left) == size
        check(left)
        usable(queue)
        if not killed:
            assert step > 5
            return
        step += stride


def drained(queue: AnyQueue) -> list[object]:
    items = []
    while True:
        try:
            items.append(queue.get_nowait())
        except standard.Empty:
            break
        if isinstance(queue, JoinableQueue):
            queue.task_done()
    return items


def usable(queue: AnyQueue) -> None:
    """All of it, with the right counts."""
    if isinstance(queue, JoinableQueue):
        queue.join()
        with pytest.raises(ValueError, match="more often"):
            queue.task_done()
    queue.put("next")
    assert queue.qsize() == 1
    assert queue.get(timeout=10) == "next"
    if isinstance(queue, JoinableQueue):
        queue.task_done()


def test_killed_in_put(queue: AnyQueue) -> None:
    def check(left: list[object]) -> None:
        assert left in ([1, 2], [1, 2, 3])

    at_every_step(queue, [1, 2], lambda: queue.put(3), check)


def test_killed_in_put_that_finds_no_room(queue: AnyQueue) -> None:
    before = list(range(MANY))

    def check(left: list[object]) -> None:
        assert left in (before, [*before, -1])

    at_every_step(queue, list(before), lambda: queue.put(-1), check, stride=5)


def test_killed_in_put_many(queue: AnyQueue) -> None:
    def check(left: list[object]) -> None:
        assert left in ([1], [1, 2, 3])

    at_every_step(queue, [1], lambda: queue.put_many([2, 3]), check)


def test_killed_in_put_of_something_large(queue: AnyQueue) -> None:
    large = b"x" * 700_000

    def check(left: list[object]) -> None:
        assert left in ([1], [1, large])

    def put() -> None:
        queue.put(large, block=False)

    step = 0
    while True:
        queue.put(1)
        killed = killed_at(step, put)
        # What is torn counts until it is seen to be.
        assert queue.qsize() in (1, 2)
        check(drained(queue))
        assert queue.empty()
        usable(queue)
        if not killed:
            return
        step += 3


def test_killed_in_get(queue: AnyQueue) -> None:
    def check(left: list[object]) -> None:
        assert left in ([1, 2, 3], [2, 3])

    at_every_step(queue, [1, 2, 3], queue.get, check)


def test_killed_in_get_from_the_backlog(queue: AnyQueue) -> None:
    """While it moves what waits: nothing is lost but one, nothing comes twice."""
    before = list(range(MANY))

    # The kernel's share is taken first, untraced: the steps are those that move.
    step = 0
    while True:
        for item in before:
            queue.put(item)
        for number in range(330):
            assert queue.get() == number
            if isinstance(queue, JoinableQueue):
                queue.task_done()
        killed = killed_at(step, queue.get)
        left = drained(queue)
        whole = before[330:]
        missing = [item for item in whole if item not in left]
        assert len(missing) <= 1
        assert left == [item for item in whole if item not in missing]
        usable(queue)
        if not killed:
            return
        step += 9


def test_killed_in_get_many(queue: AnyQueue) -> None:
    def check(left: list[object]) -> None:
        assert left in ([1, 2, 3, 4], [2, 3, 4], [3, 4])

    step = 0
    while True:
        queue.put_many([1, 2, 3, 4])
        killed = killed_at(step, lambda: queue.get_many(2))
        size = queue.qsize()
        left = drained(queue)
        assert len(left) == size
        check(left)
        usable(queue)
        if not killed:
            return
        step += 2


def test_killed_in_task_done() -> None:
    queue: JoinableQueue[int] = JoinableQueue()
    step = 0
    killed = True
    while killed:
        queue.put_many([1, 2])
        queue.get()
        killed = killed_at(step, queue.task_done)
        queue.get()
        queue.task_done()
        try:
            queue.task_done()
        except ValueError:  # it was through
            pass
        queue.join()
        usable(queue)
        step += 2
    queue.close()


def test_the_maximum_holds_after_deaths() -> None:
    queue: Queue[int] = Queue(3)

    def work() -> None:
        queue.put(1)
        queue.get()
        queue.put(2)

    step = 0
    killed = True
    while killed:
        killed = killed_at(step, work)
        count = queue.qsize()
        while count < 3:
            queue.put_nowait(7)
            count += 1
        with pytest.raises(standard.Full):
            queue.put_nowait(8)
        assert len(drained(queue)) == 3
        step += 2
    queue.close()


# -------------------------------------------------------------------------- chaos

WRITERS = 3
READERS = 3


class Ledger:
    """What processes note that may be killed at any time.

    Each writer has a number in shared memory, of the items whose `put` has returned;
    what readers received goes to the end of a file, in one call for each item.
    """

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 1 << 16)
        self.put = memoryview(self.memory).cast("q")
        self.file = os.memfd_create("ledger")
        # The offset of a descriptor that is shared is not safe with such a file.
        fcntl.fcntl(self.file, fcntl.F_SETFL, os.O_APPEND)
        self.names = 0

    def note(self, name: int, number: int) -> None:
        os.write(self.file, struct.pack("<ii", name, number))

    def noted(self) -> list[tuple[int, int]]:
        data = os.pread(self.file, os.fstat(self.file).st_size, 0)
        return list(struct.iter_unpack("<ii", data))

    def close(self) -> None:
        os.close(self.file)
        self.put.release()
        self.memory.close()


def write(queue: Any, ledger: Ledger, name: int) -> None:
    number = 0
    while True:
        filling = b"" if number % 50 else b"x" * 150_000
        queue.put((name, number, filling, len(filling)))
        number += 1
        ledger.put[name] = number
        if number % 100 == 0:
            time.sleep(0.01)


def read(queue: Any, ledger: Ledger, name: int) -> None:
    chance = random.Random(os.getpid())
    while True:
        if chance.random() < 0.002:
            time.sleep(0.02)  # let the backlog grow
        writer, number, filling, size = queue.get()
        assert len(filling) == size
        ledger.note(writer, number)
        if isinstance(queue, JoinableQueue):
            queue.task_done()


def get_soon(queue: Any) -> Any:
    if isinstance(queue, SimpleQueue):
        return queue._reader.recv(timeout=1.0)
    return queue.get(timeout=1.0)


def spawned(target: Callable[[Any, Ledger, int], None], *args: Any) -> int:
    pid = os.fork()
    if not pid:
        try:
            target(*args)
        finally:
            os._exit(1)
    return pid


@pytest.mark.timeout(60 + 2 * SECONDS)
@pytest.mark.parametrize("kind", [Queue, JoinableQueue, SimpleQueue])
def test_chaos(kind: Callable[[], Any]) -> None:
    """Readers and writers are killed all the time, and only they lose what they had."""
    queue = kind()
    ledger = Ledger()
    chance = random.Random(7)
    alive: dict[int, Callable[[Any, Ledger, int], None]] = {}
    killed: dict[Callable[[Any, Ledger, int], None], int] = {read: 0, write: 0}

    def begin(target: Callable[[Any, Ledger, int], None]) -> None:
        alive[spawned(target, queue, ledger, ledger.names)] = target
        ledger.names += target is write

    targets: list[Callable[[Any, Ledger, int], None]] = [write, read]
    for target in WRITERS * targets[:1] + READERS * targets[1:]:
        begin(target)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and ledger.names < 8000:
        time.sleep(chance.expovariate(60))
        pid = chance.choice(list(alive))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        target = alive.pop(pid)
        killed[target] += 1
        begin(target)
    for pid, target in sorted(alive.items(), key=lambda item: item[1] is read):
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL  # and no error before that
        killed[target] += 1
    size = queue.qsize() if isinstance(queue, Queue) else None
    left = 0
    while not queue.empty():
        try:
            name, number, filling, length = get_soon(queue)
        except (standard.Empty, TimeoutError):
            continue  # it was torn, and is gone now
        assert len(filling) == length
        ledger.note(name, number)
        left += 1
        if isinstance(queue, JoinableQueue):
            queue.task_done()
    noted = ledger.noted()
    assert len(set(noted)) == len(noted)
    sent = {(name, n) for name in range(ledger.names) for n in range(ledger.put[name])}
    missing = sent - set(noted)
    assert len(missing) <= killed[read]
    # Beyond what `put` returned for, a writer may have put one.
    assert len(set(noted) - sent) <= killed[write]
    if size is not None:
        assert size - killed[write] <= left <= size
    if isinstance(queue, JoinableQueue):
        queue.join()
    assert noted
    queue.close()
    ledger.close()
