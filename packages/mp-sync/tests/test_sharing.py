"""Locks and events between processes: inherited, as arguments, and sent."""

from __future__ import annotations

import sys
from collections.abc import Callable

import mp_sync_targets as targets
import pytest
from mp_sync_targets import AnyLock

from mp_connection import Pipe
from mp_process import BaseProcess, get_context
from mp_sync import Event, Lock, RLock, Semaphore
from mp_sync.arena import allocate
from mp_testing import StartMethod

assert sys.platform == "linux"


def process(
    method: StartMethod, target: Callable[..., object], *args: object
) -> BaseProcess:
    made = get_context(method).Process(target=target, args=list(args))
    made.start()
    return made


def join(*processes: BaseProcess) -> None:
    for each in processes:
        each.join(targets.SECONDS)
        assert each.exitcode == 0
        each.close()


def test_one_process_at_a_time(lock: AnyLock, start_method: StartMethod) -> None:
    memory = allocate(8)
    children = [
        process(start_method, targets.raise_counter, lock, memory, 2000)
        for _ in range(3)
    ]
    targets.raise_counter(lock, memory, 2000)
    join(*children)
    assert int.from_bytes(memory.memory(), "little") == 8000
    assert not lock.locked()


def test_what_is_sent_works_as_well(lock: AnyLock, start_method: StartMethod) -> None:
    memory = allocate(8)
    ours, theirs = Pipe()
    child = process(start_method, targets.receive_and_raise, theirs, 2000)
    theirs.close()
    ours.send((lock, memory))
    targets.raise_counter(lock, memory, 2000)
    join(child)
    ours.close()
    assert int.from_bytes(memory.memory(), "little") == 4000


def test_a_lock_held_here_is_held_there(
    lock: AnyLock, start_method: StartMethod
) -> None:
    """Also a recursive one, by a child whose main thread looks like its parent's."""
    ours, theirs = Pipe()
    with lock:
        child = process(start_method, targets.try_to_acquire, lock, theirs)
        assert ours.poll(targets.SECONDS)
        assert ours.recv() is False
        join(child)
    child = process(start_method, targets.acquire_and_say, lock, theirs)
    assert ours.poll(targets.SECONDS)
    assert (ours.recv(), ours.recv()) == ("here", True)
    join(child)
    ours.close()
    theirs.close()


def test_a_process_waits_for_another(lock: AnyLock, start_method: StartMethod) -> None:
    ours, theirs = Pipe()
    with lock:
        child = process(start_method, targets.acquire_and_say, lock, theirs)
        assert ours.poll(targets.SECONDS)
        assert ours.recv() == "here"
        assert not ours.poll(0.05)
    assert ours.poll(targets.SECONDS)
    assert ours.recv() is True
    join(child)
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("kind", "error"), [(Lock, None), (RLock, AssertionError), (Semaphore, None)]
)
def test_who_may_release(
    kind: type[Lock],
    error: type[Exception] | None,
    start_method: StartMethod,
) -> None:
    ours, theirs = Pipe()
    lock = kind()
    lock.acquire()
    child = process(start_method, targets.release, lock, theirs)
    assert ours.poll(targets.SECONDS)
    assert ours.recv() is error
    join(child)
    assert lock.locked() is (error is not None)
    if error is not None:
        lock.release()
    ours.close()
    theirs.close()


def test_an_event_is_seen_everywhere(start_method: StartMethod) -> None:
    ours, theirs = Pipe()
    event = Event()
    waiting = [
        process(start_method, targets.wait_for_event, event, theirs) for _ in range(2)
    ]
    for _ in waiting:
        assert ours.poll(targets.SECONDS)
        assert ours.recv() == "here"
    setting = process(start_method, targets.set_event, event)
    assert event.wait(targets.SECONDS)
    for _ in waiting:
        assert ours.poll(targets.SECONDS)
        assert ours.recv() is True
    join(*waiting, setting)
    ours.close()
    theirs.close()


def test_attributes_of_subclasses_travel() -> None:
    ours, theirs = Pipe()
    lock = LabelledLock("label")
    ours.send(lock)
    received = theirs.recv()
    assert type(received) is LabelledLock
    assert received.label == "label"
    with received:
        assert lock.locked()
    ours.close()
    theirs.close()


class LabelledLock(Lock):
    """With something to carry."""

    def __new__(cls, label: str) -> LabelledLock:
        return super().__new__(cls)

    def __init__(self, label: str) -> None:
        self.label = label
