"""What the children of the tests of queues run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any, TypeAlias

import mp_sync
from mp_connection import Connection

Report: TypeAlias = Connection[Any, Any]
AnyQueue: TypeAlias = mp_sync.Queue[Any] | mp_sync.SimpleQueue[Any]

SECONDS = 30.0  # longer than anything takes


def put_numbers(queue: AnyQueue, name: int, count: int) -> None:
    for number in range(count):
        queue.put((name, number))


def put_many_numbers(queue: mp_sync.Queue[Any], name: int, count: int) -> None:
    queue.put_many((name, number) for number in range(count))


def get_until_none(queue: AnyQueue, report: Report) -> None:
    """Say what came, in order."""
    got = []
    while (item := queue.get()) is not None:
        got.append(item)
    report.send(got)


def get_many_until_none(queue: mp_sync.Queue[Any], report: Report) -> None:
    got: list[Any] = []
    while True:
        got += queue.get_many(70)
        if None in got:
            rest = got[got.index(None) + 1 :]
            queue.put_many(rest)
            report.send(got[: got.index(None)])
            return


def echo(inbox: AnyQueue, outbox: AnyQueue) -> None:
    while (item := inbox.get()) is not None:
        outbox.put(item)


def echo_slowly(inbox: AnyQueue, outbox: AnyQueue) -> None:
    while (item := inbox.get()) is not None:
        time.sleep(0.02)
        outbox.put(item)


def receive_and_echo(report: Report) -> None:
    echo(*report.recv())


def put_all(queue: AnyQueue, items: Iterable[Any]) -> None:
    for item in items:
        queue.put(item)


def put_one(queue: AnyQueue, item: object) -> None:
    queue.put(item)


def put_until_full(queue: mp_sync.Queue[Any], report: Report) -> None:
    """Say how many items fitted."""
    import queue as standard

    count = 0
    while True:
        try:
            queue.put_nowait(os.getpid())
        except standard.Full:
            report.send(count)
            return
        count += 1


def take_two_and_tell(queue: mp_sync.Queue[Any], back: mp_sync.Queue[Any]) -> None:
    queue.get()
    back.put(len(queue.get()))


def work_off(queue: mp_sync.JoinableQueue[Any]) -> None:
    while queue.get() is not None:
        queue.task_done()
    queue.task_done()


def take_and_die(queue: mp_sync.JoinableQueue[Any], count: int) -> None:
    for _ in range(count):
        queue.get()
    os.kill(os.getpid(), 9)


class NotHere:
    """Unpickles nowhere."""

    def __reduce__(self) -> tuple[object, ...]:
        return fail_to_unpickle, ()


def fail_to_unpickle() -> None:
    raise ZeroDivisionError("unpickled")
