"""The manager is killed at every step of a call; clients are killed in a crowd."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

assert sys.platform == "linux"

import pytest
from mp_managers_targets import Manager, kill_self, settle

from mp_connection import Connection
from mp_managers import DictProxy, ListProxy, ManagerDiedError, RemoteError
from mp_process import get_context

WAIT = 30


class Mortal:
    """Kills the manager's process at some step."""

    def __reduce__(self) -> tuple[object, ...]:
        return kill_self, ()

    def die(self) -> None:
        kill_self()

    def give(self) -> DiesWhenPickled:
        return DiesWhenPickled()


class DiesWhenPickled:
    def __reduce__(self) -> tuple[object, ...]:
        kill_self()


class Doomed(Manager):
    pass


Doomed.register("Mortal", Mortal)
Doomed.register("die", kill_self)


def while_unpickling_the_request(manager: Any) -> None:
    manager.list().append(Mortal())


def while_creating(manager: Any) -> None:
    manager.die()


def while_calling(manager: Any) -> None:
    manager.Mortal().die()


def while_pickling_the_reply(manager: Any) -> None:
    manager.Mortal().give()


def before_the_request(manager: Any) -> None:
    numbers = manager.list()
    manager._process.kill()
    manager._process.join()
    numbers.append(1)


def before_another_thread_connects(manager: Any) -> None:
    numbers, caught = manager.list(), []
    manager._process.kill()
    manager._process.join()

    def use() -> None:
        try:
            numbers.append(1)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(WAIT)
    raise caught.pop()


def in_the_middle_of_a_batch(manager: Any) -> None:
    with manager.Mortal().batch() as batch:
        batch.die()


def while_somebody_waits(manager: Any) -> None:
    event = manager.Event()
    timer = threading.Timer(0.1, manager._process.kill)
    timer.start()
    try:
        event.wait()
    finally:
        timer.join()


@pytest.mark.parametrize(
    "act",
    [
        while_unpickling_the_request,
        while_creating,
        while_calling,
        while_pickling_the_reply,
        before_the_request,
        before_another_thread_connects,
        in_the_middle_of_a_batch,
        while_somebody_waits,
    ],
)
def test_the_manager_is_killed(act: Callable[[Any], None]) -> None:
    with Doomed() as manager:
        other = manager.dict()
        with pytest.raises(ManagerDiedError) as caught:
            act(manager)
        assert str(manager.address) in str(caught.value)
        for call in (other.copy, manager.list):
            with pytest.raises(ManagerDiedError):
                call()


# It takes another connection, which is this thread's for the tests that follow.
@pytest.mark.leaks("fds")
def test_an_interrupted_call_does_not_confuse_the_next(manager: Manager) -> None:
    """Ctrl-C, while it waits for a reply: the reply is not taken for another one's."""
    event, numbers = manager.Event(), manager.list([1, 2])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            event.wait()
        assert numbers[:] == [1, 2]  # over a new connection, as the old one waits
        event.set()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        calculator = manager.Calculator()  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            call_for_ever(calculator)
        assert numbers[:] == [1, 2]
        assert calculator.add(1) == 1
    finally:
        signal.signal(signal.SIGALRM, previous)


def call_for_ever(calculator: Any) -> None:
    while True:
        calculator.sleep(0.001)


def test_a_stopped_thread_does_not_stop_others(manager: Manager) -> None:
    event, numbers = manager.Event(), manager.list([1])
    waiter = threading.Thread(target=event.wait)
    waiter.start()
    assert numbers[0] == 1
    event.set()
    waiter.join(WAIT)
    assert not waiter.is_alive()


def stir(tables: Any, seed: int, steps: int, ready: Connection[Any, Any]) -> None:
    """Move tokens about nested lists."""
    chance = random.Random(seed)
    outer: ListProxy[ListProxy[int]] = tables["lists"]
    lock = tables["lock"]
    ready.send("begins")
    for _ in range(steps):
        with lock:
            source, target = (outer[chance.randrange(len(outer))] for _ in range(2))
            if len(source):
                target.append(source.pop())
        if chance.random() < 0.1:
            mine = tables["log"]
            mine[seed] = mine.get(seed, 0) + 1


