"""Queues: what the manual says of them, in one process and between several."""

from __future__ import annotations

import asyncio
import pickle
import queue as standard
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import mp_sync_queue_targets as targets
import pytest

from mp_connection import HandleError, Pipe
from mp_connection.channel import Lookout, recent
from mp_process import BaseProcess, get_context
from mp_sync import JoinableQueue, Queue, SimpleQueue
from mp_testing import StartMethod, noted_calls

assert sys.platform == "linux"

AnyQueue: TypeAlias = Queue[Any]
KINDS: dict[str, Callable[[], AnyQueue]] = {
    "Queue": Queue,
    "bounded": lambda: Queue(50_000),
    "JoinableQueue": JoinableQueue,
}


@pytest.fixture(params=KINDS)
def queue(request: pytest.FixtureRequest) -> Iterator[AnyQueue]:
    """Each kind of queue."""
    made = KINDS[request.param]()
    yield made
    made.close()
    del request.node.funcargs["queue"]


@pytest.fixture(params=[*KINDS, "SimpleQueue"])
def any_queue(request: pytest.FixtureRequest) -> Iterator[targets.AnyQueue]:
    """Each kind of queue, the simple one too."""
    made: targets.AnyQueue
    made = SimpleQueue() if request.param == "SimpleQueue" else KINDS[request.param]()
    yield made
    made.close()
    del request.node.funcargs["any_queue"]


class Disguised:
    """Says of itself that it is bytes, as proxies of objects do."""

    @property  # type: ignore[misc]
    def __class__(self) -> type[bytes]:  # type: ignore[override]
        return bytes

    def __len__(self) -> int:
        return 1_000_000

    def __reduce__(self) -> tuple[type[Disguised], tuple[()]]:
        return Disguised, ()


def start(
    method: StartMethod, target: Callable[..., object], *args: object
) -> BaseProcess:
    process = get_context(method).Process(target=target, args=list(args))
    process.start()
    return process


def join(*processes: BaseProcess) -> None:
    for process in processes:
        process.join(targets.SECONDS)
        assert process.exitcode == 0
        process.close()


def test_items_come_in_order(any_queue: targets.AnyQueue) -> None:
    items = [1, "two", None, b"three", [4, [5]], {"six": 7.0}, (), b"x" * 60_000]
    for item in items:
        any_queue.put(item)
    assert not any_queue.empty()
    assert [any_queue.get() for _ in items] == items
    assert any_queue.empty()


def test_an_object_that_says_it_is_bytes_arrives_as_itself(
    any_queue: targets.AnyQueue,
) -> None:
    any_queue.put(Disguised())
    assert type(any_queue.get()) is Disguised


def test_between_processes(
    any_queue: targets.AnyQueue, start_method: StartMethod
) -> None:
    back: SimpleQueue[Any] = SimpleQueue()
    child = start(start_method, targets.echo, any_queue, back)
    for item in (1, "text", b"y" * 100_000, {"x": [1]}):
        any_queue.put(item)
        assert back.get() == item
    any_queue.put(None)
    join(child)
    back.close()


def test_what_is_sent_works_as_well(
    any_queue: targets.AnyQueue, start_method: StartMethod
) -> None:
    ours, theirs = Pipe()
    back: Queue[Any] = Queue()
    child = start(start_method, targets.receive_and_echo, theirs)
    ours.send((any_queue, back))
    any_queue.put(4)
    assert back.get(timeout=targets.SECONDS) == 4
    any_queue.put(None)
    join(child)
    for each in (ours, theirs, back):
        each.close()


def test_a_queue_travels_through_a_queue(any_queue: targets.AnyQueue) -> None:
    other: Queue[Any] = Queue()
    other.put(any_queue)
    received = other.get()
    received.put(5)
    assert any_queue.get() == 5
    received.close()
    other.close()


def test_a_plain_pickle_is_refused(any_queue: targets.AnyQueue) -> None:
    with pytest.raises(HandleError):
        pickle.dumps(any_queue)
    with pytest.raises(RuntimeError):
        pickle.dumps(any_queue)


def test_much_more_than_the_kernel_holds(queue: AnyQueue) -> None:
    """Nobody reads meanwhile, and everything is there for every process."""
    for number in range(3000):
        queue.put(number)
    assert queue.qsize() == 3000
    assert not queue.empty()
    assert [queue.get(timeout=0) for _ in range(3000)] == list(range(3000))
    assert queue.qsize() == 0
    assert queue.empty()


