"""The scheduler, driven by a model of workers that receive, run, answer and die."""

from __future__ import annotations

from collections import Counter, deque
from typing import Self

import pytest
from hypothesis import assume, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mp_pool._actions import (
    Action,
    Cancel,
    Drop,
    Fail,
    Kill,
    Send,
    Start,
    Stop,
    TakeBack,
    TakeBackWaiting,
    Unit,
)
from mp_pool._scheduler import (
    CHUNK_DEATHS,
    CLOSING,
    DEPTH,
    LOST,
    RETRIED,
    RUNNING,
    SHORT_DEPTH,
    START_DEATHS,
    STOPPED,
    UNTOUCHED,
    Scheduler,
)


class Chunk(Unit):
    """A chunk that knows what became of it."""

    def __init__(self, number: int, small: bool = True) -> None:
        super().__init__(small)
        self.number = number
        self.runs = 0
        self.sends = 0
        self.outcomes: list[str] = []
        self.done = 0
        #: The tasks that it has.
        self.each: list[Chunk] = [self]

    def __repr__(self) -> str:
        return f"<{self.number}>"


class Parts(Chunk):
    """A chunk that can be divided: what becomes of it is noted in its tasks."""

    divisible = True

    def __init__(self, each: list[Chunk]) -> None:
        super().__init__(each[0].number)
        self.each = each

    @property
    def tasks(self) -> int:
        return len(self.each) - self.done

    def trim(self) -> None:
        self.split(0)

    def split(self, tasks: int) -> Self:
        self.turn += self.done
        del self.each[: self.done]
        self.done = 0
        head = type(self)(self.each[:tasks] or self.each[:1])
        head.turn = self.turn
        self.turn += tasks
        del self.each[:tasks]
        if self.each:
            self.number = self.each[0].number
        return head

    def cut(self, index: int) -> Parts:
        rest = Parts(self.each[index:])
        rest.turn = self.turn + index
        del self.each[index:]
        return rest


class FakeWorker:
    """A worker: a queue of chunks unread, one that it has, answers on the way."""

    def __init__(self) -> None:
        self.unread: deque[Chunk] = deque()
        self.has: Chunk | None = None
        self.place = 0
        self.begun = False
        self.answers: deque[Chunk] = deque()
        self.said_ready = False
        self.stopped = False
        self.dropped = False

    @property
    def behind(self) -> bool:
        """There are tasks behind the one that it runs."""
        return self.has is not None and self.place + 1 < len(self.has.each)

    @property
    def idle(self) -> bool:
        return not (self.unread or self.has or self.answers)


