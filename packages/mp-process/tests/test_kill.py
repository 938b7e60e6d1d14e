"""A child that is killed, at any step, is an exit code and never a hang."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import mp_process_killer as killer
import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

from mp_connection import wait
from mp_process import BaseProcess, get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_process import _bootstrap, _interpreter_posix

SECONDS = 30


def assert_killed(process: BaseProcess, during_startup: bool) -> None:
    begun = time.monotonic()
    process.join(SECONDS)
    assert process.exitcode == -signal.SIGKILL
    assert time.monotonic() - begun < SECONDS / 2
    assert wait([process.sentinel], 0) == [process.sentinel]
    assert not process.is_alive()
    assert " stopped exitcode=-SIGKILL" in repr(process)
    if during_startup:
        assert process.startup_error == (
            f"process {process.pid} was killed by signal 9 (SIGKILL)"
            " during its start-up"
        )
    else:
        assert process.startup_error is None


@pytest.mark.parametrize(
    ("step", "daemon"),
    [
        *((step, False) for step in (killer.FIRST, killer.BEFORE_PATH, *killer.STEPS)),
        ("standard input", True),
        ("detached", True),
    ],
)
def test_killed_while_it_starts_by_spawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str, daemon: bool
) -> None:
    """At each step of a fresh interpreter's way to its target."""
    stub = killer.stub(_interpreter_posix._STUB, step)
    monkeypatch.setattr(_interpreter_posix, "_STUB", stub)
    ran = tmp_path / "ran"
    process = get_context("spawn").Process(
        target=targets.append, args=(str(ran),), daemon=daemon
    )
    process.start()
    assert_killed(process, step not in killer.STARTED)
    assert not ran.exists()


@pytest.mark.usefixtures("fresh_server")
@pytest.mark.parametrize("step", killer.STEPS)
def test_killed_while_it_starts_by_forkserver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str
) -> None:
    """At each step of a fork server's child on its way to its target."""
    stub = killer.stub(_interpreter_posix._STUB, step)
    monkeypatch.setattr(_interpreter_posix, "_STUB", stub)
    ran = tmp_path / "ran"
    for daemon in (False, True):
        process = get_context("forkserver").Process(
            target=targets.append, args=(str(ran),), daemon=daemon
        )
        process.start()
        assert_killed(process, step not in killer.STARTED)
    assert not ran.exists()


@pytest.mark.parametrize("step", ["run", "arm", "replace_stdin", "finish"])
def test_killed_while_it_starts_by_fork(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str
) -> None:
    """At each step of a forked child, the first instruction among them."""
    monkeypatch.setattr(_bootstrap, step, lambda *_: killer.die())
    ran = tmp_path / "ran"
    process = get_context("fork").Process(
        target=targets.append, args=(str(ran),), daemon=True
    )
    process.start()
    assert_killed(process, during_startup=False)
    assert ran.exists() == (step == "finish")


def test_killed_at_its_first_instruction_by_fork() -> None:
    """Even before the hooks that run in a forked child."""
    parent = os.getpid()
    armed = True

    def hook() -> None:
        if armed and os.getpid() != parent:
            killer.die()

    real = os.fork
    process = get_context("fork").Process(target=targets.noop)

    def fork() -> int:
        pid = real()
        hook()
        return pid

    os.fork = fork
    try:
        process.start()
    finally:
        os.fork = real
    assert_killed(process, during_startup=False)


@pytest.mark.parametrize("size", [300_000, 50 * 2**20])
@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("spawn", killer.FIRST),
        ("spawn", "preparation received"),
        ("spawn", "prepared"),
        ("forkserver", "preparation received"),
        ("forkserver", "prepared"),
    ],
)
@pytest.mark.usefixtures("fresh_server")
def test_killed_while_its_parent_sends(
    monkeypatch: pytest.MonkeyPatch, method: StartMethod, size: int, step: str
) -> None:
    """start returns although nobody reads the rest of a large argument."""
    stub = killer.stub(_interpreter_posix._STUB, step)
    monkeypatch.setattr(_interpreter_posix, "_STUB", stub)
    process = get_context(method).Process(target=targets.noop, args=(bytes(size),))
    process.start()
    assert_killed(process, during_startup=True)


def test_large_arguments_arrive(start_method: StartMethod) -> None:
    """The same sizes, when nobody dies."""
    for size in (300_000, 50 * 2**20):
        process = get_context(start_method).Process(
            target=targets.exit_with, args=(targets.Length(bytes(size)),)
        )
        process.start()
        process.join(SECONDS)
        assert process.exitcode == size % 251


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.usefixtures("fresh_server")
def test_sigpipe_may_have_its_default(
    monkeypatch: pytest.MonkeyPatch, method: StartMethod
) -> None:
    """A child that dies does not end a parent that has SIGPIPE as the system has it."""
    step = "path" if method == "forkserver" else killer.BEFORE_PATH
    stub = killer.stub(_interpreter_posix._STUB, step)
    monkeypatch.setattr(_interpreter_posix, "_STUB", stub)
    process = get_context(method).Process(target=targets.noop, args=(bytes(300_000),))
    previous = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGPIPE, previous)
    assert_killed(process, during_startup=True)


@pytest.mark.parametrize("kind", ["sleeps", "ignores SIGTERM"])
def test_killed_in_its_target(start_method: StartMethod, kind: str) -> None:
    """A process that runs and is killed from outside."""
    from mp_connection import Pipe

    ours, theirs = Pipe()
    target = targets.say_and_sleep if kind == "sleeps" else targets.ignore_sigterm
    process = get_context(start_method).Process(target=target, args=(theirs,))
    process.start()
    assert ours.poll(SECONDS)
    pid: int = ours.recv()
    assert process.pid == pid
    if kind != "sleeps":
        process.terminate()
        process.join(0.1)
        assert process.is_alive()
    os.kill(pid, signal.SIGKILL)
    assert_killed(process, during_startup=False)
    ours.close()
    theirs.close()


def test_kill_of_its_own(start_method: StartMethod) -> None:
    """A target that kills its own process."""
    process = get_context(start_method).Process(target=targets.die_by, args=(9,))
    process.start()
    assert_killed(process, during_startup=False)


def test_start_interrupted_by_a_handler(start_method: StartMethod) -> None:
    """Whenever an exception breaks into start, there is one child or none.

    None is left that no process object knows of, and no child becomes a second parent.
    """
    rounds, longest = {
        "fork": (150, 0.003),
        "spawn": (25, 0.010),
        "forkserver": (80, 0.006),
    }[start_method]
    script = Path(__file__).with_name("mp_process_interrupted.py")
    done = scripts.run(script, start_method, str(rounds), str(longest))
    interrupted, started = map(int, done.stdout.split())
    assert interrupted > 0
    assert interrupted + started == rounds
