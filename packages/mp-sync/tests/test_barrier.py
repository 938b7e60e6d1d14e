"""Barrier: all go on together, or all learn that it is broken."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import mp_sync_targets as targets
import pytest

from mp_connection import Pipe, ProcessError
from mp_process import BaseProcess, get_context
from mp_sync import Barrier
from mp_testing import StartMethod

assert sys.platform == "linux"

Party = tuple[BaseProcess, targets.Report]


def party(
    method: StartMethod, target: Callable[..., object], barrier: Barrier, *args: object
) -> Party:
    ours, theirs = Pipe()
    process = get_context(method).Process(target=target, args=[barrier, theirs, *args])
    process.start()
    theirs.close()
    assert ours.poll(targets.SECONDS)
    assert ours.recv() == "here"
    return process, ours


def waiting(barrier: Barrier, count: int) -> None:
    """Wait until so many have come."""
    deadline = time.monotonic() + targets.SECONDS
    while barrier.n_waiting < count and time.monotonic() < deadline:
        time.sleep(0.001)
    assert barrier.n_waiting == count


def outcome(made: Party) -> object:
    process, report = made
    assert report.poll(targets.SECONDS)
    result: object = report.recv()
    process.join(targets.SECONDS)
    process.close()
    report.close()
    return result


def assert_broken(made: Party) -> None:
    error = outcome(made)
    assert isinstance(error, threading.BrokenBarrierError)
    assert isinstance(error, ProcessError)


def test_all_go_on_together_and_again(start_method: StartMethod) -> None:
    barrier = Barrier(3)
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
    made = [party(start_method, targets.meet, barrier, 50) for _ in range(2)]
    ours = [barrier.wait(targets.SECONDS) for _ in range(50)]
    theirs = [outcome(each) for each in made]
    assert all(isinstance(numbers, list) for numbers in theirs)
    for numbers in zip(ours, *theirs, strict=True):
        assert sorted(numbers) == [0, 1, 2]
    assert barrier.n_waiting == 0
    assert repr(barrier) == "<Barrier parties=3 0 waiting>"


def test_the_action_is_done_once_and_before_anybody_goes_on() -> None:
    done: list[int] = []
    barrier = Barrier(2, lambda: done.append(len(done)))
    seen: list[int] = []

    def meet() -> None:
        for _ in range(20):
            barrier.wait(targets.SECONDS)
            seen.append(len(done))
            barrier.wait(targets.SECONDS)

    threads = [threading.Thread(target=meet) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 40
    assert sorted(seen) == sorted([*range(1, 41, 2), *range(1, 41, 2)])


def test_an_action_that_fails_breaks_the_barrier(start_method: StartMethod) -> None:
    barrier = Barrier(2, int)
    other = party(start_method, targets.meet_in_vain, barrier)
    waiting(barrier, 1)

    def fail() -> None:
        raise LookupError

    barrier._action = fail
    with pytest.raises(LookupError):
        barrier.wait()
    assert_broken(other)
    assert barrier.broken


def test_a_party_that_died_breaks_the_barrier(start_method: StartMethod) -> None:
    """And does not let the others wait for ever."""
    barrier = Barrier(4)
    doomed = party(start_method, targets.meet_in_vain, barrier)
    others = [party(start_method, targets.meet_in_vain, barrier) for _ in range(2)]
    waiting(barrier, 3)
    doomed[0].kill()
    for other in others:
        assert_broken(other)
    doomed[0].join(targets.SECONDS)
    doomed[1].close()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    others = [party(start_method, targets.meet, barrier) for _ in range(3)]
    assert barrier.wait(targets.SECONDS) in range(4)
    for other in others:
        outcome(other)


def test_the_last_to_come_does_not_count_the_dead(start_method: StartMethod) -> None:
    barrier = Barrier(2, os.abort)
    process, report = party(start_method, targets.meet_in_vain, barrier)
    waiting(barrier, 1)
    process.kill()
    process.join(targets.SECONDS)
    report.close()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()


def test_a_party_that_dies_in_its_action_breaks_the_barrier(
    start_method: StartMethod,
) -> None:
    barrier = Barrier(2, targets.die)
    other = party(start_method, targets.meet_in_vain, barrier)
    waiting(barrier, 1)
    pid = os.fork()
    if pid == 0:
        barrier.wait()
    os.waitpid(pid, 0)
    assert_broken(other)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()


def test_a_time_out_breaks_the_barrier(start_method: StartMethod) -> None:
    barrier = Barrier(3, timeout=0.2)
    start = time.monotonic()
    with pytest.raises(threading.BrokenBarrierError, match="gave up"):
        barrier.wait()
    assert 0.2 <= time.monotonic() - start < 10
    assert repr(barrier) == "<Barrier parties=3 broken>"
    assert barrier.n_waiting == 0
    assert_broken(party(start_method, targets.meet_in_vain, barrier))


def test_aborting_and_resetting(start_method: StartMethod) -> None:
    barrier = Barrier(2)
    for end in (barrier.abort, barrier.reset) * 6:
        other = party(start_method, targets.meet_in_vain, barrier)
        waiting(barrier, 1)
        end()
        assert_broken(other)
        barrier.reset()
        assert not barrier.broken
    barrier.reset()
    other = party(start_method, targets.meet, barrier)
    assert barrier.wait(targets.SECONDS) in (0, 1)
    outcome(other)


def test_a_single_party_waits_for_nobody() -> None:
    barrier = Barrier(1)
    assert [barrier.wait(), barrier.wait(0)] == [0, 0]
    with pytest.raises(ValueError, match="one party at least"):
        Barrier(0)


class Interrupt(Exception):
    """What the handler raises."""


def test_an_interrupted_party_breaks_the_barrier(start_method: StartMethod) -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    barrier = Barrier(3)
    other = party(start_method, targets.meet_in_vain, barrier)
    waiting(barrier, 1)
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupt):
            barrier.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert_broken(other)
