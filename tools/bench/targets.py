"""Functions that run in the processes that are measured.

Nothing heavy is imported here: a spawned child is to pay for the implementation, and
not for the benchmark.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.managers import DictProxy
    from multiprocessing.queues import Queue, SimpleQueue
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import (
        Barrier,
        Condition,
        Event,
        Lock,
        RLock,
        Semaphore,
    )
    from types import ModuleType
    from typing import Any

#: CLOCK_MONOTONIC on Linux, which all processes share.
now = time.perf_counter


# ------------------------------------------------------------------- results and gates
def gated(
    gate: int, gate_end: int, out: int, work: Callable[..., None], args: tuple[Any, ...]
) -> None:
    """Wait until *gate* is at its end, do *work*, and write when it began and ended.

    The last of *args* is how often; it is done no times first, for what the first use
    sets up.
    """
    os.close(gate_end)
    work(*args[:-1], 0)
    os.read(gate, 1)
    begin = now()
    work(*args)
    os.write(out, f"{begin} {now()}\n".encode())


def held(gate: int, gate_end: int, out: int) -> None:
    """Say that this process runs, and stay until *gate* is at its end."""
    if gate_end >= 0:
        os.close(gate_end)
    os.write(out, b"x")
    os.read(gate, 1)


def held_by(conn: Connection) -> None:
    """The same over a connection, under any start method."""
    conn.send_bytes(b"x")
    conn.recv_bytes()


# -------------------------------------------------------------------------- small tasks
def nothing() -> None:
    """A target and a task that does nothing."""


def same(x: object) -> object:
    return x


def add(x: int, y: int) -> int:
    return x + y


def pid(_: object) -> int:
    return os.getpid()


def zeros(count: int) -> Any:
    """An array of *count* floats."""
    import numpy

    return numpy.zeros(count)


def length(x: list[Any]) -> int:
    return len(x)


# -------------------------------------------------------------------------- connections
def echo(conn: Connection) -> None:
    """Send back each object, up to None."""
    while (message := conn.recv()) is not None:
        conn.send(message)


def echo_bytes(conn: Connection) -> None:
    """Send back each message, up to an empty one."""
    while message := conn.recv_bytes():
        conn.send_bytes(message)


def drain(conn: Connection, ack: int) -> None:
    """Receive a number, and that many objects; then acknowledge; up to the number 0."""
    while count := conn.recv():
        for _ in range(count):
            conn.recv()
        os.write(ack, b"x")


def drain_bytes(conn: Connection, ack: int) -> None:
    """The same, of messages of bytes."""
    while count := conn.recv():
        for _ in range(count):
            conn.recv_bytes()
        os.write(ack, b"x")


def serve(
    connection: ModuleType, family: str, key: bytes | None, address_to: Connection
) -> None:
    """Send each client's object back, until it is None."""
    address = None if family == "AF_UNIX" else ("127.0.0.1", 0)
    with connection.Listener(address, family, 64, key) as listener:
        address_to.send(listener.address)
        while True:
            with listener.accept() as conn:
                message = conn.recv()
                conn.send(message)
            if message is None:
                return


# ------------------------------------------------------------------------------- queues
def queue_echo(inbox: Queue[object], outbox: Queue[object]) -> None:
    while (item := inbox.get()) is not None:
        outbox.put(item)


def queue_drain(queue: Queue[Any], ack: int) -> None:
    while count := queue.get():
        for _ in range(count):
            queue.get()
        os.write(ack, b"x")


def put_many(queue: Queue[object] | SimpleQueue[object], item: object, n: int) -> None:
    for _ in range(n):
        queue.put(item)


def get_many(queue: Queue[object] | SimpleQueue[object], n: int) -> None:
    for _ in range(n):
        queue.get()


# -------------------------------------------------------------------------------- locks
def hammer(lock: Lock | RLock | Semaphore, n: int) -> None:
    acquire, release = lock.acquire, lock.release
    for _ in range(n):
        acquire()
        release()


def pong(ping: Event, answer: Event, stop: Synchronized[int]) -> None:
    while True:
        ping.wait()
        ping.clear()
        if stop.value:
            return
        answer.set()


def take_turns(condition: Condition, turn: Synchronized[int], me: int, n: int) -> None:
    for _ in range(n):
        with condition:
            while turn.value != me:
                condition.wait()
            turn.value = 1 - me
            condition.notify()


def meet(barrier: Barrier, n: int) -> None:
    for _ in range(n):
        barrier.wait()


def count_up(value: Synchronized[int], n: int) -> None:
    for _ in range(n):
        with value.get_lock():
            value.value += 1


# ----------------------------------------------------------------------------- managers
def use_dict(proxy: DictProxy[str, int], n: int) -> None:
    if not n:
        proxy["k"]  # connects
    for _ in range(n):
        proxy["k"] = 1
        proxy["k"]


def clients(
    proxy: DictProxy[str, int], count: int, gates: tuple[int, int],
    ends: tuple[int, int], out: int,
) -> None:  # fmt: skip
    """Be so many clients, a thread each, as the connections are the threads'.

    Args:
        gates: each calls at the end of the first, and leaves at that of the second.
        ends: the other ends of these, which are not ours.
    """
    from threading import Thread

    for end in ends:
        os.close(end)

    def one() -> None:
        os.read(gates[0], 1)
        proxy["k"]
        os.write(out, b"x")
        os.read(gates[1], 1)

    threads = [Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
