"""Processes killed at every step of what they do with a queue, and at random."""

from __future__ import annotations

import os
import queue as standard
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

import pytest

from mp_sync import JoinableQueue, Queue, SimpleQueue

assert sys.platform == "linux"

from mp_sync_queue_chaos import chaos

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


@pytest.mark.timeout(60 + 2 * SECONDS)
@pytest.mark.parametrize("kind", [Queue, JoinableQueue, SimpleQueue])
def test_chaos(kind: Callable[[], Any]) -> None:
    """Readers and writers are killed all the time, and only they lose what they had."""
    kills, received = chaos(kind, SECONDS)
    assert kills
    assert received
