"""A killer at random, and processes that synchronize with each other meanwhile.

    python packages/mp-sync/tests/mp_sync_chaos.py [SECONDS [NAME ...]]

runs each scenario for so many seconds and says what happened.  The test is brief.
Each scenario asserts what holds whoever is killed, whenever.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from typing import ClassVar

assert sys.platform == "linux"

from mp_process import BaseProcess, get_context
from mp_sync import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    OwnerDiedError,
    RLock,
    Semaphore,
    _permits,
)
from mp_sync.arena import allocate

#: No wait is that long, on however slow a machine.
LIMIT = 40.0
#: Kills a second, as many as forks keep up with.
RATE = 150.0


class Scenario:
    """Workers that go round until they are told to stop.

    Attributes:
        rounds: how often a worker went round, of each worker.
        ended: whether a worker has come to its end.
    """

    workers: ClassVar[int] = 4

    def __init__(self) -> None:
        self._block = allocate(4096)
        numbers = self._block.memory().cast("I")
        self._stop = numbers[:1]
        self.rounds = numbers[16 : 16 + self.workers]
        self.ended = numbers[24 : 24 + self.workers]
        self.data = numbers[32:]

    def work(self, who: int) -> None:
        """What a worker does."""
        while not self._stop[0]:
            self.round(who)
            self.rounds[who] += 1
        self.ended[who] = 1

    def round(self, who: int) -> None:
        raise NotImplementedError

    def between(self) -> None:
        """What the killer does between two kills."""

    def stop(self) -> None:
        """Let the workers come to an end."""
        self._stop[0] = 1

    def check(self) -> None:
        """Assert what holds when all have ended."""


class Exclusion(Scenario):
    """One at a time, and what a dead holder left is known as such."""

    lock: Lock | RLock
    depth = 1

    def round(self, who: int) -> None:
        inside = self.data
        try:
            for _ in range(self.depth):
                assert self.lock.acquire(timeout=LIMIT)
        except OwnerDiedError:
            if not self.lock.recover():
                return
            inside[0] = 0
            self.lock.release()
            return
        assert inside[0] == 0, "somebody else is inside"
        inside[0] = os.getpid()
        inside[1] += 1
        assert inside[0] == os.getpid(), "somebody else came in"
        inside[0] = 0
        for _ in range(self.depth):
            self.lock.release()

    def check(self) -> None:
        try:
            assert self.lock.acquire(timeout=LIMIT)
        except OwnerDiedError:
            assert self.lock.recover()
        self.lock.release()


class RobustLock(Exclusion):
    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock(robust=True)


class RecursiveLock(Exclusion):
    depth = 2

    def __init__(self) -> None:
        super().__init__()
        self.lock = RLock()


class PlainLock(Scenario):
    """Killed while they wait: those that are left get it, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = self.make()
        self.lock.acquire()

    def make(self) -> Lock | Semaphore:
        return Lock()

    def work(self, who: int) -> None:
        # It is held by the killer as long as anybody is killed.
        assert self.lock.acquire(timeout=2 * LIMIT)
        assert self._stop[0]
        self.data[0] += 1
        self.rounds[who] += 1
        self.lock.release()

    def stop(self) -> None:
        super().stop()
        self.lock.release()

    def check(self) -> None:
        assert self.data[0] == self.workers
        assert self.lock.acquire(block=False)


class PlainSemaphore(PlainLock):
    def make(self) -> Semaphore:
        return BoundedSemaphore(1)