def test_the_order_of_a_producer_is_kept(
    queue: AnyQueue, start_method: StartMethod
) -> None:
    """Also on the way to the backlog and back."""
    count = 3000
    producers = [
        start(start_method, targets.put_numbers, queue, name, count)
        for name in range(2)
    ]
    last = [-1, -1]
    for done in range(2 * count):
        name, number = queue.get(timeout=targets.SECONDS)
        assert number == last[name] + 1
        last[name] = number
        if done % 1000 == 0:
            time.sleep(0.05)  # let them get ahead
    join(*producers)
    assert queue.empty()


def test_every_item_reaches_one_consumer(
    any_queue: targets.AnyQueue, start_method: StartMethod
) -> None:
    consumers = []
    for _ in range(3):
        ours, theirs = Pipe()
        child = start(start_method, targets.get_until_none, any_queue, theirs)
        theirs.close()
        consumers.append((child, ours))
    targets.put_numbers(any_queue, 0, 2000)
    for _ in consumers:
        any_queue.put(None)
    got = []
    for child, report in consumers:
        assert report.poll(targets.SECONDS)
        numbers = [number for _, number in report.recv()]
        assert numbers == sorted(numbers)
        got += numbers
        join(child)
        report.close()
    assert sorted(got) == list(range(2000))


def test_a_child_ends_though_nobody_has_read(
    queue: AnyQueue, start_method: StartMethod
) -> None:
    """The "join before get" of the guidelines, which deadlocks elsewhere."""
    child = start(start_method, targets.put_one, queue, "X" * 1_000_000)
    join(child)
    assert queue.get() == "X" * 1_000_000
    child = start(start_method, targets.put_numbers, queue, 0, 2000)
    join(child)
    assert [queue.get()[1] for _ in range(2000)] == list(range(2000))


def test_large_items(queue: AnyQueue) -> None:
    array = bytearray(range(256)) * 20_000
    items = [b"a" * 3_000_000, pickle.PickleBuffer(array), 5, b"b" * 200_000]
    for item in items:
        queue.put(item)
    assert queue.qsize() == 4
    assert queue.get() == items[0]
    assert queue.get() == array
    assert queue.get() == 5
    assert queue.get() == items[3]


@pytest.mark.parametrize("size", [1000, 100_000, 600_000, 3_000_000])
@pytest.mark.parametrize("block", [True, False])
def test_an_item_is_pickled_before_put_returns(
    size: int, block: bool, queue: AnyQueue
) -> None:
    item = [1]
    queue.put(item)
    item.append(2)
    buffer = bytearray(b"x" * size)
    queue.put(pickle.PickleBuffer(buffer), block)
    buffer[:] = b"y" * size
    assert queue.qsize() == 2
    assert queue.get() == [1]
    assert bytes(queue.get()) == b"x" * size


def test_what_cannot_be_pickled_raises_in_put(any_queue: targets.AnyQueue) -> None:
    with pytest.raises(pickle.PicklingError, match="lambda"):
        any_queue.put(lambda: None)
    assert any_queue.empty()
    any_queue.put(1)
    assert any_queue.get() == 1


def test_a_class_may_see_to_the_error_itself() -> None:
    class Safe(Queue[Any]):
        seen: list[tuple[Exception, object]]

        def _on_queue_feeder_error(self, e: Exception, obj: object) -> None:  # type: ignore[override]
            self.seen.append((e, obj))

    queue = Safe(ctx=None)
    queue.seen = []
    culprit = threading.Lock()
    queue.put(culprit)
    queue.put(1)
    assert queue.get() == 1
    ((error, obj),) = queue.seen
    assert isinstance(error, pickle.PicklingError)
    assert obj is culprit
    queue.close()


def test_what_cannot_be_unpickled_raises_in_get(any_queue: targets.AnyQueue) -> None:
    any_queue.put(targets.NotHere())
    any_queue.put(2)
    with pytest.raises(ZeroDivisionError):
        any_queue.get()
    assert any_queue.get() == 2


def test_connections_in_items(any_queue: targets.AnyQueue) -> None:
    ours, theirs = Pipe()
    any_queue.put((1, theirs))
    theirs.close()
    number, received = any_queue.get()
    received.send(number + 1)
    assert ours.recv() == 2
    received.close()
    ours.close()


