"""Forked children for the tests: each is reaped, within a time limit."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn


class Child:
    """A process that runs one function and leaves by ``os._exit``."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.pid = os.fork()
        if not self.pid:
            _run(function)
        self._status: int | None = None

    def kill(self) -> None:
        """Send SIGKILL; does not wait."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)

    def join(self, seconds: float = 20.0) -> int:
        """Wait for the end: the exit code, or minus the number of the signal."""
        deadline = time.monotonic() + seconds
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                self.kill()
                os.waitpid(self.pid, 0)
                self._status = -signal.SIGKILL
                raise AssertionError("the child did not end in time")
            else:
                time.sleep(0.002)
        return self._status


def _run(function: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        function()
        code = 0
    except BaseException:
        signal.setitimer(signal.ITIMER_REAL, 0)
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


@contextlib.contextmanager
def forked(function: Callable[[], object]) -> Iterator[Child]:
    """A child for the length of a ``with`` block; it must end well by itself."""
    child = Child(function)
    try:
        yield child
        assert child.join() == 0
    finally:
        child.kill()
        child.join()


@contextlib.contextmanager
def doomed(function: Callable[[], object]) -> Iterator[Child]:
    """A child that is killed at the end of the ``with`` block, if not before."""
    child = Child(function)
    try:
        yield child
    finally:
        child.kill()
        child.join()


def in_child(function: Callable[[], object]) -> None:
    """Run *function* in a child, as it spoils the process; it must succeed."""
    with forked(function):
        pass


def open_descriptors() -> set[str]:
    """The numbers of this process's descriptors, but for that of the listing."""
    return {fd for fd in os.listdir("/proc/self/fd") if _target(fd) is not None}


def _target(fd: str) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None
