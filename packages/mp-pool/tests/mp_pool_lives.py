"""A short life of a pool in which anything may come at any time.

Threads submit tasks, of which some fail, kill their worker or do not unpickle, and
cancel them; workers are killed; and at some moment the pool is closed or terminated.
In the end every call has an outcome.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import mp_pool_targets as targets

from mp_pool import (
    AsyncResult,
    BrokenPoolError,
    IMapIterator,
    Pool,
    PoolTerminatedError,
    ThreadPool,
    TimeoutError,
)
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

WAIT = 60  # seconds after which a test has failed

#: What a call may raise that comes too late.
TOO_LATE = (BrokenPoolError, PoolTerminatedError)


class Life:
    """One pool, from its beginning to its end.

    Args:
        method: the start method; None for a pool of threads.
        seed: what happens follows from it, as far as threads and processes do not.
    """

    def __init__(self, method: StartMethod | None, seed: int) -> None:
        self.dice = random.Random(seed)
        self.threads = method is None
        self.results: list[AsyncResult[Any]] = []
        self.iterators: list[IMapIterator[Any]] = []
        self.did: list[str] = []
        self.calls = self.kills = 0
        self.bad = self.dice.choice((0.04, 0.3))
        self.pool = self.make(method)

    def make(self, method: StartMethod | None) -> Pool:
        size = self.dice.choice((1, 1, 2, 3))
        options: dict[str, Any] = {}
        if self.dice.random() < 0.3:
            options["initializer"] = self.dice.choice((targets.nothing, targets.pause))
        if method is None:
            return ThreadPool(size, **options)
        if self.dice.random() < 0.3:
            options["maxtasksperchild"] = self.dice.choice((1, 2, 5))
        if self.dice.random() < 0.2:
            options["finalizer"] = self.dice.choice((targets.nothing, targets.pause))
        self.did.append(f"Pool({size}, {options})")
        return Pool(size, context=get_context(method), **options)

    # ------------------------------------------------------------------- its users

    def items(self, dice: random.Random, count: int) -> Iterator[object]:
        """Arguments, some of which do not unpickle or kill who unpickles them."""
        for _ in range(count):
            luck = dice.random()
            if self.threads or luck > self.bad:
                yield dice.randrange(100)
            elif luck < self.bad / 2:
                yield targets.KillsReader()
            else:
                yield targets.Unloadable()

    def slowly(self, dice: random.Random, count: int) -> Iterator[object]:
        """The same, at a pace of their own; they may end with an exception."""
        for item in self.items(dice, count):
            if dice.random() < 0.1:
                time.sleep(dice.random() * 0.005)
            if dice.random() < 0.01:
                raise KeyError("no more")
            yield item

    def task(self, dice: random.Random) -> tuple[Callable[[Any], Any], object]:
        kind = dice.randrange(7 if self.threads else 8)
        if kind < 4:
            return targets.identity, next(self.items(dice, 1))
        if kind == 4:
            return targets.fail, "as it should"
        if kind == 5:
            return targets.nap, dice.random() * 0.01
        if kind == 6:
            return bytes, dice.choice((10, 5_000, 300_000))
        return targets.perhaps_die, 0.1

    def terms(self, dice: random.Random) -> dict[str, Any]:
        terms: dict[str, Any] = {}
        if not self.threads and dice.random() < 0.15:
            terms["timeout"] = dice.choice((WAIT, 0.003))
        if dice.random() < 0.15:
            terms["retries"] = dice.choice((1, 2))
        return terms

    def submit(self, dice: random.Random) -> None:
        function, argument = self.task(dice)
        arguments: list[Any] = [argument]
        back: dict[str, Any] = {"callback": str} if dice.random() < 0.2 else {}
        count, chunk = dice.choice((0, 1, 5, 40)), dice.choice((1, 3, 50))
        kind = dice.choice(("apply", "apply_async", "many", "map", "imap", "unordered"))
        # Those with terms do not travel together.
        terms = {} if kind == "many" else self.terms(dice)
        self.calls += 1
        self.did.append(f"{kind} {function.__name__} {count} {chunk} {terms} {back}")
        pool = self.pool
        if kind == "apply":
            with suppress(Exception):
                pool.apply(function, arguments, **terms)
        elif kind in ("apply_async", "many"):
            for _ in range(30 if kind == "many" else 1):
                result = pool.apply_async(function, arguments, **terms, **back)
                self.results.append(result)
                function, *arguments = self.task(dice)
        elif kind == "map":
            items = [argument] * count
            made = pool.map_async(function, items, chunk, **terms, **back)
            self.results.append(made)
        else:
            begin = pool.imap if kind == "imap" else pool.imap_unordered
            source = self.slowly(dice, count)
            self.iterators.append(begin(targets.identity, source, chunk, **terms))

    def use(self, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(dice.randrange(1, 10)):
            try:
                self.submit(dice)
            except (*TOO_LATE, ValueError) as error:
                self.did.append(f"refused: {error}")
                return
            if dice.random() < 0.2 and self.results:
                result = dice.choice(self.results)
                self.pool._cancel(result, running=dice.random() < 0.5)
                self.did.append("cancel")
            if dice.random() < 0.2:
                time.sleep(dice.random() * 0.01)

    # ----------------------------------------------------------------- and its end

    def kill(self) -> None:
        time.sleep(self.dice.random() * 0.02)
        pids = [getattr(worker, "pid", None) for worker in self.pool._pool]
        pid = self.dice.choice(pids) if pids else None
        if pid is not None:
            self.did.append("kill")
            self.kills += 1
            with suppress(ProcessLookupError):
                os.kill(pid, self.dice.choice((signal.SIGKILL, signal.SIGTERM)))

    def run(self) -> None:
        """Live it.

        Raises:
            AssertionError: somebody would wait for ever.
        """
        dice = self.dice
        users = [
            threading.Thread(target=self.use, args=(dice.getrandbits(32),), daemon=True)
            for _ in range(dice.choice((1, 1, 2, 3)))
        ]
        for user in users:
            user.start()
        for _ in range(dice.choice((0, 0, 1, 3))):
            self.kill()
        time.sleep(dice.choice((0, 0, dice.random() * 0.05)))
        if dice.random() < 0.5:
            self.wait_for(*users)
        if dice.random() < 0.75:
            self.did.append("close")
            self.pool.close()
            if dice.random() < 0.3:
                self.did.append("cancel all")
                for result in self.results:
                    self.pool._cancel(result, running=False)
        else:
            self.did.append("terminate")
            self.pool.terminate()
        joining = threading.Thread(target=self.pool.join, daemon=True)
        joining.start()
        self.wait_for(*users, joining)
        for result in self.results:
            assert result.ready(), self.did
        for iterator in self.iterators:
            self.read(iterator)

    def wait_for(self, *threads: threading.Thread) -> None:
        for thread in threads:
            thread.join(WAIT)
            assert not thread.is_alive(), self.did

    def read(self, iterator: IMapIterator[Any]) -> None:
        while True:
            try:
                iterator.next(WAIT)
            except StopIteration:
                return
            except TimeoutError:
                raise AssertionError(self.did) from None
            except TOO_LATE:
                return
            except Exception as error:
                if "not running" in str(error):
                    return
