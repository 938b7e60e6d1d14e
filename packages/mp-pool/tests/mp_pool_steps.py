"""Kills a worker at each line of ours that serves a request, and checks what remains.

    python mp_pool_steps.py [METHOD [REQUEST]]

A worker that is killed at line k has done the k - 1 before it.  Only the first worker
that gets there is killed; those that are started afterwards live.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import mmap
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import mp_pool_targets as targets

from mp_pool import AsyncResult, Pool, ResultError, WorkerDiedError
from mp_process import get_context

#: By this an answer has to be there, on a machine however busy.
SECONDS = 40.0

#: So many attempts in a row that killed nobody are the end: which worker gets how many
#: tasks is chance, and so is how many lines it passes.
ENOUGH = 3

_PACKAGES = ("mp_pool.", "mp_connection.")
_SIZE = 3 * 8
_LARGE = 300_000


class Board:
    """Memory that the test shares with the workers."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)
        #: Which attempt it is; the line to die at; who died.
        self._words = memoryview(self._memory).cast("q")

    def arm(self, attempt: int, line: int) -> None:
        self._words[1], self._words[2] = line, 0
        self._words[0] = attempt

    def disarm(self) -> None:
        self._words[1] = 0

    def note_victim(self, pid: int) -> None:
        self._words[2] = pid

    def get(self) -> tuple[int, int, int]:
        attempt, line, victim = self._words
        return attempt, line, victim

    def close(self) -> None:
        self._words.release()
        self._memory.close()


def follow(path: str) -> None:
    """Initializer: count lines from here on, and die when the board says so."""
    board = Board(path)
    counted, lines = 0, 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal counted, lines
        if not frame.f_globals.get("__name__", "").startswith(_PACKAGES):
            return None
        if event == "line":
            attempt, line, _ = board.get()
            if attempt != counted:
                counted, lines = attempt, 0
            lines += 1
            if lines == line and targets.first_time(f"{path}.{attempt}"):
                board.note_victim(os.getpid())
                targets.kill_self()
        return trace

    sys.settrace(trace)


# ------------------------------------------------------------------ what tasks do


def note(item: tuple[str, int]) -> int:
    """Note that the task runs."""
    path, number = item
    targets.write(path, f"{number} ")
    return number


def note_and_fail(item: tuple[str, int]) -> int:
    raise ValueError(note(item))


def note_and_return_lock(item: tuple[str, int]) -> Any:
    note(item)
    return targets.make_unpicklable()


def note_and_return(item: tuple[str, int], content: bytes) -> bytes:
    note(item)
    return content[::-1]


# ------------------------------------------------------------------- the requests


class Attempt:
    """What a request got: it fails at once if a result is wrong.

    Args:
        ran: where the tasks note that they run.
        victim: who was killed; 0 for nobody yet.
    """

    def __init__(self, ran: str, victim: Callable[[], int]) -> None:
        self._ran = ran
        self._victim = victim
        self._numbers = 0
        self.deaths = 0
        self.done: list[int] = []

    def item(self) -> tuple[str, int]:
        """The argument of a task."""
        self._numbers += 1
        return self._ran, self._numbers

    def expect(
        self,
        get: Callable[[], object],
        right: object,
        number: int,
        kind: type[Exception] | None = None,
    ) -> None:
        """A task has the right outcome, or is the one that died."""
        try:
            value = get()
        except WorkerDiedError as error:
            self.died(error)
            return
        except Exception as error:
            if kind is None or type(error) is not kind:
                raise
        else:
            assert kind is None
            assert value == right
        self.done.append(number)

    def died(self, error: WorkerDiedError) -> None:
        victim = self._victim()
        assert error.pid == victim
        assert error.exitcode == -9
        assert str(victim) in str(error)
        assert "SIGKILL" in str(error)
        self.deaths += 1

    def check(self) -> None:
        """Nothing ran twice, and what has a result ran."""
        ran = Path(self._ran).read_text().split()
        counts = Counter(map(int, ran))
        assert all(count == 1 for count in counts.values()), counts
        assert set(self.done) <= counts.keys()
        assert len(self.done) + self.deaths == self._numbers
        assert self.deaths <= 1


def apply(pool: Pool, attempt: Attempt) -> None:
    item = attempt.item()
    attempt.expect(partial(pool.apply, note, (item,)), item[1], item[1])


def several(pool: Pool, attempt: Attempt) -> None:
    items = [attempt.item() for _ in range(8)]
    results = [pool.apply_async(note, (item,)) for item in items]
    for result, (_, number) in zip(results, items, strict=True):
        attempt.expect(partial(result.get, SECONDS), number, number)


def failures(pool: Pool, attempt: Attempt) -> None:
    """An exception, and a result that cannot be pickled."""
    wrong: list[tuple[Callable[..., Any], type[Exception]]] = [
        (note_and_fail, ValueError),
        (note_and_return_lock, ResultError),
    ]
    for function, kind in wrong:
        item = attempt.item()
        result = pool.apply_async(function, (item,))
        attempt.expect(partial(result.get, SECONDS), None, item[1], kind)


