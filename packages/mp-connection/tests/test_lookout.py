"""Looking for an answer before sleeping: when it is done, and that it is bounded."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mp_connection_forks import forked

from mp_connection import ChannelClosedError, Client, Connection, Listener, Pipe
from mp_connection._lookout import Habit, Lookout, recent
from mp_testing import noted_calls

# Whatever carries the packets.
pytestmark = pytest.mark.usefixtures("backend")

Ends = tuple[Connection[Any, Any], Connection[Any, Any]]


@pytest.fixture(autouse=True)
def newcomers(monkeypatch: pytest.MonkeyPatch) -> Habit:
    """What this process has learnt of new receivers: nothing yet."""
    habit = Habit()
    monkeypatch.setattr("mp_connection._lookout.newcomers", habit)
    return habit


class Polls:
    """Descriptors of which a poll object says what is wanted, and how often it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        #: Which poll of a look finds something; None for none.
        self.hit: int | None = None
        monkeypatch.setattr("mp_connection._lookout.poller", lambda _: self._poll)

    def _poll(self, milliseconds: float | None) -> bool:
        assert milliseconds == 0
        self.count += 1
        return self.hit is not None and self.count > self.hit

    def during(self, act: Callable[[], object]) -> int:
        self.count = 0
        act()
        return self.count


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> Polls:
    return Polls(monkeypatch)


def counts(lookout: Lookout, polls: Polls, most: int) -> int:
    """How often it looks before it rests, up to so many times."""
    for looked in range(most):
        if lookout.skips:
            return looked
        polls.during(lookout.look)
    return most


# ------------------------------------------------------------------------- the rule


def test_it_looks_until_something_is_there(polls: Polls) -> None:
    lookout = Lookout(lambda: 1, 10)
    polls.hit = 3
    assert polls.during(lookout.look) == 4
    polls.hit = None
    assert polls.during(lookout.look) == 10


def test_in_vain_it_rests_longer_each_time(polls: Polls) -> None:
    lookout = Lookout(lambda: 1, 5)
    rests = []
    for _ in range(8):
        assert counts(lookout, polls, 100) <= 8
        rests.append(lookout.skips)
        lookout.skips = 0
    assert rests == [128, 512, 2048, 8192, 32768, 65536, 65536, 65536]


def test_while_it_rests_it_does_not_look(polls: Polls) -> None:
    lookout = Lookout(lambda: 1, 5)
    counts(lookout, polls, 100)
    for left in range(127, -1, -1):
        assert polls.during(lookout.look) == 0
        assert lookout.skips == left
    assert polls.during(lookout.look) == 5


def test_where_it_helps_it_goes_on(polls: Polls) -> None:
    lookout = Lookout(lambda: 1, 5)
    polls.hit = 2
    assert counts(lookout, polls, 1000) == 1000


def test_what_is_there_at_once_needs_no_looking(polls: Polls) -> None:
    lookout = Lookout(lambda: 1, 5)
    polls.hit = 0
    assert counts(lookout, polls, 1000) < 10


def test_that_it_helped_for_long_is_remembered(polls: Polls) -> None:
    lookout = Lookout(lambda: 1, 5)
    polls.hit = 2
    for _ in range(100):
        lookout.look()
        polls.count = 0
    polls.hit = None
    assert counts(lookout, polls, 1000) == 32


def test_after_a_long_rest_it_learns_anew(polls: Polls) -> None:
    lookout = Lookout(lambda: 1, 5)
    for _ in range(4):
        counts(lookout, polls, 100)
        lookout.skips = 0
    polls.hit = 2
    for _ in range(100):
        polls.during(lookout.look)
    polls.hit = None
    counts(lookout, polls, 1000)
    assert lookout.skips == 128  # the shortest


def test_short_lives_learn_from_one_another(polls: Polls) -> None:
    looked = [polls.during(Lookout(lambda: 1, 5).look) for _ in range(138)]
    assert looked == [5] * 8 + [0] * 128 + [5] * 2
    # Now it helps again, and again after the longest rest.
    polls.hit = 2
    for _ in range(4 * 128):
        assert polls.during(Lookout(lambda: 1, 5).look) == 0
    for _ in range(100):
        assert polls.during(Lookout(lambda: 1, 5).look) == 3