class World:
    """What a pool does around a scheduler."""

    def __init__(
        self, size: int, lifetime: int | None = None, drops: bool = False
    ) -> None:
        self.workers: dict[int, FakeWorker] = {}
        self.led: dict[int, Chunk | None] = {}
        self.log: list[Action] = []
        #: The numbers of tasks that were sent.
        self.sent: list[int] = []
        self.scheduler: Scheduler[Chunk] = Scheduler(size, lifetime, self.recall)
        self.scheduler.drops = drops
        self.perform()

    def recall(self, number: int) -> bool:
        return number not in self.led

    def perform(self) -> None:
        actions = self.scheduler.actions
        while actions:
            action = actions.popleft()
            self.log.append(action)
            if self.scheduler.phase == STOPPED:
                assert not isinstance(action, Send | Start | TakeBack | TakeBackWaiting)
            if isinstance(action, Start):
                self.workers[action.worker] = FakeWorker()
            elif isinstance(action, Send):
                worker = self.workers[action.worker]
                assert not worker.stopped
                assert action.worker not in self.led
                worker.unread.append(action.chunk)
                for task in action.chunk.each:
                    task.sends += 1
                    self.sent.append(task.number)
            elif isinstance(action, TakeBack):
                unread = self.workers[action.worker].unread
                if unread:
                    self.scheduler.taken_back(action.worker, unread.popleft())
            elif isinstance(action, TakeBackWaiting):
                worker = self.workers[action.worker]
                unread, oldest = worker.unread, self.scheduler.oldest(action.worker)
                if worker.begun and worker.has is oldest and worker.behind:
                    assert isinstance(oldest, Parts)
                    self.scheduler.cut_off(oldest.cut(worker.place + 1))
                if unread and unread[0] is not oldest:
                    while unread:
                        self.scheduler.taken_back(action.worker, unread.popleft())
            elif isinstance(action, Stop):
                self.workers[action.worker].stopped = True
            elif isinstance(action, Drop):
                worker = self.workers[action.worker]
                assert self.scheduler.drops
                assert worker.idle
                assert not worker.said_ready
                worker.stopped = worker.dropped = True
            elif isinstance(action, Fail):
                for task in action.chunk.each:
                    task.outcomes.append("failed")
            elif isinstance(action, Cancel):
                for task in action.chunk.each[action.chunk.done :]:
                    task.outcomes.append("cancelled")
            else:
                assert isinstance(action, Kill)

    def submit(self, *chunks: Chunk) -> None:
        self.scheduler.submit(chunks)
        self.perform()

    def ready(self, number: int) -> None:
        self.workers[number].said_ready = True
        self.scheduler.ready(number)
        self.perform()

    def receive(self, number: int) -> None:
        worker = self.workers[number]
        worker.has = worker.unread.popleft()
        worker.place = 0

    def begin(self, number: int) -> None:
        worker = self.workers[number]
        assert worker.has is not None
        worker.has.each[worker.place].runs += 1
        worker.begun = True

    def finish(self, number: int) -> None:
        worker = self.workers[number]
        assert worker.has is not None
        worker.answers.append(worker.has.each[worker.place])
        worker.place += 1
        worker.begun = False
        if worker.place == len(worker.has.each):
            worker.has = None

    def arrive(self, number: int) -> None:
        answered = self.workers[number].answers.popleft()
        oldest = self.scheduler.oldest(number)
        if oldest is not None:
            assert oldest.each[oldest.done] is answered
            oldest.done += 1
            if oldest.done == len(oldest.each):
                assert self.scheduler.answered(number) is oldest
            else:
                self.scheduler.answered_part(number)
            answered.outcomes.append("done")
        self.perform()

    def run_one(self, number: int) -> None:
        for step in (self.receive, self.begin, self.finish, self.arrive):
            step(number)

    def die(self, number: int, by_itself: bool = False) -> None:
        worker = self.workers[number]
        self.scheduler.ended(number)
        while worker.answers:
            self.arrive(number)
        del self.workers[number]
        loss = LOST if worker.begun else UNTOUCHED
        oldest = self.scheduler.oldest(number)
        if isinstance(oldest, Parts) and worker.begun:
            oldest.each[oldest.done].outcomes.append("failed")
            oldest.done += 1
            loss = RETRIED
            if not oldest.tasks:
                self.scheduler.answered(number, sent=False)
        self.scheduler.died(number, loss, by_itself)
        self.perform()

    def kinds(self, kind: type[Action]) -> list[Action]:
        return [action for action in self.log if type(action) is kind]