def large(pool: Pool, attempt: Attempt) -> None:
    """More than a packet holds, both ways."""
    item = attempt.item()
    content = bytes(range(200)) * (_LARGE // 200)
    result = pool.apply_async(note_and_return, (item, content))
    attempt.expect(partial(result.get, SECONDS), content[::-1], item[1])


def chunks(pool: Pool, attempt: Attempt) -> None:
    """Tasks that travel together, one of which fails."""
    items = [attempt.item() for _ in range(8)]
    results = pool.imap(note, items, 4)
    for _, number in items:
        attempt.expect(partial(results.next, SECONDS), number, number)


def failing_chunks(pool: Pool, attempt: Attempt) -> None:
    items = [attempt.item() for _ in range(6)]
    results = pool.imap(note_and_fail, items, 3)
    for _, number in items:
        attempt.expect(partial(results.next, SECONDS), None, number, ValueError)


def timed(pool: Pool, attempt: Attempt) -> None:
    """With a time limit that is never reached."""
    items = [attempt.item() for _ in range(4)]
    results = pool.imap(note, items, 2, timeout=SECONDS)
    for _, number in items:
        attempt.expect(partial(results.next, SECONDS), number, number)


REQUESTS: dict[str, Callable[[Pool, Attempt], None]] = {
    "apply": apply,
    "apply_async": several,
    "failures": failures,
    "large": large,
    "imap": chunks,
    "failing imap": failing_chunks,
    "timeout": timed,
}


# --------------------------------------------------------------------- the driver


class Driver:
    """Makes requests to a pool of two workers, one of which is killed each time."""

    def __init__(self, pool: Pool, board: Board) -> None:
        self._pool = pool
        self._board = board
        self._attempt = 0
        self.deaths = 0  # workers that died
        self.errors = 0  # tasks that ended by that

    def kill(self, request: str, line: int) -> bool:
        """Kill at a line; False if no worker gets there."""
        self._attempt += 1
        self._board.arm(self._attempt, line)
        ran = f"{self._board.path}.ran{self._attempt}"
        Path(ran).touch()
        attempt = Attempt(ran, lambda: self._board.get()[2])
        REQUESTS[request](self._pool, attempt)
        victim = self._settle()
        attempt.check()
        os.unlink(ran)
        self.deaths += bool(victim)
        self.errors += attempt.deaths
        return victim != 0

    def _settle(self) -> int:
        """Wait until two workers are at work; who was killed."""
        self._meet("first")
        # From here on nobody is killed; who was, cannot take part in this:
        self._board.disarm()
        self._meet("second")
        _, _, victim = self._board.get()
        pids = [worker.pid for worker in self._pool.stats().workers]
        assert len(pids) == 2
        assert victim not in pids
        return victim

    def _meet(self, name: str) -> None:
        """Have two tasks run that need each other: two workers are ready."""
        for number in range(2):
            base = f"{self._board.path}.{self._attempt}.{name}{number}"
            ways = [(base + "a", base + "b"), (base + "b", base + "a")]
            results = [self._announce(way) for way in ways]
            died = 0
            for result in results:
                result.wait(SECONDS)
                died += not result.successful()
            for path in ways[0]:
                Path(path).unlink(missing_ok=True)
            if not died:
                return
            assert died == 1
        raise AssertionError("two died")

    def _announce(self, way: tuple[str, str]) -> AsyncResult[int]:
        return self._pool.apply_async(
            targets.announce_and_wait,
            way,
            # Lest the other one waits for it.
            error_callback=lambda _: Path(way[0]).touch(),
        )


@contextmanager
def driver(method: str) -> Iterator[Driver]:
    """A driver whose workers are started by a method."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "board")
        path.write_bytes(bytes(_SIZE))
        board = Board(str(path))
        context = get_context(method)  # type: ignore[arg-type]
        pool = Pool(2, follow, (str(path),), context=context)
        try:
            yield Driver(pool, board)
        finally:
            pool.terminate()
            pool.join()
            board.close()


def kill_at_lines(one: Driver, request: str, first: int, stride: int) -> int:
    """Kill at every so manieth line; how many lines there are, about."""
    line, missed = first, 0
    while missed < ENOUGH:
        missed = 0 if one.kill(request, line) else missed + 1
        line += stride
    return line - ENOUGH * stride


def main(arguments: list[str]) -> None:
    for method in arguments[:1] or ["fork", "spawn", "forkserver"]:
        for request in arguments[1:] or REQUESTS:
            start = time.monotonic()
            with driver(method) as one:
                lines = kill_at_lines(one, request, 1, 1)
            print(
                f"{method:10} {request:12} {lines:4} lines, {one.deaths:4} workers and"
                f" {one.errors:4} tasks died, {time.monotonic() - start:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