@pytest.mark.parametrize("steps", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_eight_clients_some_killed(manager: Manager, steps: int) -> None:
    """Threads and processes on nested lists; afterwards all tokens are there."""
    from mp_connection import Pipe

    before = manager._number_of_objects()
    lists: ListProxy[Any] = manager.list([manager.list(range(25)) for _ in range(4)])
    tables: DictProxy[str, Any] = manager.dict(
        lists=lists, lock=manager.Lock(), log=manager.dict()
    )
    context = get_context("fork")
    ours, theirs = Pipe()
    workers = [
        context.Process(target=stir, args=(tables, n, steps, theirs)) for n in range(4)
    ]
    threads = [
        threading.Thread(target=stir, args=(tables, n, steps, theirs))
        for n in range(4, 6)
    ]
    # Who is killed has proxies of its own and changes nothing of the others'.
    victims = [context.Process(target=wander, args=(tables, theirs)) for _ in range(2)]
    everybody: list[Any] = [*workers, *victims, *threads]
    for started in everybody:
        started.start()
    for _ in range(8):
        assert ours.recv(timeout=WAIT) == "begins"
    for victim in victims:
        victim.kill()
        victim.join(WAIT)
    for started in everybody:
        started.join(WAIT)
    assert [worker.exitcode for worker in workers] == [0] * 4
    tokens = sorted(token for inner in lists for token in inner)
    assert tokens == sorted([*range(25)] * 4)
    assert set(tables["log"].keys()) <= set(range(6))
    del lists, tables, started, everybody, workers, threads, victims, victim
    settle(lambda: manager._number_of_objects() == before)
    theirs.close()
    ours.close()


def wander(tables: Any, ready: Connection[Any, Any]) -> None:
    """Hold, create, nest and read until killed."""
    ready.send("begins")
    while True:
        own: list[Any] = list(tables["lists"])
        own.append(tables["lists"][:])
        for inner in own[:4]:
            len(inner)


def test_many_connections(manager: Manager) -> None:
    many = int(os.environ.get("MP_MANAGERS_CONNECTIONS", "100"))
    threads_of = f"/proc/{manager._process.pid}/task"  # type: ignore[union-attr]
    numbers = manager.list([1])
    before = len(os.listdir(threads_of))
    gate, outcomes = threading.Event(), []

    def use() -> None:
        outcomes.append(numbers[0])
        gate.wait(WAIT)

    threads = [threading.Thread(target=use) for _ in range(many)]
    for thread in threads:
        thread.start()
    settle(lambda: len(outcomes) == many)
    assert len(os.listdir(threads_of)) >= before + many
    gate.set()
    for thread in threads:
        thread.join(WAIT)
    settle(lambda: len(os.listdir(threads_of)) <= before)


def test_a_manager_that_hangs_is_waited_for_no_longer_than_it_says() -> None:
    with Manager(shutdown_timeout=0.2) as manager:
        calculator = manager.Calculator()  # type: ignore[attr-defined]
        thread = threading.Thread(target=sleep_long, args=(calculator,))
        thread.start()
        time.sleep(0.05)
        begin = time.monotonic()
    assert time.monotonic() - begin < 20
    thread.join(WAIT)
    assert not thread.is_alive()


def sleep_long(calculator: Any) -> None:
    with pytest.raises((ManagerDiedError, RemoteError)):
        calculator.sleep(60)


def die_at_line(step: int) -> None:
    """Have threads that serve clients end this process at their n-th line of ours."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_globals.get("__name__", "").startswith("mp_"):
            return None
        if event == "line" and next(lines) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)


@pytest.mark.timeout(240)
def test_the_manager_is_killed_at_its_lines() -> None:
    """Whatever line of accepting a client and its calls: an error, and soon."""
    every = 1 if os.environ.get("MP_MANAGERS_STEPS") == "full" else 7
    step, deaths = random.randrange(1, every + 1), 0
    result = 0
    while not result:
        manager = Manager(ctx=get_context("fork"))
        manager.start(die_at_line, (step,))
        begin = time.monotonic()
        try:
            numbers = manager.list([1])
            numbers.append(2)
            result = numbers.pop()
            del numbers
        except ManagerDiedError:
            deaths += 1
        assert time.monotonic() - begin < WAIT
        manager.shutdown()
        step += every
    assert result == 2
    assert deaths > 5
