"""What happens at exit and around fork."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import gc
import importlib
import os
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from mp_connection_forks import forked, in_child

from mp_connection import lifecycle
from mp_connection.lifecycle import (
    ImportWatcher,
    Provider,
    after_fork,
    at_exit,
    captured_state,
    close_after_fork,
    generation,
    run_exit_callbacks,
)


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the test begin with nothing registered, and leave nothing."""
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "_exit_callbacks", {})
        patch.setattr(lifecycle, "_fork_callbacks", [])
        patch.setattr(lifecycle, "_not_for_children", {})
        patch.setattr(lifecycle, "_providers", {})
        yield


class Owner:
    def __init__(self, error: BaseException | None = None) -> None:
        self.closed = 0
        self.error = error

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


# --------------------------------------------------------------------------- at exit


def test_callbacks_run_by_priority_and_then_last_in_first_out() -> None:
    order: list[str] = []
    for name, priority in [("a", 0), ("b", 0), ("c", 10), ("d", -1), ("e", 10)]:
        at_exit(partial(order.append, name), priority)
    run_exit_callbacks()
    assert order == ["e", "c", "b", "a", "d"]
    run_exit_callbacks()
    assert len(order) == 5


def test_a_cancelled_callback_does_not_run() -> None:
    order: list[int] = []
    cancel = at_exit(lambda: order.append(1))
    at_exit(lambda: order.append(2))
    cancel()
    cancel()
    run_exit_callbacks()
    cancel()
    assert order == [2]


def test_callbacks_that_come_in_meanwhile_run_in_their_place() -> None:
    order: list[str] = []

    def first() -> None:
        order.append("first")
        at_exit(lambda: order.append("low"), -5)
        at_exit(lambda: order.append("high"), 5)

    at_exit(first, 1)
    at_exit(lambda: order.append("middle"))
    run_exit_callbacks()
    assert order == ["first", "high", "middle", "low"]


