"""The heap of blocks and locks, against a model of who can reach which memory."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from hypothesis import HealthCheck, given, settings, strategies as st

from mp_connection import Connection, Pipe
from mp_sync import Lock, Semaphore
from mp_sync.arena import Block, allocate

assert sys.platform == "linux"

from mp_sync import arena

sizes = st.one_of(st.integers(1, 300), st.sampled_from([4096, 5000, 70_000]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("allocate"), sizes),
        st.tuples(
            st.sampled_from(["drop", "send", "receive", "lock", "fork"]),
            st.integers(0, 50),
        ),
    ),
    max_size=40,
)


class Model:
    """What this process made, sent and let go of.

    Each block is filled with a number of its own when it is made.  Memory that anybody
    can still reach, here, in a forked child or in a message, keeps its number.
    """

    def __init__(
        self, ours: Connection[object, object], theirs: Connection[object, object]
    ) -> None:
        self.ours, self.theirs = ours, theirs
        self.blocks: list[tuple[Block, int]] = []
        self.in_flight: list[int] = []
        self.received: list[tuple[Block, int]] = []
        self.locks: list[Lock | Semaphore] = []
        self.children: list[tuple[int, int]] = []
        self.made = 0

    def allocate(self, size: int) -> None:
        block = allocate(size)
        assert bytes(block.memory()) == bytes(size), "it is not zero"
        self.made = self.made % 255 + 1
        block.memory()[:] = bytes([self.made]) * size
        self.blocks.append((block, self.made))

    def drop(self, number: int) -> None:
        for things in (self.blocks, self.received, self.locks):
            if things:
                del things[number % len(things)]

    def send(self, number: int) -> None:
        if self.blocks and len(self.in_flight) < 20:
            block, mark = self.blocks.pop(number % len(self.blocks))
            self.ours.send(block)
            self.in_flight.append(mark)

    def receive(self, number: int) -> None:
        if self.in_flight:
            block = self.theirs.recv()
            assert isinstance(block, Block)
            self.received.append((block, self.in_flight.pop(0)))

    def lock(self, number: int) -> None:
        lock = Lock() if number % 2 else Semaphore(number + 1)
        assert not lock.locked()
        lock.acquire()
        self.locks.append(lock)

    def fork(self, number: int) -> None:
        if len(self.children) >= 2:
            return
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)  # end of file: everything has been tried by now
            os._exit(not self.is_right())
        os.close(reader)
        self.children.append((pid, writer))

    def is_right(self) -> bool:
        return all(
            bytes(block.memory()) == bytes([mark]) * block.size
            for block, mark in (*self.blocks, *self.received)
        ) and all(lock.locked() or isinstance(lock, Semaphore) for lock in self.locks)

    def finish(self) -> None:
        for _, writer in self.children:
            os.close(writer)  # all of them: the later child has the earlier one's too
        for pid, _ in self.children:
            assert os.waitpid(pid, 0)[1] == 0, "a child's memory has changed"
        while self.in_flight:
            self.receive(0)
        assert self.is_right()


@given(steps)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_memory_that_anybody_can_reach_is_nobody_else_s(
    script: list[tuple[str, int]],
) -> None:
    arena._heap = arena._Heap()
    with ExitStack() as stack:
        ours, theirs = map(stack.enter_context, Pipe())
        model = Model(ours, theirs)
        try:
            for name, number in script:
                getattr(model, name)(number)
                assert model.is_right()
        finally:
            model.finish()