def test_empty_and_deadlines(queue: AnyQueue) -> None:
    for arguments in ((False,), (False, 5.0), (True, 0), (True, -1), (True, 0.01)):
        with pytest.raises(standard.Empty):
            queue.get(*arguments)
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    begin = time.monotonic()
    with pytest.raises(standard.Empty):
        queue.get(timeout=0.5)
    assert time.monotonic() - begin >= 0.5
    queue.put(1)
    assert queue.get(timeout=0.5) == 1


@pytest.mark.parametrize("kind", [Queue, JoinableQueue])
def test_full_and_deadlines(kind: type[AnyQueue]) -> None:
    queue = kind(2)
    queue.put(1)
    assert not queue.full()
    queue.put_nowait(2)
    assert queue.full()
    for arguments in ((False,), (False, 5.0), (True, 0), (True, -1), (True, 0.01)):
        with pytest.raises(standard.Full):
            queue.put(3, *arguments)
    with pytest.raises(standard.Full):
        queue.put_nowait(3)
    begin = time.monotonic()
    with pytest.raises(standard.Full):
        queue.put(3, timeout=0.3)
    assert time.monotonic() - begin >= 0.3
    assert queue.qsize() == 2
    assert [queue.get(), queue.get()] == [1, 2]
    queue.put(3)
    assert queue.get() == 3
    queue.close()


def test_put_waits_for_room(start_method: StartMethod) -> None:
    queue: Queue[Any] = Queue(3)
    child = start(start_method, targets.put_numbers, queue, 0, 200)
    for number in range(200):
        assert queue.get(timeout=targets.SECONDS) == (0, number)
    join(child)
    queue.close()


def test_the_maximum_is_exact_whoever_puts(start_method: StartMethod) -> None:
    """One that the kernel has room for, and one that it has not."""
    for maxsize in (7, 1500):
        queue: Queue[Any] = Queue(maxsize)
        ours, theirs = Pipe()
        children = [
            start(start_method, targets.put_until_full, queue, theirs) for _ in range(3)
        ]
        join(*children)
        assert sum(ours.recv() for _ in children) == maxsize
        assert queue.qsize() == maxsize
        assert queue.full()
        for each in (ours, theirs, queue):
            each.close()


def test_closed_queues(queue: AnyQueue) -> None:
    queue.put(1)
    with pytest.raises(AssertionError):
        queue.join_thread()
    queue.close()
    queue.close()
    queue.join_thread()
    queue.cancel_join_thread()
    for call in (
        lambda: queue.put(1),
        queue.get,
        queue.get_nowait,
        queue.qsize,
        queue.empty,
        queue.full,
        lambda: queue.put_many([1]),
        queue.get_many,
    ):
        with pytest.raises(ValueError, match="is closed"):
            call()
    assert "closed" in repr(queue)


def test_a_queue_that_was_closed_empty_is_empty(queue: AnyQueue) -> None:
    queue.close()
    assert queue.empty()


def test_to_ask_a_closed_queue_with_items_is_an_os_error_as_well(
    queue: AnyQueue,
) -> None:
    queue.put(1)
    queue.close()
    with pytest.raises(OSError, match="is closed"):
        queue.empty()


def test_what_nobody_will_get_is_dropped_where_concurrent_futures_wants_it(
    queue: AnyQueue,
) -> None:
    # It closes the reading end alone when a worker has died, and then puts.
    queue._ignore_epipe = True
    queue._reader.close()
    queue.put_nowait(None)
    queue.put(None)
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        queue.put(None)


def test_a_closed_simple_queue() -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    queue.close()
    queue.close()
    for call in (lambda: queue.put(1), queue.get, queue.empty):
        with pytest.raises(OSError, match="is closed"):
            call()


def test_closing_ends_a_get_in_another_thread(queue: AnyQueue) -> None:
    errors: list[BaseException] = []

    def get() -> None:
        try:
            queue.get()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    time.sleep(0.05)
    queue.close()
    thread.join(targets.SECONDS)
    assert len(errors) == 1


