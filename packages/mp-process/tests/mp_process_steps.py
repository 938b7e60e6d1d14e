"""Kills a launcher, a fork server or a child at each step, and reports what happened.

    python mp_process_steps.py [--lines] [METHOD [ROLE]]

A step is a call of a function of ours, or a line with --lines, in the process of that
role: the launcher is the process that calls `start`; the child lives from its first
instruction of ours to its last.  A process that is killed at step k has done the k - 1
before it.  What has to hold after each of them is asserted.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import ctypes
import mmap
import os
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypeAlias

import mp_process_targets as targets

import mp_process

Role: TypeAlias = Literal["child", "launcher", "server"]

#: By this an answer has to be there, on a machine however busy; the report says when.
SECONDS = 30.0

#: What there is to be killed.
ROLES: dict[str, tuple[Role, ...]] = {
    "fork": ("child", "launcher"),
    "spawn": ("child", "launcher"),
    "forkserver": ("child", "launcher", "server"),
}

_PACKAGES = ("/mp_process/", "/mp_connection/")
_STATE = struct.Struct("=qqd")  # kill at this step; steps done; when killed
_PR_SET_CHILD_SUBREAPER = 36


class Board:
    """Memory that the driver shares with whom it kills."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _STATE.size)

    def set(self, at: int, done: int = 0, when: float = 0.0) -> None:
        _STATE.pack_into(self._memory, 0, at, done, when)

    def get(self) -> tuple[int, int, float]:
        at, done, when = _STATE.unpack_from(self._memory)
        return at, done, when


class Steps:
    """Counts steps, and dies at the one that the board says.

    Args:
        forked: whether it counts in processes forked from this one, and not here.
    """

    def __init__(self, board: Board, lines: bool, forked: bool) -> None:
        self._board = board
        self._lines = lines
        self._forked = forked
        self._origin = self._pid = os.getpid()
        self._done = 0

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if not any(name in frame.f_code.co_filename for name in _PACKAGES):
            return None
        pid = os.getpid()
        if (pid != self._origin) == self._forked and event in ("call", "line"):
            self._step(pid)
        return self.trace if self._lines else None

    def _step(self, pid: int) -> None:
        if pid != self._pid:
            self._pid, self._done = pid, 0
        self._done += 1
        at, done, when = self._board.get()
        if self._done > done:
            self._board.set(at, self._done, when)
        if self._done == at:
            self._board.set(at, at, time.monotonic())
            os.kill(pid, 9)


def follow(path: str, lines: bool, forked: bool) -> None:
    """Called first in a fresh interpreter."""
    sys.settrace(Steps(Board(path), lines, forked).trace)


def _stub(text: str, path: str, role: Role, lines: bool) -> str:
    """The text of a fresh interpreter that counts steps."""
    head, mark, tail = text.partition("from {module} import {function}")
    assert mark
    # In the server, steps of children are those of what it forks.
    forked = "'{module}'.endswith('_server_posix')" if role == "child" else "False"
    call = f"follow({path!r},{lines},{forked})"
    return f"{head}import mp_process_steps\nmp_process_steps.{call}\n{mark}{tail}"


class Driver:
    """Starts processes of one method, one of whose roles is killed."""

    def __init__(self, method: str, role: Role, lines: bool, directory: Path) -> None:
        self.method, self.role, self.lines = method, role, lines
        self._ran = directory / "ran"
        path = directory / "board"
        path.write_bytes(bytes(_STATE.size))
        self.board = Board(str(path))
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0

    def attempt(self, step: int) -> bool:
        """Kill at *step*; False if the process never gets there."""
        self._ran.unlink(missing_ok=True)
        self.board.set(step)
        before = targets.open_files(), targets.children()
        outcome = self._launcher() if self.role == "launcher" else self._other()
        at, done, when = self.board.get()
        killed = done >= at
        assert killed == (when > 0)
        if killed:
            self.slowest = max(self.slowest, time.monotonic() - when)
            self.outcomes[outcome] += 1
        else:
            assert outcome == "0", outcome
        ran = self._ran.read_text() if self._ran.exists() else ""
        assert ran in ("", "x"), ran  # never twice
        if self.role == "child":
            assert outcome == ("-9" if killed else "0"), outcome
        assert mp_process.active_children() == []
        deadline = time.monotonic() + SECONDS
        while (targets.open_files(), targets.children()) != before:
            assert time.monotonic() < deadline, (targets.open_files(), before)
            self._end_server()
            time.sleep(0.001)
        return killed

    def _process(self, target: Callable[..., object], daemon: bool) -> Any:
        ctx = mp_process.get_context(self.method)  # type: ignore[arg-type]
        return ctx.Process(target=target, args=(str(self._ran),), daemon=daemon)

    def _other(self) -> str:
        """A child or a fork server is killed: what the parent is told."""
        process = self._process(targets.append, daemon=True)
        previous = sys.gettrace()
        if self.method == "fork":
            sys.settrace(Steps(self.board, self.lines, forked=True).trace)
        try:
            process.start()
        except mp_process.ProcessError as error:
            return type(error).__name__
        finally:
            sys.settrace(previous)
        process.join(SECONDS)
        code = process.exitcode
        assert code is not None, process
        process.close()
        if self.role == "server":
            self._end_server()
        return str(code)

    def _launcher(self) -> str:
        """A parent is killed: nothing that it has started goes on."""
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                process = self._process(targets.append_and_sleep, daemon=True)
                sys.settrace(Steps(self.board, self.lines, forked=False).trace)
                process.start()
                process.kill()
                process.join(SECONDS)
                process.close()
                sys.settrace(None)
                self._end_server()
                code = 0
            finally:
                os._exit(code)
        # Whom it leaves behind are children of this process.
        deadline = time.monotonic() + SECONDS
        code = -1
        while pid in targets.children() or len(targets.children()) > self._others:
            assert time.monotonic() < deadline, targets.children()
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
            elif not ended:
                time.sleep(0.0005)
        return str(code)

    _others = 0

    def _end_server(self) -> None:
        if self.method == "forkserver":
            from mp_process._forkserver_posix import fork_server

            fork_server().stop()


@contextlib.contextmanager
def driver(method: str, role: Role, lines: bool = False) -> Iterator[Driver]:
    """A driver, for as long as the fresh interpreters of this process count steps."""
    from mp_process import _interpreter_posix

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    original = _interpreter_posix._STUB
    with tempfile.TemporaryDirectory() as directory:
        one = Driver(method, role, lines, Path(directory))
        one._end_server()
        one._others = len(targets.children())
        if role != "launcher":
            stub = _stub(original, one.board.path, role, lines)
            _interpreter_posix._STUB = stub
        else:
            assert prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        try:
            if role == "child" and method == "forkserver":
                one._other()  # it serves all the attempts
            yield one
        finally:
            _interpreter_posix._STUB = original
            prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
            one._end_server()


def report(method: str, role: Role, lines: bool) -> str:
    """Kill at every step; one line on it."""
    step = 1
    with driver(method, role, lines) as one:
        while one.attempt(step):
            step += 1
    outcomes = ", ".join(f"{what}: {n}" for what, n in sorted(one.outcomes.items()))
    kind = "lines" if lines else "calls"
    return (
        f"{method:10} {role:8} {step - 1:5} {kind}; known after at most"
        f" {one.slowest:.3f} s; {outcomes}"
    )


def main(arguments: list[str]) -> None:
    lines = "--lines" in arguments
    wanted = [word for word in arguments if not word.startswith("--")]
    for method, roles in ROLES.items():
        for role in roles:
            if wanted in ([], [method], [method, role]):
                print(report(method, role, lines), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
