"""Every interleaving of lock, event and condition; and that mistakes would be found."""

from __future__ import annotations

import pytest
from mp_sync_model import (
    DONE,
    EVENT,
    GONE_ON,
    INSIDE,
    LOCK,
    Found,
    Program,
    State,
    condition_waiter,
    explore,
    locker,
    notifier,
    setter,
    waiter,
)


def nothing(state: State) -> None:
    """Whatever it is, it is right."""


def all_done(state: State) -> None:
    for who, step in enumerate(state.steps):
        if step != DONE and who not in state.dead:
            raise Found(f"process {who} waits for ever: {state}")


# -------------------------------------------------------------------------------- lock


def one_at_a_time(state: State) -> None:
    if state.words[INSIDE] > 1:
        raise Found(f"two are inside: {state}")


def explore_lock(*programs: Program, kills: int = 0, slices: bool = False) -> int:
    def at_rest(state: State) -> None:
        all_done(state)
        if state.words[LOCK]:
            raise Found(f"it is held by nobody: {state}")

    return explore(
        list(programs), (0, 0), one_at_a_time, at_rest, kills=kills, slices=slices
    )


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_lock_is_held_by_one_and_forgets_no_waiter(count: int) -> None:
    assert explore_lock(*[locker()] * count) > 20 * count


def test_a_killed_waiter_of_a_lock_disturbs_nobody_thanks_to_slices() -> None:
    """Without them the wake-up that it took with it is missing."""
    assert explore_lock(*[locker()] * 4, kills=2, slices=True) > 1000
    with pytest.raises(Found, match="waits for ever"):
        explore_lock(*[locker()] * 3, kills=1)


def test_the_model_finds_a_lock_that_forgets_its_waiters() -> None:
    with pytest.raises(Found, match="waits for ever"):
        explore_lock(*[locker(forget_waiters=True)] * 3)


# ------------------------------------------------------------------------------- event


def explore_event(*programs: Program, kills: int = 0, slices: bool = False) -> int:
    return explore(
        list(programs), (0, 0), nothing, all_done, kills=kills, slices=slices
    )


@pytest.mark.parametrize("waiters", [1, 2, 3])
def test_setting_an_event_lets_all_go_on(waiters: int) -> None:
    assert explore_event(*[waiter()] * waiters, setter(), setter()) > 20


def test_an_event_that_is_cleared_at_once_was_set_for_those_who_waited() -> None:
    """Those who came later wait for the next setting, and only those."""

    def at_rest(state: State) -> None:
        for who in range(2):
            first = state.registers[who][0]
            if state.steps[who] != DONE and first != state.words[EVENT]:
                raise Found(f"{who} has missed a setting: {state}")

    programs = [waiter(), waiter(), setter(clears=True)]
    assert explore(programs, (0, 0), nothing, at_rest) > 20


def test_killed_waiters_of_an_event_disturb_nobody() -> None:
    """Setting wakes all, so that nobody needs another's wake-up, nor a slice."""
    assert explore_event(*[waiter()] * 3, setter(), kills=2) > 100


@pytest.mark.parametrize(
    "programs",
    [
        (waiter(), setter(looks_first=True)),
        (waiter(announce=False), setter()),
    ],
    ids=["looks first", "does not announce"],
)
def test_the_model_finds_a_lost_setting(programs: tuple[Program, ...]) -> None:
    with pytest.raises(Found, match="waits for ever"):
        explore_event(*programs)


# --------------------------------------------------------------------------- condition


def explore_condition(
    waiters: int,
    *numbers: int,
    kills: int = 0,
    late: bool = False,
) -> int:
    notified = sum(numbers)

    def check(state: State) -> None:
        # A waiter that was killed remains counted, and may cost one more.
        if state.words[GONE_ON] > notified + len(state.dead):
            raise Found(f"more went on than were notified: {state}")

    def at_rest(state: State) -> None:
        alive = waiters - len(state.dead)
        if state.words[GONE_ON] < min(notified, alive):
            raise Found(f"a notification is lost: {state}")

    programs = [condition_waiter(reads_late=late)] * waiters
    programs.append(notifier(*numbers, after=waiters))
    return explore(programs, (0,) * 8, check, at_rest, kills=kills, slices=kills > 0)


@pytest.mark.parametrize(
    ("waiters", "numbers"),
    [(2, (1,)), (2, (1, 1)), (3, (1, 1)), (3, (2, 1)), (3, (3,)), (3, (1,))],
)
def test_as_many_go_on_as_are_notified(waiters: int, numbers: tuple[int, ...]) -> None:
    assert explore_condition(waiters, *numbers) > 20


@pytest.mark.parametrize(("waiters", "numbers"), [(2, (1,)), (3, (1,)), (3, (1, 1))])
def test_a_killed_waiter_passes_its_notification_on(
    waiters: int, numbers: tuple[int, ...]
) -> None:
    assert explore_condition(waiters, *numbers, kills=1) > 100


def test_the_model_finds_a_notification_that_is_lost() -> None:
    with pytest.raises(Found, match="a notification is lost"):
        explore_condition(2, 1, late=True)