def test_put_many_and_get_many(queue: AnyQueue) -> None:
    queue.put(-1)
    queue.put_many(range(2500))
    assert queue.qsize() == 2501
    assert queue.get_many(3) == [-1, 0, 1]
    assert queue.get() == 2
    assert queue.get_many(1000) == list(range(3, 1003))
    queue.put(2500)
    rest = []
    while not queue.empty():
        rest += queue.get_many()
    assert rest == list(range(1003, 2501))
    with pytest.raises(standard.Empty):
        queue.get_many(block=False)
    with pytest.raises(standard.Empty):
        queue.get_many(5, timeout=0.01)
    with pytest.raises(ValueError, match="at least one"):
        queue.get_many(0)


def test_put_many_of_all_sorts(queue: AnyQueue) -> None:
    ours, theirs = Pipe()
    queue.put_many([1, b"x" * 100_000, bytearray(70_000), 2])
    assert queue.get_many(1) == [1]
    assert queue.get() == b"x" * 100_000
    assert [*map(len, queue.get_many(1))] == [70_000]
    assert queue.get() == 2
    queue.put_many([3, theirs])
    assert queue.get_many(1) == [3]
    queue.get().send("there")
    assert ours.recv() == "there"
    ours.close()
    theirs.close()


def test_one_bad_item_among_many(queue: AnyQueue) -> None:
    with pytest.raises(pickle.PicklingError):
        queue.put_many([1, 2, lambda: None, 3])
    assert queue.get_many() == [1, 2]
    queue.put_many([1, targets.NotHere(), 2])
    queue.put_many([3, 4])
    assert queue.get_many() == [1]
    with pytest.raises(ZeroDivisionError):
        queue.get_many()
    assert [queue.get() for _ in range(3)] == [2, 3, 4]


def test_items_of_one_call_share_nothing(queue: AnyQueue) -> None:
    """As if they had been put one by one, though those that are plain go together."""
    item = [1]
    queue.put_many([item, item, (item, 1), (2, "plain"), (2, "plain")])
    got = queue.get_many()
    assert got == [item, item, (item, 1), (2, "plain"), (2, "plain")]
    assert len({id(part) for part in (got[0], got[1], got[2][0])}) == 3


