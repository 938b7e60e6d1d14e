"""A killer at random, and processes that write to a queue and read from it."""

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
from collections.abc import Callable
from typing import Any

assert sys.platform == "linux"

from mp_connection import TimeoutError
from mp_sync import JoinableQueue, Queue, SimpleQueue

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


def chaos(kind: Callable[[], Any], seconds: float) -> tuple[int, int]:
    """Readers and writers are killed all the time, and only they lose what they had.

    Returns:
        How many were killed, and how many items were received.
    """
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
    deadline = time.monotonic() + seconds
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
    return sum(killed.values()), len(noted)
