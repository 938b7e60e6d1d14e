"""Watching processes, with pidfds and without."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mp_process_targets as targets
import pytest

import mp_process
from mp_connection import Pipe, wait
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_process import _sentinel_posix

SECONDS = 30

#: Makes a new interpreter have no pidfds.
TAKE_AWAY = """
import os, signal
if hasattr(os, "pidfd_open"): del os.pidfd_open
if hasattr(signal, "pidfd_send_signal"): del signal.pidfd_send_signal
import _signal
if hasattr(_signal, "pidfd_send_signal"): del _signal.pidfd_send_signal
"""


@pytest.fixture(params=["pidfds", "none", "refused", "no signals"])
def system(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[str]:
    """Have pidfds; have a Python without, here and in children; a filter; half."""
    kind: str = request.param
    monkeypatch.setattr(_sentinel_posix, "_have_pidfds", None)
    if kind == "none":
        request.getfixturevalue("fresh_server")
        monkeypatch.delattr(os, "pidfd_open")
        monkeypatch.delattr(signal, "pidfd_send_signal")
        (tmp_path / "sitecustomize.py").write_text(TAKE_AWAY)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    elif kind == "refused":

        def refuse(pid: int, flags: int = 0) -> int:
            raise PermissionError(errno.EPERM, "a filter says no")

        monkeypatch.setattr(os, "pidfd_open", refuse)
    elif kind == "no signals":

        def unknown(*_: object) -> None:
            raise OSError(errno.ENOSYS, "a filter says no")

        monkeypatch.setattr("_signal.pidfd_send_signal", unknown)
    yield kind
    for process in mp_process.active_children():
        process.kill()
        process.join(SECONDS)


def test_life(system: str, start_method: StartMethod) -> None:
    """start, wait, join, close; the sentinel fires at the end and not before."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_wait, args=(theirs,)
    )
    process.start()
    assert ours.poll(SECONDS)
    assert ours.recv() == process.pid
    sentinel = process.sentinel
    assert ("pidfd" in os.readlink(f"/proc/self/fd/{sentinel}")) == (
        system in ("pidfds", "no signals")
        or (system == "refused" and start_method == "forkserver")
    )
    assert wait([sentinel], 0.05) == []
    assert select.select([sentinel], [], [], 0)[0] == []
    assert process.is_alive()
    ours.send("end")
    assert wait([sentinel], SECONDS) == [sentinel]
    assert select.select([sentinel], [], [], 0)[0] == [sentinel]
    process.join(SECONDS)
    assert process.exitcode == 0
    process.close()
    ours.close()
    theirs.close()


def test_ends(system: str, start_method: StartMethod) -> None:
    """Exit codes and signals."""
    ctx = get_context(start_method)
    for code in (0, 3):
        process = ctx.Process(target=targets.exit_with, args=(code,))
        process.start()
        process.join(SECONDS)
        assert process.exitcode == code
        process.close()
    for end, number in (("kill", 9), ("terminate", 15)):
        ours, theirs = Pipe()
        process = ctx.Process(target=targets.say_and_sleep, args=(theirs,))
        process.start()
        assert ours.poll(SECONDS)
        getattr(process, end)()
        process.join(SECONDS)
        assert process.exitcode == -number
        ours.close()
        theirs.close()


def test_waiting_for_several(start_method: StartMethod) -> None:
    """Sentinels and connections are waited for together."""
    ctx = get_context(start_method)
    pipes = [Pipe() for _ in range(3)]
    processes = [
        ctx.Process(target=targets.say_and_wait, args=(theirs,)) for _, theirs in pipes
    ]
    for process, (ours, theirs) in zip(processes, pipes, strict=True):
        process.start()
        theirs.close()
        assert ours.poll(SECONDS)
        ours.recv()
    sentinels = [process.sentinel for process in processes]
    objects: list[Any] = [*sentinels, *(ours for ours, _ in pipes)]
    assert wait(objects, 0.05) == []
    pipes[1][0].send("end")
    assert wait(sentinels, SECONDS) == [sentinels[1]]
    for ours, _ in (pipes[0], pipes[2]):
        ours.send("end")
    for process, (ours, _) in zip(processes, pipes, strict=True):
        process.join(SECONDS)
        assert process.exitcode == 0
        ours.close()


def test_sigchld_is_ignored(system: str, start_method: StartMethod) -> None:
    """A process that ignores SIGCHLD gets no status, and everything else."""
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        for target in (targets.noop, targets.sleep):
            process = get_context(start_method).Process(target=target)
            process.start()
            if target is targets.sleep:
                assert process.is_alive()
                process.terminate()
            process.join(SECONDS)
            if start_method == "forkserver":
                assert process.exitcode == (0 if target is targets.noop else -15)
            else:
                assert process.exitcode == 255
            assert not process.is_alive()
            process.close()
    finally:
        signal.signal(signal.SIGCHLD, previous)


def test_somebody_else_reaps(system: str, start_method: StartMethod) -> None:
    """A program's own wait() may take the status of a child: that is exit code 255."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_wait, args=(theirs,)
    )
    process.start()
    assert ours.poll(SECONDS)
    pid = ours.recv()
    if start_method == "forkserver":
        assert process.is_alive()  # it is not our child: nobody here can take it
        ours.send("end")
        process.join(SECONDS)
        assert process.exitcode == 0
    else:
        joined: list[int | None] = []

        def join() -> None:
            process.join(SECONDS)
            joined.append(process.exitcode)

        thread = threading.Thread(target=join)
        ours.send("end")
        # It is a zombie before anybody waits for it.
        deadline = time.monotonic() + SECONDS
        while Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert os.waitpid(pid, 0)[0] == pid
        thread.start()
        thread.join(SECONDS)
        assert joined == [255]
        process.kill()  # which reaches nobody
    ours.close()
    theirs.close()


def test_reaped_before_it_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that has ended and was reaped before start returns is no error."""
    real = os.pidfd_open

    def reap_first(pid: int, flags: int = 0) -> int:
        if pid != os.getpid():
            os.waitpid(pid, 0)
        return real(pid, flags)

    process = get_context("fork").Process(target=targets.noop)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", reap_first)
        process.start()
    assert wait([process.sentinel], SECONDS) == [process.sentinel]
    process.join(SECONDS)
    assert process.exitcode == 255


def test_a_fork_of_the_child_does_not_hold_the_sentinel(
    system: str, start_method: StartMethod
) -> None:
    """Without pidfds too, what a child forks and leaves is not taken for it."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.fork_and_leave, args=(theirs,)
    )
    process.start()
    assert ours.poll(SECONDS)
    left = ours.recv()
    begun = time.monotonic()
    assert wait([process.sentinel], SECONDS) == [process.sentinel]
    process.join(SECONDS)
    assert process.exitcode == 0
    assert time.monotonic() - begun < 10
    os.kill(left, signal.SIGKILL)
    ours.close()
    theirs.close()
