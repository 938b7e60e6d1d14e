"""A program for the standard library, of which processes are killed.

    python -m mp_multiprocessing workers_killed.py [pool | queue | lock]

ends within a second.  On the standard library each of the three hangs for ever:

    timeout 20 python workers_killed.py pool; echo $?    # 124: it was still waiting
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event, RLock


def square(number: int) -> int:
    """A task; that of 3 is killed."""
    if number == 3:
        os.kill(os.getpid(), 9)  # as the kernel does when memory is short
    return number * number


def killed_in_a_task() -> None:
    """The standard pool waits for the result that nobody will bring."""
    with multiprocessing.Pool(2) as pool:
        try:
            pool.map(square, range(8), chunksize=1)
        except multiprocessing.ProcessError as error:
            print(f"pool: {type(error).__name__}")
        print(f"pool: {pool.map(square, range(3))}")


def read(
    items: multiprocessing.Queue[str], results: multiprocessing.Queue[str]
) -> None:
    """Get one item, and say so."""
    results.put("reading")
    results.put(items.get())


def killed_while_it_reads() -> None:
    """The reader of a standard queue dies with the lock that all readers need."""
    items: multiprocessing.Queue[str] = multiprocessing.Queue()
    results: multiprocessing.Queue[str] = multiprocessing.Queue()
    first, second = (
        multiprocessing.Process(target=read, args=(items, results)) for _ in range(2)
    )
    first.start()
    results.get()
    time.sleep(0.2)  # so that it is in `get` when it is killed
    first.kill()
    first.join()
    second.start()
    items.put("an item")
    print(f"queue: {results.get()}, {results.get()}")
    second.join()


def hold(lock: RLock, held: Event) -> None:
    """Take a lock, and keep it."""
    with lock:
        held.set()
        time.sleep(1000)


def killed_with_a_lock() -> None:
    """Nobody releases the lock of a dead process, nor says that it is dead."""
    lock, held = multiprocessing.RLock(), multiprocessing.Event()
    holder = multiprocessing.Process(target=hold, args=(lock, held))
    holder.start()
    held.wait()
    holder.kill()
    holder.join()
    try:
        lock.acquire()
    except multiprocessing.ProcessError as error:
        print(f"lock: {type(error).__name__}")


PARTS = {
    "pool": killed_in_a_task,
    "queue": killed_while_it_reads,
    "lock": killed_with_a_lock,
}


def main() -> None:
    """Kill in one way, or in all."""
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
