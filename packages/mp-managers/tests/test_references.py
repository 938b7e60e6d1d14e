"""What is referred to lives, and nothing else does: counts, leases, forks, deaths."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
from typing import Any

assert sys.platform == "linux"

import mp_managers_targets as targets
import pytest
from mp_managers_targets import Manager, settle

from mp_connection import Pipe
from mp_managers import ManagerDiedError, RemoteError
from mp_process import get_context
from mp_testing import StartMethod

WAIT = 30


@pytest.fixture
def objects(manager: Manager) -> Any:
    """How many objects there are that were not there at the beginning."""

    def idents() -> set[str]:
        lines = manager._debug_info().splitlines()
        return {line.split(":")[0] for line in lines if ":       refcount=" in line}

    before = idents()
    return lambda: len(idents() - before)


def test_proxies_come_and_go(manager: Manager, objects: Any) -> None:
    outer, inner = manager.list(), manager.dict()
    outer.append(inner)
    outer.extend([inner, inner])
    copies = [outer[0], *outer[:], *outer]
    assert objects() == 2
    del inner
    copies[0]["a"] = 1
    assert outer[1]["a"] == 1
    del outer[:]
    assert objects() == 2
    del copies[1:]
    assert objects() == 2
    copies[0].clear()
    del copies
    assert objects() == 1
    del outer
    assert objects() == 0


def test_errors_keep_nothing(manager: Manager, objects: Any) -> None:
    """No cycle of an exception and its frames keeps a proxy until a collection."""
    gc.disable()
    try:
        numbers = manager.list()
        with pytest.raises(IndexError):
            numbers[9]
        with pytest.raises(RemoteError):
            numbers._callmethod("no")
        del numbers
        assert objects() == 0
    finally:
        gc.enable()


def test_a_cycle_is_collected(manager: Manager, objects: Any) -> None:
    first, second = manager.list(), manager.list()
    first.append(second)
    second.append(first)
    del first, second
    collector = manager.Calculator()  # type: ignore[attr-defined]
    collector.call(gc.collect)
    del collector
    assert objects() == 0


def test_a_result_that_cannot_be_pickled_grants_nothing(
    manager: Manager, objects: Any
) -> None:
    calculator, numbers = manager.Calculator(), manager.list()  # type: ignore[attr-defined]
    for _ in range(3):
        assert calculator.give([numbers])[0][:] == []
    del numbers
    assert objects() == 1


def test_a_pickle_keeps_what_it_refers_to(manager: Manager, objects: Any) -> None:
    numbers = manager.list([1])
    saved = pickle.dumps(numbers)
    del numbers
    assert objects() == 1
    arrived = pickle.loads(saved)
    assert arrived[:] == [1]
    again = pickle.loads(saved)
    assert again[:] == [1]
    del arrived, again
    assert objects() == 0
    late = pickle.loads(saved)
    with pytest.raises(ManagerDiedError):
        late[:]


def test_threads_that_end_take_their_leases_along(
    manager: Manager, objects: Any
) -> None:
    kept: list[Any] = []
    threads = [
        threading.Thread(target=lambda: kept.append(manager.list([1])))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [numbers[0] for numbers in kept] == [1] * 5
    assert objects() == 5
    del kept[:]
    assert objects() == 0


def test_a_proxy_that_is_dropped_in_the_middle_of_a_call(
    manager: Manager, objects: Any
) -> None:
    class Drops:
        def __init__(self) -> None:
            self.proxy = [manager.list()]

        def __reduce__(self) -> tuple[object, ...]:
            self.proxy.clear()
            return int, (1,)

    numbers: Any = manager.list()
    numbers.append(Drops())
    assert objects() == 1
    del numbers


def test_children_keep_what_they_were_given(
    manager: Manager, objects: Any, start_method: StartMethod
) -> None:
    numbers = manager.list([1, 2, 3])
    ready, theirs = Pipe()
    their_gate, gate = Pipe()
    child = get_context(start_method).Process(
        target=targets.hold_and_wait, args=(numbers, theirs, their_gate)
    )
    child.start()
    theirs.close()
    their_gate.close()
    del child._args, numbers
    gc.collect()
    assert ready.recv(timeout=WAIT) == 3
    assert objects() == 1
    gate.send("end")
    child._args = ()
    child.join(WAIT)
    settle(lambda: objects() == 0)
    ready.close()
    gate.close()


def test_what_a_killed_child_held_is_released(
    manager: Manager, objects: Any, start_method: StartMethod
) -> None:
    ready, theirs = Pipe()
    child = get_context(start_method).Process(
        target=create_and_wait, args=(manager.address, theirs)
    )
    child.start()
    theirs.close()
    assert ready.recv(timeout=WAIT) == 2
    assert objects() == 2
    child.kill()
    child.join(WAIT)
    settle(lambda: objects() == 0)
    ready.close()


def create_and_wait(address: Any, ready: Any) -> None:
    manager = Manager(address)
    manager.connect()
    proxies = [manager.list(), manager.dict()]
    ready.send(len(proxies))
    signal.pause()


def test_a_fork_keeps_what_its_parent_drops(manager: Manager, objects: Any) -> None:
    """The child has not used its copy yet when the parent drops its own."""
    numbers = manager.list([1, 2])
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            theirs.recv()
            theirs.send(numbers[:])
            theirs.recv()
        finally:
            os._exit(0)
    theirs.close()
    del numbers
    assert objects() == 1
    ours.send("use it")
    assert ours.recv(timeout=WAIT) == [1, 2]
    manager._number_of_objects()
    ours.send("end")
    os.waitpid(child, 0)
    settle(lambda: objects() == 0)
    ours.close()


def test_a_fork_that_never_uses_it_keeps_it_until_it_ends(
    manager: Manager, objects: Any
) -> None:
    numbers = manager.list([1, 2])
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        theirs.recv()
        os._exit(0)
    del numbers
    later = manager.list()
    del later  # it was not there at the fork
    assert objects() == 1
    ours.send("end")
    os.waitpid(child, 0)
    settle(lambda: objects() == 0)
    ours.close()
    theirs.close()


def test_a_fork_whose_parent_is_killed(manager: Manager, objects: Any) -> None:
    ours, theirs = Pipe()
    parent = os.fork()
    if parent == 0:
        try:
            numbers = manager.list([1, 2])
            if os.fork() == 0:
                ours.close()
                theirs.recv()
                theirs.send(numbers[:])
                theirs.recv()
                os._exit(0)
            theirs.send("made")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    theirs.close()
    assert ours.recv(timeout=WAIT) == "made"
    os.waitpid(parent, 0)
    assert objects() == 1
    ours.send("use it")
    assert ours.recv(timeout=WAIT) == [1, 2]
    ours.send("end")
    settle(lambda: objects() == 0)
    ours.close()


def test_a_grandchild_keeps_it_too(manager: Manager, objects: Any) -> None:
    numbers = manager.list([1, 2])
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            try:
                ours.close()
                theirs.recv()
                theirs.send(numbers[:])
                theirs.recv()
            finally:
                os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
    theirs.close()
    del numbers
    assert objects() == 1
    ours.send("use it")
    assert ours.recv(timeout=WAIT) == [1, 2]
    ours.send("end")
    settle(lambda: objects() == 0)
    ours.close()


def test_an_rlock_of_a_killed_client_is_free_again(manager: Manager) -> None:
    lock, plain = manager.RLock(), manager.Lock()
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        lock.acquire()
        lock.acquire()
        plain.acquire()
        theirs.send("held")
        signal.pause()
    theirs.close()
    assert ours.recv(timeout=WAIT) == "held"
    assert not lock.acquire(False)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert lock.acquire(timeout=WAIT)
    lock.release()
    assert not plain.acquire(False)  # any process may release it, so it stays
    plain.release()
    ours.close()


@pytest.mark.parametrize("kind", ["Lock", "Queue"])
def test_what_a_killed_client_waited_for_goes_to_others(
    manager: Manager, kind: str
) -> None:
    """A lock and an item that nobody took is not lost with who waited for them."""
    shared: Any = getattr(manager, kind)()
    if kind == "Lock":
        shared.acquire()
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        shared._session.my_link()
        theirs.send("waits")
        shared.acquire() if kind == "Lock" else shared.get()
        os._exit(1)
    theirs.close()
    assert ours.recv(timeout=WAIT) == "waits"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if kind == "Lock":
        shared.release()
        assert shared.acquire(timeout=WAIT)
    else:
        shared.put(True)
        assert shared.get(timeout=WAIT) is True
    ours.close()


def test_ten_thousand_proxies(manager: Manager, objects: Any) -> None:
    for _ in range(100):
        proxies = [manager.list() for _ in range(100)]
        assert proxies[0]._session is not None
        del proxies
    assert objects() == 0