def test_a_callback_can_cancel_another() -> None:
    order: list[int] = []
    cancel = at_exit(lambda: order.append(1))
    at_exit(cancel)
    run_exit_callbacks()
    assert order == []


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt("mine")])
def test_errors_are_printed_and_the_others_run(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[int] = []

    def fail() -> None:
        raise error

    at_exit(lambda: order.append(1))
    at_exit(fail)
    run_exit_callbacks()
    assert order == [1]
    printed = capsys.readouterr().err
    assert type(error).__name__ in printed
    assert "mine" in printed


def test_threads_may_register_at_the_same_time() -> None:
    order: list[int] = []

    def register() -> None:
        for _ in range(200):
            at_exit(lambda: order.append(1))()
            at_exit(lambda: order.append(1))

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    run_exit_callbacks()
    assert len(order) == 800


def test_callbacks_run_when_the_interpreter_ends() -> None:
    program = (
        "from mp_connection.lifecycle import at_exit\n"
        "at_exit(lambda: print('low'))\nat_exit(lambda: print('high'), 1)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    assert done.stdout.split() == [b"high", b"low"]


def test_forked_children_inherit_callbacks_only_where_that_was_asked_for() -> None:
    order: list[int] = []
    at_exit(lambda: order.append(1))
    at_exit(lambda: order.append(2), forked=True)

    def child() -> None:
        at_exit(lambda: order.append(3))
        run_exit_callbacks()
        assert order == [3, 2]

    in_child(child)
    run_exit_callbacks()
    assert order == [2, 1]


# ------------------------------------------------------------------------ around fork


def test_each_fork_begins_a_generation() -> None:
    before = generation.number

    def child() -> None:
        assert generation.number == before + 1
        at_exit(lambda: os._exit(3))
        with forked(grandchild):
            pass

    def grandchild() -> None:
        assert generation.number == before + 2
        run_exit_callbacks()  # those of its parent are not its own

    in_child(child)
    assert generation.number == before


def test_what_is_not_for_children_is_closed_there_and_only_there() -> None:
    owner, failing = Owner(), Owner(ValueError("cannot close"))
    close_after_fork(failing)
    close_after_fork(owner)
    close_after_fork(owner)

    def child() -> None:
        assert (owner.closed, failing.closed) == (1, 1)
        if os.fork() == 0:  # the grandchild has nothing to close any more
            os._exit(0 if owner.closed == 1 else 1)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0

    in_child(child)
    assert (owner.closed, failing.closed) == (0, 0)


def test_owners_are_not_kept_alive() -> None:
    for _ in range(10):
        close_after_fork(Owner())
    gc.collect()
    assert not lifecycle._not_for_children


def test_an_address_used_again_belongs_to_the_new_owner() -> None:
    for _ in range(50):
        owner = Owner()
        close_after_fork(owner)
        assert [ref() for ref in lifecycle._not_for_children.values()] == [owner]
        del owner


def test_callbacks_run_in_order_in_the_child_whatever_they_raise() -> None:
    order: list[str] = []
    owner = Owner()
    close_after_fork(owner)

    def fail() -> None:
        order.append(f"fail after {owner.closed} closed")
        raise ValueError("of a callback")

    after_fork(fail)
    after_fork(lambda: order.append("last"))

    def child() -> None:
        assert order == ["fail after 1 closed", "last"]

    in_child(child)
    assert order == []


def test_a_callback_may_be_registered_once_for_all() -> None:
    order: list[int] = []

    def note() -> None:
        order.append(1)

    for once in (True, True, False):
        after_fork(note, once=once)

    def child() -> None:
        assert order == [1, 1]

    in_child(child)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_registers_finds_everything() -> None:
    fixed = [Owner() for _ in range(5)]
    for owner in fixed:
        close_after_fork(owner)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            owners = [Owner() for _ in range(20)]
            for owner in owners:
                close_after_fork(owner)
            at_exit(lambda: None)()

    def child() -> None:
        assert [owner.closed for owner in fixed] == [1] * 5

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            with forked(child):
                pass
    finally:
        stop.set()
        thread.join(10)


# -------------------------------------------------------------------------- providers


def test_providers_tell_new_children_their_state() -> None:
    Provider("first", lambda: 1, print)
    Provider("nothing", lambda: None, print)
    Provider("second", lambda: [2], repr)
    assert captured_state() == [(print, 1), (repr, [2])]


def test_a_fork_server_is_told_only_what_concerns_it() -> None:
    Provider("children", lambda: 1, print)
    Provider("all", lambda: 2, repr, ahead=True)
    assert captured_state(ahead=True) == [(repr, 2)]
    assert captured_state() == [(print, 1), (repr, 2)]


def test_a_provider_of_the_same_name_replaces_the_first() -> None:
    Provider("name", lambda: 1, print)
    Provider("name", lambda: 2, repr)
    assert captured_state() == [(repr, 2)]


def test_an_error_of_a_provider_reaches_whoever_starts_a_child() -> None:
    def fail() -> object:
        raise ValueError("no state")

    Provider("name", fail, print)
    with pytest.raises(ValueError, match="no state"):
        captured_state()


def test_a_provider_may_register_another_while_it_captures() -> None:
    def capture() -> object:
        Provider("late", lambda: 2, repr)
        return 1

    Provider("early", capture, print)
    assert captured_state() == [(print, 1)]
    assert captured_state() == [(print, 1), (repr, 2)]


def test_a_module_is_done_something_to_as_soon_as_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mp_connection_late.py").write_text("ready = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen: list[object] = []

    def then(module: ModuleType) -> bool:
        seen.append(module)
        return hasattr(module, "ready")

    watcher = ImportWatcher("mp_connection_late", then)
    watcher.begin()
    watcher.begin()
    assert sys.meta_path.count(watcher) == 1
    assert seen == []
    module = importlib.import_module("mp_connection_late")
    try:
        assert seen == [module]
        assert watcher not in sys.meta_path
        # As if nobody had watched.
        assert type(module.__loader__).__name__ == "SourceFileLoader"
        assert module.__spec__ is not None
        assert module.__spec__.loader is module.__loader__
        watcher.begin()  # it is there
        assert seen == [module, module]
        assert watcher not in sys.meta_path
        del module.ready  # another thread has got only so far
        watcher.begin()
        assert watcher in sys.meta_path
    finally:
        sys.meta_path.remove(watcher)
        del sys.modules["mp_connection_late"]


def test_an_import_that_fails_is_watched_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mp_connection_failing.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    seen: list[str] = []

    def then(module: ModuleType) -> bool:
        seen.append(module.__name__)
        return True

    watcher = ImportWatcher(file.stem, then)
    watcher.begin()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(file.stem)
    file.write_text("raise ValueError('half imported')")
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match="half imported"):
        importlib.import_module(file.stem)
    assert seen == []
    file.write_text("longer = 'than before'")
    importlib.import_module(file.stem)
    assert seen == [file.stem]
    assert watcher not in sys.meta_path
    del sys.modules[file.stem]