class PoolMachine(RuleBasedStateMachine):
    """Any order of events."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[Chunk] = []
        self.deaths = 0

    @initialize(
        size=st.integers(1, 4),
        lifetime=st.sampled_from([None, None, 1, 3]),
        drops=st.booleans(),
    )
    def begin_world(self, size: int, lifetime: int | None, drops: bool) -> None:
        self.world = World(size, lifetime, drops)
        self.lifetime = lifetime

    def some(self, data: st.DataObject, numbers: list[int]) -> int:
        assume(numbers)
        return data.draw(st.sampled_from(numbers))

    @property
    def running(self) -> dict[int, FakeWorker]:
        led = self.world.led
        return {n: w for n, w in self.world.workers.items() if n not in led}

    def where(self, **state: object) -> list[int]:
        return [
            number
            for number, worker in self.running.items()
            if all(bool(getattr(worker, k)) == v for k, v in state.items())
        ]

    @rule(smalls=st.lists(st.booleans(), min_size=1, max_size=5))
    def submit(self, smalls: list[bool]) -> None:
        new = [Chunk(len(self.chunks) + i, small) for i, small in enumerate(smalls)]
        self.chunks += new
        self.world.submit(*new)

    @rule(tasks=st.lists(st.integers(1, 6), min_size=1, max_size=3))
    def submit_parts(self, tasks: list[int]) -> None:
        """Chunks that can be divided."""
        new = []
        for number in tasks:
            begin = len(self.chunks)
            self.chunks += map(Chunk, range(begin, begin + number))
            new.append(Parts(self.chunks[begin:]))
        self.world.submit(*new)

    @rule(data=st.data())
    def ready(self, data: st.DataObject) -> None:
        number = self.some(data, self.where(said_ready=False))
        self.world.ready(number)

    @rule(data=st.data())
    def receive(self, data: st.DataObject) -> None:
        numbers = self.where(said_ready=True, has=False, unread=True)
        self.world.receive(self.some(data, numbers))

    @rule(data=st.data())
    def run(self, data: st.DataObject) -> None:
        self.world.begin(self.some(data, self.where(has=True, begun=False)))

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.world.finish(self.some(data, self.where(begun=True)))

    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        self.world.arrive(self.some(data, self.where(answers=True)))

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A worker that was told to stop, and has nothing left, ends."""
        number = self.some(data, self.where(stopped=True, idle=True))
        self.world.die(number, by_itself=not self.world.workers[number].dropped)

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        number = self.some(data, list(self.running))
        if not self.world.workers[number].said_ready:
            assume(self.deaths < START_DEATHS - 1)
            self.deaths += 1
        self.world.die(number)

    @rule()
    def lend(self) -> None:
        for number in self.world.scheduler.lend():
            assert self.world.workers[number].idle

    @rule(data=st.data())
    def lead(self, data: st.DataObject) -> None:
        free = self.world.scheduler.lent - self.world.led.keys()
        number = self.some(data, sorted(free))
        self.world.led[number] = None

    @rule(data=st.data(), sent=st.booleans())
    def give_back(self, data: st.DataObject, sent: bool) -> None:
        number = self.some(data, list(self.world.led))
        del self.world.led[number]
        chunk = None
        if sent:
            chunk = Chunk(len(self.chunks))
            chunk.sends = 1
            self.chunks.append(chunk)
            self.world.workers[number].unread.append(chunk)
        self.world.scheduler.returned(number, chunk)
        self.world.perform()

    @rule(data=st.data(), pace=st.integers(1, 4))
    def adapt(self, data: st.DataObject, pace: int) -> None:
        """The tasks of a worker turn out to be short, or long."""
        number = self.some(data, list(self.running))
        self.world.scheduler.workers[number].pace = pace

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Some chunks are not wanted any more; those that wait are forgotten."""
        pending = list(self.world.scheduler.pending)
        assume(pending)
        chunk = data.draw(st.sampled_from(pending))
        for task in chunk.each[chunk.done :]:
            task.outcomes.append("withdrawn")
        self.world.scheduler.withdraw([chunk])
        self.world.perform()

    @rule(data=st.data())
    def condemn(self, data: st.DataObject) -> None:
        """A task takes too long: its worker gets nothing more, and dies."""
        number = self.some(data, self.where(begun=True))
        assume(not self.world.workers[number].unread)
        self.world.scheduler.condemn(number)
        before = len(self.world.kinds(Send))
        self.submit([True])
        self.submit_parts([3])
        sent = self.world.kinds(Send)[before:]
        assert all(action.worker != number for action in sent)
        self.world.die(number)

    @rule()
    def look_again(self) -> None:
        self.world.scheduler.look_again()
        self.world.perform()

    @rule()
    def tick(self) -> None:
        self.world.scheduler.tick()
        self.world.perform()

    @rule()
    @precondition(lambda self: len(self.chunks) > 5)
    def close(self) -> None:
        self.world.scheduler.close()
        self.world.perform()

    @rule()
    @precondition(lambda self: len(self.chunks) > 20)
    def terminate(self) -> None:
        self.world.scheduler.terminate()
        self.world.perform()

    @invariant()
    def nothing_twice(self) -> None:
        for chunk in self.chunks:
            assert chunk.runs <= 1
            assert len(chunk.outcomes) <= 1

    @invariant()
    def nobody_idle_while_there_is_work(self) -> None:
        if not hasattr(self, "world"):
            return
        scheduler = self.world.scheduler
        idle = [
            number
            for number, worker in scheduler.workers.items()
            if worker.open and not worker.held and number not in scheduler.lent
        ]
        if scheduler.pending:
            assert not idle
        if idle:
            # Nothing that could be taken back waits behind something else.
            for number, worker in scheduler.workers.items():
                if len(worker.held) > 1:
                    assert not self.world.workers[number].unread

    @invariant()
    def bounds(self) -> None:
        if not hasattr(self, "world"):
            return
        scheduler = self.world.scheduler
        assert all(len(w.held) <= DEPTH for w in scheduler.workers.values())
        working = [w for w in scheduler.workers.values() if not w.stopping]
        assert len(working) <= scheduler.size
        if scheduler.phase == RUNNING:
            assert len(working) == scheduler.size

    @invariant()
    def first_come_first_served(self) -> None:
        if hasattr(self, "world"):
            seen: set[int] = set()
            first = []
            for task in self.world.sent:
                if task not in seen:
                    seen.add(task)
                    first.append(task)
            assert first == sorted(first)

    @invariant()
    def full_means_that_nothing_is_sent(self) -> None:
        """Nobody wakes the thread that would send something, so it must not."""
        if hasattr(self, "world"):
            scheduler = self.world.scheduler
            before = len(self.world.kinds(Send))
            if scheduler.full and not self.world.led:
                scheduler.look_again()
                self.world.perform()
                assert len(self.world.kinds(Send)) == before

    @invariant()
    def turns(self) -> None:
        if hasattr(self, "world"):
            turns = [chunk.turn for chunk in self.world.scheduler.pending]
            assert turns == sorted(turns)

    def teardown(self) -> None:
        """Whatever happened: closing now brings everything to an end."""
        if not hasattr(self, "world"):
            return
        world, scheduler = self.world, self.world.scheduler
        for number in list(world.led):
            del world.led[number]
            scheduler.returned(number, None)
            world.perform()
        scheduler.close()
        world.perform()
        for _ in range(10_000):
            if scheduler.finished:
                break
            self.one_step_each()
        assert scheduler.finished
        assert not scheduler.workers
        for chunk in self.chunks:
            assert len(chunk.outcomes) == 1, chunk
            if chunk.outcomes == ["done"]:
                assert chunk.runs == 1
        self.nothing_twice()

    def one_step_each(self) -> None:
        world = self.world
        for number, worker in list(world.workers.items()):
            if not worker.said_ready and world.scheduler.phase != STOPPED:
                world.ready(number)
            elif worker.answers:
                world.arrive(number)
            elif worker.begun:
                world.finish(number)
            elif worker.has:
                world.begin(number)
            elif worker.unread and world.scheduler.phase != STOPPED:
                world.receive(number)
            elif worker.stopped or world.scheduler.phase == STOPPED:
                world.die(number, by_itself=worker.stopped)


PoolMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=60, deadline=None
)
TestAnyOrder = PoolMachine.TestCase


def parts(count: int, first: int = 0) -> Parts:
    return Parts([Chunk(number) for number in range(first, first + count)])


def test_divisible_chunks_are_sent_in_parts() -> None:
    """One by one, as long as nobody knows that tasks are short; then more."""
    world = World(2)
    world.ready(1)
    world.ready(2)
    world.submit(parts(50))
    assert world.sent == list(range(2 * DEPTH))
    for number in (1, 2):
        world.scheduler.workers[number].pace = 5
    for _ in range(DEPTH - SHORT_DEPTH + 1):
        world.run_one(1)
    assert world.sent[2 * DEPTH :] == list(range(2 * DEPTH, 2 * DEPTH + 5))
    assert world.scheduler.full
    world.run_one(2)
    assert len(world.sent) == 2 * DEPTH + 5


def test_what_waits_in_a_part_comes_back() -> None:
    world = World(2)
    world.ready(1)
    world.scheduler.workers[1].pace = 100
    world.submit(chunk := parts(5))
    tasks = list(chunk.each)
    world.receive(1)
    world.begin(1)
    world.ready(2)
    assert not world.workers[2].unread
    world.scheduler.tick()
    world.perform()
    assert [c.number for c in world.workers[2].unread] == [1, 2, 3, 4]
    for _ in range(4):
        world.run_one(2)
    assert [task.outcomes for task in tasks] == [[], *[["done"]] * 4]
    for step in (world.finish, world.arrive):
        step(1)
    assert [task.runs for task in tasks] == [1] * 5


def test_death_takes_one_task_of_a_part() -> None:
    world = World(1)
    world.ready(1)
    world.scheduler.workers[1].pace = 100
    world.submit(chunk := parts(5))
    tasks = list(chunk.each)
    world.receive(1)
    for _ in range(2):
        world.begin(1)
        world.finish(1)
    world.begin(1)
    world.die(1)
    world.ready(2)
    world.run_one(2)
    world.run_one(2)
    outcomes = [task.outcomes for task in tasks]
    assert outcomes == [["done"], ["done"], ["failed"], ["done"], ["done"]]


def test_idle_workers_get_a_chunk_each_before_any_gets_two() -> None:
    world = World(2)
    world.ready(1)
    world.ready(2)
    world.submit(*map(Chunk, range(3)))
    assert [a.worker for a in world.kinds(Send)] == [1, 2, 1]


def test_starting_workers_get_nothing() -> None:
    world = World(2)
    world.submit(*map(Chunk, range(3)))
    assert not world.kinds(Send)
    world.ready(2)
    assert {a.worker for a in world.kinds(Send)} == {2}


def test_chunk_sent_ahead_is_taken_back_for_an_idle_worker() -> None:
    world = World(2)
    world.ready(1)
    world.ready(2)
    long, short, waiting = map(Chunk, range(3))
    world.submit(long, short, waiting)
    world.receive(1)
    world.run_one(2)
    assert world.kinds(TakeBack)
    assert list(world.workers[2].unread) == [waiting]
    assert waiting.sends == 2


def test_chunk_behind_a_slow_one_is_not_overtaken_for_long() -> None:
    world = World(2)
    world.ready(1)
    chunks = [Chunk(number) for number in range(DEPTH + 3)]
    world.submit(*chunks)
    world.receive(1)
    world.ready(2)
    world.receive(2)
    assert world.workers[2].has is chunks[DEPTH]
    world.scheduler.tick()
    world.perform()
    assert not world.workers[1].unread
    assert not world.workers[2].unread
    assert [c.number for c in world.scheduler.pending] == [
        *range(1, DEPTH),
        *range(DEPTH + 1, DEPTH + 3),
    ]
    for step in (world.begin, world.finish, world.arrive):
        step(2)
    assert world.workers[2].unread[0] is chunks[1]


def test_one_worker_keeps_the_order_however_slow_it_is() -> None:
    """Between two chunks that are taken back it might receive the second."""
    world = World(1)
    world.ready(1)
    chunks = [Chunk(number) for number in range(4)]
    world.submit(*chunks)
    world.receive(1)
    for _ in range(2):
        assert not world.scheduler.sent_ahead
        world.scheduler.tick()
        world.perform()
        assert list(world.workers[1].unread) == chunks[1:]
    assert not world.kinds(TakeBackWaiting)


def test_worker_that_answers_in_time_keeps_what_was_sent_ahead() -> None:
    world = World(2)
    world.ready(1)
    world.submit(*map(Chunk, range(5)))
    for _ in range(3):
        world.run_one(1)
        world.scheduler.tick()
        world.perform()
        assert len(world.workers[1].unread) == DEPTH or not world.scheduler.pending
    assert not world.kinds(TakeBack)
    assert not world.kinds(TakeBackWaiting)


def test_large_chunks_are_not_sent_ahead() -> None:
    world = World(1)
    world.ready(1)
    world.submit(Chunk(0), Chunk(1, small=False))
    assert len(world.kinds(Send)) == 1
    world.run_one(1)
    assert len(world.kinds(Send)) == 2
    world.submit(Chunk(2))
    assert len(world.kinds(Send)) == 2


def test_death_fails_what_had_begun_and_moves_the_rest() -> None:
    world = World(1)
    world.ready(1)
    first, second = Chunk(0), Chunk(1)
    world.submit(first, second)
    world.receive(1)
    world.begin(1)
    world.die(1)
    assert first.outcomes == ["failed"]
    world.ready(2)
    world.run_one(2)
    assert second.outcomes == ["done"]


def test_death_before_the_task_began_moves_it() -> None:
    world = World(1)
    world.ready(1)
    chunk = Chunk(0)
    world.submit(chunk)
    world.receive(1)
    world.die(1)
    world.ready(2)
    world.run_one(2)
    assert chunk.outcomes == ["done"]


def test_chunk_that_kills_its_receivers_is_given_up() -> None:
    world = World(1)
    chunk = Chunk(0)
    world.submit(chunk)
    for number in range(1, CHUNK_DEATHS + 1):
        assert not chunk.outcomes
        world.ready(number)
        world.receive(number)
        world.die(number)
    assert chunk.outcomes == ["failed"]
    assert world.scheduler.phase == RUNNING


def test_answers_that_were_sent_before_death_count() -> None:
    world = World(1)
    world.ready(1)
    chunk = Chunk(0)
    world.submit(chunk)
    for step in (world.receive, world.begin, world.finish):
        step(1)
    world.die(1)
    assert chunk.outcomes == ["done"]


@pytest.mark.parametrize("size", [1, 3])
def test_repeated_deaths_by_signal_at_start_break_the_pool(size: int) -> None:
    world = World(size)
    world.submit(chunk := Chunk(0))
    for _ in range(START_DEATHS - 1):
        world.die(next(iter(world.workers)))
        assert not world.scheduler.broken
    world.die(next(iter(world.workers)))
    assert world.scheduler.broken
    assert chunk.outcomes == ["cancelled"]
    # No loop: what was started stands for what died, and no more.
    assert len(world.kinds(Start)) == size + START_DEATHS - 1


def test_worker_that_got_ready_forgives_earlier_deaths() -> None:
    world = World(2)
    for _ in range(10):
        world.die(max(world.workers))
        world.ready(max(world.workers))
    assert not world.scheduler.broken


def test_end_by_itself_at_start_breaks_the_pool_at_once() -> None:
    world = World(2)
    world.ready(1)
    world.submit(*(chunks := [Chunk(0), Chunk(1)]))
    world.die(2, by_itself=True)
    assert world.scheduler.broken
    assert [c.outcomes for c in chunks] == [["cancelled"]] * 2
    assert [a.worker for a in world.kinds(Kill)] == [1]
    world.submit(late := Chunk(2))
    assert late.outcomes == ["cancelled"]


def test_worker_is_replaced_after_its_lifetime() -> None:
    world = World(1, lifetime=2)
    world.ready(1)
    world.submit(*map(Chunk, range(3)))
    assert len(world.kinds(Send)) == min(2, DEPTH)
    world.run_one(1)
    world.run_one(1)
    assert world.workers[1].stopped
    assert 2 in world.workers
    world.die(1, by_itself=True)
    assert not world.scheduler.broken
    assert list(world.workers) == [2]


def test_closing_drains_and_then_stops() -> None:
    world = World(2)
    world.ready(1)
    world.ready(2)
    world.submit(*(chunks := [Chunk(0), Chunk(1), Chunk(2)]))
    world.scheduler.close()
    world.perform()
    assert not world.kinds(Stop)
    world.run_one(1)
    world.run_one(1)
    world.run_one(2)
    assert Counter(c.outcomes[0] for c in chunks) == {"done": 3}
    assert len(world.kinds(Stop)) == 2
    assert world.scheduler.phase == CLOSING
    world.die(1, by_itself=True)
    world.die(2, by_itself=True)
    assert world.scheduler.finished


def test_closing_waits_for_no_worker_that_is_not_ready() -> None:
    world = World(3, drops=True)
    world.ready(1)
    world.submit(Chunk(0))
    world.scheduler.close()
    world.perform()
    assert [a.worker for a in world.kinds(Drop)] == [2, 3]
    world.ready(2)  # it had said so meanwhile
    world.run_one(1)
    assert [a.worker for a in world.kinds(Stop)] == [1]
    for number in (1, 2, 3):
        world.die(number, by_itself=number == 1)
    assert world.scheduler.finished
    assert not world.scheduler.broken


def test_closing_waits_for_what_workers_do_first() -> None:
    world = World(2)
    world.ready(1)
    world.scheduler.close()
    world.perform()
    assert not world.kinds(Drop)
    assert [a.worker for a in world.kinds(Stop)] == [1, 2]


def test_closing_keeps_an_idle_worker_for_what_can_be_taken_back() -> None:
    world = World(2)
    world.ready(1)
    world.ready(2)
    world.submit(Chunk(0), Chunk(1), waiting := Chunk(2))
    world.scheduler.close()
    world.receive(1)
    world.run_one(2)
    assert not world.kinds(Stop)
    world.run_one(2)
    assert waiting.outcomes == ["done"]
    assert [a.worker for a in world.kinds(Stop)] == [2]


@pytest.mark.parametrize("size", [1, 3])
def test_chunk_that_comes_when_all_workers_are_stopping_is_run(size: int) -> None:
    world = World(size)
    for number in range(1, size + 1):
        world.ready(number)
    world.scheduler.close()
    world.perform()
    assert len(world.kinds(Stop)) == size
    world.submit(*(late := [Chunk(0), Chunk(1)]))
    new = [a.worker for a in world.kinds(Start)][size:]
    assert len(new) == min(size, 2)
    for number in range(1, size + 1):
        world.die(number, by_itself=True)
    assert not world.scheduler.finished
    for number in new:
        world.ready(number)
    for number in (new * 2)[:2]:
        world.run_one(number)
    assert [chunk.outcomes for chunk in late] == [["done"]] * 2
    for number in new:
        world.die(number, by_itself=True)
    assert world.scheduler.finished


def test_chunk_that_comes_late_has_no_more_workers_started_than_it_needs() -> None:
    world = World(3, lifetime=1)
    for number in (1, 2, 3):
        world.ready(number)
    world.submit(long := Chunk(0))
    world.receive(1)
    world.scheduler.close()
    world.perform()
    assert len(world.kinds(Stop)) == 2
    world.submit(late := Chunk(1))
    assert [a.worker for a in world.kinds(Start)] == [1, 2, 3, 4]
    world.die(4)  # by a signal, before it was ready
    world.ready(5)
    world.run_one(5)
    assert late.outcomes == ["done"]
    for step in (world.begin, world.finish, world.arrive):
        step(1)
    assert long.outcomes == ["done"]
    assert len(world.kinds(Start)) == 5


def test_worker_whose_lifetime_ended_is_replaced_for_a_late_chunk() -> None:
    world = World(1, lifetime=1)
    world.ready(1)
    world.submit(Chunk(0))
    world.scheduler.close()
    world.perform()
    world.run_one(1)
    assert world.workers[1].stopped
    world.submit(late := Chunk(1))
    world.ready(2)
    world.run_one(2)
    assert late.outcomes == ["done"]


def test_terminate_cancels_and_kills() -> None:
    world = World(2)
    world.ready(1)
    world.submit(*(chunks := [Chunk(0), Chunk(1), Chunk(2), Chunk(3)]))
    world.scheduler.terminate()
    world.perform()
    assert all(c.outcomes == ["cancelled"] for c in chunks)
    assert [a.worker for a in world.kinds(Kill)] == [1, 2]
    world.die(1)
    assert not world.scheduler.finished
    world.die(2)
    assert world.scheduler.finished


def test_lent_worker_is_recalled_for_work() -> None:
    world = World(1)
    world.ready(1)
    assert world.scheduler.lend() == [1]
    world.submit(Chunk(0))
    assert [a.worker for a in world.kinds(Send)] == [1]


def test_work_waits_for_a_worker_that_is_led() -> None:
    world = World(1)
    world.ready(1)
    world.scheduler.lend()
    world.led[1] = None
    world.submit(Chunk(0))
    assert not world.kinds(Send)
    del world.led[1]
    world.scheduler.look_again()
    world.perform()
    assert len(world.kinds(Send)) == 1


def test_workers_that_are_replaced_are_not_lent() -> None:
    world = World(1, lifetime=5)
    world.ready(1)
    assert world.scheduler.lend() == []


def test_worker_that_cannot_be_started_breaks_the_pool() -> None:
    world = World(1)
    world.ready(1)
    world.submit(first := Chunk(0), second := Chunk(1))
    world.receive(1)
    world.begin(1)
    world.workers.pop(1)
    world.scheduler.ended(1)
    world.scheduler.died(1, LOST, by_itself=False)
    failed, start = (world.scheduler.actions.popleft() for _ in range(2))
    assert isinstance(failed, Fail)
    assert failed.chunk is first
    assert isinstance(start, Start)
    world.scheduler.not_started(start.worker)
    world.perform()
    assert world.scheduler.broken
    assert second.outcomes == ["cancelled"]