def test_a_newcomer_among_failures_tries_after_a_rest(polls: Polls) -> None:
    for _ in range(8):
        Lookout(lambda: 1, 5).look()
    lookout = Lookout(lambda: 1, 5)
    polls.hit = 2
    rested = [polls.during(lookout.look) for _ in range(200)]
    assert rested == [0] * 129 + [3] * 71


def test_it_may_be_told_never_to_look(polls: Polls) -> None:
    assert polls.during(Lookout(lambda: 1, 0).look) == 0


def test_a_closed_descriptor_is_not_looked_at(polls: Polls) -> None:
    assert polls.during(Lookout(lambda: -1, 5).look) == 0


@pytest.mark.parametrize(("setting", "looks"), [("0", 0), ("1", 100), (None, 100)])
def test_the_environment_turns_it_off(setting: str | None, looks: int) -> None:
    env = dict(os.environ)
    env.pop("MP_CONNECTION_SPIN", None)
    if setting is not None:
        env["MP_CONNECTION_SPIN"] = setting
    code = "from mp_connection import _lookout; print(_lookout.LOOKS)"
    out = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, check=True
    )
    assert int(out.stdout) == looks


# ----------------------------------------------------------------------- connections


def unix_pair() -> Ends:
    listener: Listener[Any, Any] = Listener(family="AF_UNIX")
    with listener:
        client: Connection[Any, Any] = Client(listener.address)
        return listener.accept(), client


@pytest.fixture(params=["pipe", "stream"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    a, b = Pipe() if request.param == "pipe" else unix_pair()
    with a, b:
        yield a, b


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Lookout]:
    """Those that looked."""
    recent.sent = False
    return noted_calls(monkeypatch, Lookout, "look")


@pytest.mark.parametrize("way", ["object", "bytes", "into"])
def test_whoever_has_asked_looks_for_the_answer(
    ends: Ends, looks: list[Lookout], way: str
) -> None:
    a, b = ends
    for _ in range(3):
        if way == "object":
            a.send(1)
            assert b.recv() == 1
        else:
            a.send_bytes(b"1")
            if way == "bytes":
                assert b.recv_bytes() == b"1"
            else:
                assert b.recv_bytes_into(bytearray(1)) == 1
    assert len(looks) == 3


def test_whoever_has_sent_nothing_does_not_look(
    ends: Ends, looks: list[Lookout]
) -> None:
    a, b = ends
    a.send(1)
    a.send(2)
    b.recv()
    looks.clear()
    assert b.recv() == 2
    assert looks == []


def test_a_large_question_is_one_too(ends: Ends, looks: list[Lookout]) -> None:
    a, b = ends
    with forked(lambda: b.send(len(b.recv()))):
        a.send(bytes(1 << 20))
        assert recent.sent
        assert a.recv() == 1 << 20
    assert len(looks) == 1


def test_waiting_for_a_slow_answer_costs_little(ends: Ends) -> None:
    a, b = ends

    def answer() -> None:
        for _ in range(30):
            value = b.recv()
            time.sleep(0.02)
            b.send(value)

    with forked(answer):
        cpu = time.process_time()
        for number in range(30):
            a.send(number)
            assert a.recv() == number
        cpu = time.process_time() - cpu
    assert cpu < 0.3  # of 0.6 s


def test_quick_answers_all_arrive(ends: Ends) -> None:
    a, b = ends

    def answer() -> None:
        for _ in range(2000):
            b.send(b.recv())

    with forked(answer):
        for number in range(2000):
            a.send(number)
            assert a.recv() == number


def test_closing_ends_it(ends: Ends) -> None:
    a, b = ends
    a.send(1)
    timer = threading.Timer(0.1, a.close)
    timer.start()
    with pytest.raises(ChannelClosedError):
        a.recv()
    timer.join()
    b.close()


def test_the_end_is_seen(ends: Ends) -> None:
    a, b = ends
    a.send(1)
    b.recv()
    b.close()
    recent.sent = True
    with pytest.raises(EOFError):
        a.recv()


def test_it_is_a_moment() -> None:
    a, b = Pipe()
    with a, b:
        lookout = Lookout(a.fileno)
        cpu = time.process_time()
        for _ in range(100):
            lookout.skips = 0
            lookout.look()
        assert time.process_time() - cpu < 100 * 0.002