def test_an_iterator_that_fails(queue: AnyQueue) -> None:
    with pytest.raises(ZeroDivisionError):
        queue.put_many(1 // (3 - n) for n in range(10))
    assert queue.get_many() == [0, 0, 1]


def test_put_many_keeps_to_the_maximum() -> None:
    queue: Queue[int] = Queue(10)
    with pytest.raises(standard.Full):
        queue.put_many(range(20), timeout=0.01)
    assert queue.qsize() == 10
    assert queue.get_many() == list(range(10))
    queue.close()


def test_many_between_processes(start_method: StartMethod) -> None:
    """Readers of one and of many, writers of one and of many."""
    queue: Queue[Any] = Queue()
    readers = []
    for target in (targets.get_until_none, targets.get_many_until_none):
        ours, theirs = Pipe()
        readers.append((start(start_method, target, queue, theirs), ours))
        theirs.close()
    writers = [
        start(start_method, target, queue, name, 3000)
        for name, target in enumerate((targets.put_numbers, targets.put_many_numbers))
    ]
    join(*writers)
    queue.put(None)
    queue.put(None)
    got = []
    for child, report in readers:
        assert report.poll(targets.SECONDS)
        got += report.recv()
        report.close()
        join(child)
    while not queue.empty():
        got += [queue.get()]
    items = [item for item in got if item is not None]
    assert sorted(items) == [(name, n) for name in range(2) for n in range(3000)]
    queue.close()


def test_join_waits_until_all_is_done(start_method: StartMethod) -> None:
    queue: JoinableQueue[Any] = JoinableQueue()
    queue.join()
    children = [start(start_method, targets.work_off, queue) for _ in range(2)]
    queue.put_many(range(500))
    for number in range(500):
        queue.put(number)
    queue.join()
    queue.put_many([None, None])
    queue.join()
    join(*children)
    with pytest.raises(ValueError, match="more often"):
        queue.task_done()
    assert isinstance(queue, Queue)
    queue.close()


def test_join_does_not_wait_for_the_dead(start_method: StartMethod) -> None:
    queue: JoinableQueue[Any] = JoinableQueue()
    queue.put_many(range(10))
    child = start(start_method, targets.take_and_die, queue, 4)
    child.join(targets.SECONDS)
    child.close()
    for _ in range(6):
        queue.get()
        queue.task_done()
    queue.join()
    with pytest.raises(ValueError, match="more often"):
        queue.task_done()
    queue.close()


def test_join_waits_for_what_was_only_got() -> None:
    queue: JoinableQueue[Any] = JoinableQueue()
    queue.put(1)
    queue.get()
    thread = threading.Thread(target=queue.join)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    queue.task_done()
    thread.join(targets.SECONDS)
    assert not thread.is_alive()
    queue.close()


def test_parameters_at_run_time() -> None:
    kinds: tuple[Any, ...] = (Queue, JoinableQueue, SimpleQueue)
    for kind in kinds:
        queue = kind[int]()
        queue.put(1)
        assert queue.get() == 1
        assert type(queue) is kind
        queue.close()


def test_threads_share_a_queue(queue: AnyQueue) -> None:
    got: list[int] = []

    def take() -> None:
        while (item := queue.get()) is not None:
            got.append(item)

    takers = [threading.Thread(target=take) for _ in range(3)]
    givers = [
        threading.Thread(target=targets.put_all, args=(queue, range(500)))
        for _ in range(3)
    ]
    for thread in takers + givers:
        thread.start()
    for thread in givers:
        thread.join(targets.SECONDS)
    for _ in takers:
        queue.put(None)
    for thread in takers:
        thread.join(targets.SECONDS)
    assert sorted(got) == sorted(list(range(500)) * 3)


def test_tasks_put_and_get(queue: AnyQueue) -> None:
    async def consume(count: int) -> list[Any]:
        return [await queue.aget() for _ in range(count)]

    async def main() -> None:
        consumers = [asyncio.create_task(consume(50)) for _ in range(3)]
        await asyncio.sleep(0.01)  # they wait
        for number in range(150):
            await queue.aput(number)
        got = [number for some in await asyncio.gather(*consumers) for number in some]
        assert sorted(got) == list(range(150))
        await queue.aput(b"x" * 1_000_000)
        assert len(await queue.aget()) == 1_000_000

    asyncio.run(main())


def test_a_task_waits_for_another_process(start_method: StartMethod) -> None:
    async def main() -> None:
        await outbox.aput(b"y" * 500_000)  # there is no room yet
        assert await asyncio.wait_for(inbox.aget(), targets.SECONDS) == 500_000

    inbox: Queue[Any] = Queue()
    outbox: Queue[Any] = Queue(1)
    outbox.put(0)
    child = start(start_method, targets.take_two_and_tell, outbox, inbox)
    asyncio.run(main())
    join(child)
    inbox.close()
    outbox.close()


def test_a_cancelled_task_has_taken_nothing(queue: AnyQueue) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(queue.aget(), 0.02)
        queue.put(1)
        assert await queue.aget() == 1

    asyncio.run(main())


def test_closing_ends_the_wait_of_a_task(queue: AnyQueue) -> None:
    async def main() -> None:
        task = asyncio.create_task(queue.aget())
        await asyncio.sleep(0.01)
        queue.close()
        with pytest.raises(ValueError, match="is closed"):
            await asyncio.wait_for(task, targets.SECONDS)

    asyncio.run(main())


# ------------------------------------------------------------------- before sleeping


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Lookout]:
    """The queues' ends that looked for an item before they slept."""
    recent.sent = False
    return noted_calls(monkeypatch, Lookout, "look")


def test_whoever_has_put_something_looks_for_what_comes_back(
    any_queue: targets.AnyQueue, looks: list[Lookout]
) -> None:
    for number in range(3):
        any_queue.put(number)
        assert any_queue.get() == number
    assert len(looks) == 3


def test_whoever_only_gets_does_not_look(
    any_queue: targets.AnyQueue, looks: list[Lookout]
) -> None:
    any_queue.put(1)
    any_queue.put(2)
    any_queue.get()
    looks.clear()
    assert any_queue.get() == 2
    assert looks == []


def test_waiting_for_slow_answers_costs_little(
    any_queue: targets.AnyQueue, start_method: StartMethod
) -> None:
    back: SimpleQueue[Any] = SimpleQueue()
    child = start(start_method, targets.echo_slowly, any_queue, back)
    any_queue.put(0)
    assert back.get() == 0  # it has started
    cpu = time.process_time()
    for number in range(30):
        any_queue.put(number)
        assert back.get() == number
    cpu = time.process_time() - cpu
    any_queue.put(None)
    join(child)
    back.close()
    assert cpu < 0.3  # of 0.6 s