class RobustSemaphore(Scenario):
    """Two at a time, and all permits are back in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.semaphore = Semaphore(2, robust=True)
        #: To look at all holders at one moment.
        self.lock = RLock()

    def round(self, who: int) -> None:
        holders = self.data[: self.workers]
        with self.semaphore:
            self.take_lock()
            holders[who] = os.getpid()
            living = [pid for pid in holders if pid and _lives(pid)]
            assert len(living) <= 2, living
            self.lock.release()
            self.take_lock()
            holders[who] = 0
            self.lock.release()

    def take_lock(self) -> None:
        while True:
            try:
                assert self.lock.acquire(timeout=LIMIT)
                return
            except OwnerDiedError:
                if self.lock.recover():
                    return

    def check(self) -> None:
        for _ in range(2):
            assert self.semaphore.acquire(timeout=LIMIT)
        assert not self.semaphore.acquire(block=False)


class Events(Scenario):
    """Setting waits for nobody, and lets all go on who live."""

    def __init__(self) -> None:
        super().__init__()
        self.event = Event()

    def round(self, who: int) -> None:
        assert self.event.wait(LIMIT)
        if not who:
            self.event.clear()

    def between(self) -> None:
        self.event.set()

    def stop(self) -> None:
        super().stop()
        deadline = time.monotonic() + LIMIT
        while not all(self.ended) and time.monotonic() < deadline:
            self.event.set()
            time.sleep(0.001)


class Conditions(Scenario):
    """What is produced is consumed, but for what a consumer took into its death."""

    def __init__(self) -> None:
        super().__init__()
        self.condition = Condition()
        self.produced = 0

    def round(self, who: int) -> None:
        left, taken = self.data[:1], self.data[1:2]
        try:
            with self.condition:
                self.condition.wait_for(lambda: left[0] or self._stop[0], 0.5)
                if left[0]:
                    left[0] -= 1
                    taken[0] += 1
        except OwnerDiedError:
            self.recover()

    def recover(self) -> None:
        lock = self.condition._lock
        assert isinstance(lock, RLock)
        if lock.recover():
            lock.release()

    def between(self) -> None:
        while True:
            try:
                with self.condition:
                    self.data[0] += 1
                    self.produced += 1
                    self.condition.notify()
                return
            except OwnerDiedError:
                self.recover()

    def stop(self) -> None:
        deadline = time.monotonic() + LIMIT
        while self.data[0] and time.monotonic() < deadline:
            time.sleep(0.001)
        assert not self.data[0], "nobody consumes"
        super().stop()

    def check(self) -> None:
        killed_within = self.produced - self.data[1]
        assert 0 <= killed_within <= self.data[8], killed_within


class Barriers(Scenario):
    """Nobody waits for the dead: the barrier breaks, and is reset."""

    workers = 3

    def __init__(self) -> None:
        super().__init__()
        self.barrier = Barrier(self.workers)

    def round(self, who: int) -> None:
        import threading

        start = time.monotonic()
        try:
            self.barrier.wait(LIMIT)
        except threading.BrokenBarrierError:
            if not who:
                self.barrier.reset()
            time.sleep(0.001)
        assert time.monotonic() - start < LIMIT / 2, "it took a time-out to end this"

    def stop(self) -> None:
        super().stop()
        deadline = time.monotonic() + LIMIT
        while not all(self.ended) and time.monotonic() < deadline:
            self.barrier.abort()  # some have stopped already, others wait for them
            time.sleep(0.001)


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "lock": PlainLock,
    "robust lock": RobustLock,
    "rlock": RecursiveLock,
    "semaphore": PlainSemaphore,
    "robust semaphore": RobustSemaphore,
    "event": Events,
    "condition": Conditions,
    "barrier": Barriers,
}


def _lives(pid: int) -> bool:
    try:
        return _permits._start_of(pid) is not None
    except OSError:
        return False


def chaos(name: str, seconds: float, seed: int) -> tuple[int, int]:
    """Run a scenario; how many were killed, and how many rounds there were."""
    scenario = SCENARIOS[name]()
    dice = random.Random(seed)
    context = get_context("fork")

    def start(who: int) -> BaseProcess:
        process = context.Process(target=scenario.work, args=(who,), daemon=True)
        process.start()
        return process

    workers = [start(who) for who in range(scenario.workers)]
    kills = 0
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(dice.expovariate(RATE))
            who = dice.randrange(len(workers))
            workers[who].kill()
            workers[who].join(LIMIT)
            assert workers[who].exitcode == -9, f"a worker failed: {workers[who]}"
            workers[who].close()
            kills += 1
            scenario.data[8] = kills
            workers[who] = start(who)
            scenario.between()
        scenario.stop()
        for process in workers:
            process.join(LIMIT)
            assert process.exitcode == 0, f"a worker failed or hangs: {process}"
        scenario.check()
    finally:
        for process in workers:
            process.kill()
            process.join(LIMIT)
            process.close()
    return kills, sum(scenario.rounds)


def main(arguments: list[str]) -> None:
    """What the command does."""
    seconds = float(arguments[0]) if arguments else 10.0
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    for name in arguments[1:] or SCENARIOS:
        kills, rounds = chaos(name, seconds, seed)
        print(f"{name:18} {kills:6} killed, {rounds:9} rounds", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
