"""The worker's loop, run in a thread over a packet pair: what it answers to what."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pickle import dumps, loads
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_connection.channel import (
    Message,
    PacketChannel,
    Received,
    packet_pair,
    unpickle,
)
from mp_pool import ResultError, TaskLoadError
from mp_pool._progress import Progress
from mp_pool._terms import Setup
from mp_pool._wire import (
    ANSWER_HEAD,
    ANSWERS,
    CALL,
    DROPPED,
    FAILED,
    HELLO,
    MAP,
    NOTED,
    PART,
    READY,
    REFUSED,
    STARMAP,
    UNLOADED,
    Notice,
    beginning_at,
    pickle_chunk,
    qualified_name,
)
from mp_pool._worker import WorkerEnd, run_worker

# Whatever notes the tasks.
pytestmark = pytest.mark.usefixtures("backend")

assert sys.platform == "linux"


class Bench:
    """A worker in a thread, and the far end of its channel."""

    def __init__(self, initializer: Any = None, initargs: tuple[Any, ...] = ()) -> None:
        mine, theirs = packet_pair(shared=False)
        self.channel = PacketChannel(mine)
        self.progress = Progress.create()
        self.end = WorkerEnd(theirs, self.progress)
        self.ended: BaseException | None = None
        self.thread = threading.Thread(target=self.run, args=(initializer, initargs))
        self.thread.start()
        assert self.notice().kind == HELLO

    def run(self, initializer: Any, initargs: tuple[Any, ...]) -> None:
        try:
            run_worker(self.end, Setup(initializer, initargs))
        except SystemExit as error:
            self.ended = error

    def close(self) -> None:
        self.channel.close()
        self.thread.join(10)
        self.end.close()

    def receive(self) -> Received:
        return self.channel.recv()

    def notice(self) -> Notice:
        received = self.receive()
        assert not received.pickled
        return Notice.decode(received.parts[0])

    def values(self) -> tuple[int, int, list[Any]]:
        """Values of a pack: its number, the first task, values."""
        received = self.receive()
        assert not received.pickled
        data = ANSWERS[:1] + bytes(received.parts[0])
        mark, serial, first, end = ANSWER_HEAD.unpack_from(data)
        assert mark == ANSWERS
        values = [loads(value) for value in loads(data[ANSWER_HEAD.size :])]
        assert len(values) == end - first
        return serial, first, values

    def pack(self, *task: object) -> None:
        self.channel.send(Message([dumps(list(task))]))

    def send(self, *task: object) -> None:
        self.channel.send(Message([dumps(task)]))

    def value(self, *task: object) -> Any:
        self.send(*task)
        received = self.receive()
        assert received.pickled
        return unpickle(received)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A worker that is ready."""
    bench = Bench()
    assert bench.notice().kind == READY
    yield bench
    bench.close()


def test_styles(bench: Bench) -> None:
    assert bench.value(1, CALL, targets.add, (1, 2), {"third": 3}) == 6
    assert bench.value(2, MAP, targets.square, [1, 2, 3], {}) == [1, 4, 9]
    assert bench.value(3, STARMAP, targets.add, [(1, 2), (3, 4)], {}) == [3, 7]


def test_end_of_file_ends_it(bench: Bench) -> None:
    bench.value(1, CALL, targets.nothing, (), {})
    bench.channel.close()
    bench.thread.join(10)
    assert not bench.thread.is_alive()
    assert bench.ended is None


def test_each_task_of_a_chunk_has_its_outcome(bench: Bench) -> None:
    """Values that come before a failure are announced; at the end nothing is."""
    bench.send(1, MAP | NOTED, targets.fail_odd, [1, 0, 2, 4, 5, 6, 7], {})
    first = bench.notice()
    assert (first.kind, first.index) == (FAILED, 0)
    for end, values, error in ((4, [0, 2, 4], "5"), (6, [6], "7")):
        part = bench.notice()
        assert (part.kind, part.index) == (PART, end)
        assert [loads(value) for value in unpickle(bench.receive())] == values
        notice = bench.notice()
        assert (notice.kind, notice.index) == (FAILED, end)
        assert repr(notice.exception()) == f"ValueError({error})"
    # The last task failed: nothing more comes.
    assert bench.value(2, MAP, targets.square, [3], {}) == [9]


def test_map_that_failed_has_no_values_before_the_failure(bench: Bench) -> None:
    """But all tasks are run, each once, and what follows the last failure is sent."""
    bench.send(1, MAP, targets.fail_odd, [0, 1, 2, 3, 4, 6], {})
    for index in (1, 3):
        notice = bench.notice()
        assert (notice.kind, notice.index) == (FAILED, index)
        assert repr(notice.exception()) == f"ValueError({index})"
    assert unpickle(bench.receive()) == [4, 6]
    bench.channel.send(beginning_at(2))
    bench.send(2, STARMAP, targets.fail_odd, [(0,), (1,), (2,), (3,)], {})
    notice = bench.notice()
    assert (notice.kind, notice.index) == (FAILED, 3)
    assert bench.value(3, MAP, targets.square, [3], {}) == [9]


def test_value_that_cannot_be_pickled_takes_no_other_along(bench: Bench) -> None:
    for style in (MAP, MAP | NOTED):
        bench.send(1, style, targets.in_worker_thread, [int, threading.Lock, dict], {})
        assert bench.notice().kind == PART
        bench.receive()
        notice = bench.notice()
        assert (notice.kind, notice.index) == (FAILED, 1)
        assert isinstance(notice.exception(), ResultError)
        assert bench.receive().pickled


def test_chunk_is_begun_where_the_parent_says(bench: Bench) -> None:
    bench.channel.send(beginning_at(2))
    assert bench.value(1, MAP, targets.square, [1, 2, 3, 4], {}) == [9, 16]
    assert bench.value(2, MAP, targets.square, [1, 2], {}) == [1, 4]


def pickles(*things: object) -> list[bytes]:
    return [dumps(thing) for thing in things]


def test_pack_is_answered_at_once(bench: Bench) -> None:
    bench.pack(5, MAP, dumps(targets.square), pickles(5, 6))
    assert bench.values() == (5, 0, [25, 36])
    bench.pack(6, STARMAP, dumps(targets.add), pickles((1, 2), (3, 4)))
    assert bench.values() == (6, 0, [3, 7])
    square = dumps(targets.square)
    functions = [square, square, dumps(targets.add), None, square]
    with_keywords = (targets.add, (1, 2), {"third": 3})
    pieces = pickles((2,), (3,), (1, 2), with_keywords, (4,))
    bench.pack(7, CALL, functions, pieces)
    assert bench.values() == (7, 0, [4, 9, 3, 6, 16])
    bench.pack(8, MAP, None, pickles((targets.square, 7), (len, "abc")))
    assert bench.values() == (8, 0, [49, 3])
    assert bench.value(9, CALL, targets.square, (2,), {}) == 4


def test_pack_with_failures_is_answered_in_order(bench: Bench) -> None:
    tasks: list[object] = [
        (targets.fail_odd, (4,), {}),
        (targets.fail_odd, (5,), {}),
        (targets.identity, (targets.Unloadable(),), {}),
        (targets.blob, (100_000,), {}),
        (targets.square, (3,), {}),
        (targets.make_unpicklable, (), {}),
        (targets.square, (4,), {}),
    ]
    pieces = [*pickles(*tasks), dumps(targets.square)[:-1]]
    bench.pack(5, CALL, [None] * 8, pieces)
    assert bench.values() == (5, 0, [4])
    notice = bench.notice()
    assert (notice.kind, notice.index) == (FAILED, 1)
    serial, first, (_,) = bench.values()
    assert (serial, first) == (5, 2)
    notice = bench.notice()
    assert (notice.kind, notice.index) == (PART, 4)
    assert len(unpickle(bench.receive())) == 100_000
    assert bench.values() == (5, 4, [9])
    notice = bench.notice()
    assert (notice.kind, notice.index) == (FAILED, 5)
    assert isinstance(notice.exception(), ResultError)
    assert bench.values() == (5, 6, [16])
    notice = bench.notice()
    assert (notice.kind, notice.index) == (FAILED, 7)
    assert isinstance(notice.exception(), TaskLoadError)
    assert bench.value(9, CALL, targets.square, (2,), {}) == 4


def test_many_values_of_a_pack_come_in_parts(bench: Bench) -> None:
    bench.pack(5, MAP, dumps(targets.blob), pickles(*[9_000] * 7))
    values: list[bytes] = []
    while len(values) < 7:
        serial, first, some = bench.values()
        assert (serial, first) == (5, len(values))
        assert len(some) <= 3
        values += some
    assert [len(value) for value in values] == [9_000] * 7


def test_values_of_a_pack_are_noted(bench: Bench) -> None:
    """While a later task runs, those of the earlier ones are to be seen."""
    tasks: list[object] = [(targets.square, (2,), {}), (targets.square, (3,), {})]
    tasks.append((targets.in_worker_thread, (_see_values,), {}))
    _bench.append(bench)
    try:
        bench.pack(7, CALL, [None] * 3, pickles(*tasks))
        _, _, (*_, seen) = bench.values()
    finally:
        _bench.clear()
    assert [(index, loads(value)) for index, value in seen.items()] == [(0, 4), (1, 9)]


def _see_values() -> dict[int, bytes]:
    assert not _bench[0].progress.values(8)
    return _bench[0].progress.values(7)


def test_pack_that_is_revoked_is_dropped(bench: Bench) -> None:
    tasks: list[object] = [(targets.in_worker_thread, (_revoke,), {})]
    tasks += [(targets.fail, (1,), {})] * 2
    _bench.append(bench)
    try:
        bench.pack(33, CALL, [None] * 3, pickles(*tasks))
        assert bench.values() == (33, 0, [None])
    finally:
        _bench.clear()
    notice = bench.notice()
    assert (notice.kind, notice.index) == (DROPPED, 33)
    bench.pack(34, MAP, dumps(int), pickles(8))
    assert bench.values() == (34, 0, [8])


def _revoke() -> None:
    _bench[0].progress.revoke(33)


def test_values_are_noted_before_they_are_sent(bench: Bench) -> None:
    values = bench.value(1, MAP | NOTED, targets.square, [1, 2, 3], {})
    assert [loads(value) for value in values] == [1, 4, 9]
    assert bench.progress.notes() == dict(enumerate(values))
    # So much that not all of it can be noted at once comes in parts.
    bench.send(2, MAP | NOTED, targets.blob, [400_000] * 5, {})
    arrived: list[bytes] = []
    while len(arrived) < 5:
        received = bench.receive()
        if received.pickled:
            arrived += unpickle(received)
        else:
            notice = Notice.decode(received.parts[0])
            assert notice.kind == PART
    assert [len(loads(pickled)) for pickled in arrived] == [400_000] * 5


def test_index_of_a_chunk_that_did_not_load_is_its_first(bench: Bench) -> None:
    bench.value(1, MAP, targets.square, [1, 2, 3], {})
    bench.channel.send(Message([dumps((2, "f"))[:-1]]))
    notice = bench.notice()
    assert (notice.kind, notice.index) == (UNLOADED, 0)


def test_notes_are_there_while_a_task_runs(bench: Bench) -> None:
    bench.send(77, MAP, targets.in_worker_thread, [_look, _look], {})
    _seen.clear()
    _bench.append(bench)
    try:
        assert unpickle(bench.receive()) == [(77, 0), (77, 1)]
    finally:
        _bench.clear()
    bench.value(78, CALL, targets.nothing, (), {})
    # The answer comes before the note goes: wait for the next one to be taken up.
    bench.send(79, CALL, targets.fail, (1,), {})
    bench.notice()
    assert bench.progress.begun(78) is None


_bench: list[Bench] = []
_seen: list[tuple[int, int]] = []


def _look() -> tuple[int, int]:
    while not _bench:
        pass
    words = _bench[0].progress.words
    return words[0], words[1]


def test_initializer_that_fails() -> None:
    bench = Bench(targets.fail, ("reason",))
    notice = bench.notice()
    assert notice.kind == REFUSED
    assert notice.text == "ValueError('reason')"
    bench.thread.join(10)
    assert isinstance(bench.ended, SystemExit)
    bench.close()


def test_large_values_and_buffers(bench: Bench) -> None:
    for size in (1_000, 59_000, 61_000, 1_000_000):
        assert bench.value(1, CALL, targets.blob, (size,), {}) == targets.blob(size)


def test_progress_words() -> None:
    progress = Progress.create()
    assert progress.begun(5) is None
    progress.begin(5)
    assert progress.begun(5) == 0
    assert progress.begun(6) is None
    progress.words[1] = 3
    assert progress.begun(5) == 3
    progress.begin(2**63)
    assert progress.begun(2**63) == 0
    progress.end()
    assert progress.begun(2**63) is None
    progress.close_descriptor()
    progress.close_descriptor()
    progress.close()
    progress.close()


def test_progress_notes_tasks_as_they_are_handed_out(backend: str) -> None:
    progress = Progress.create()
    progress.begin(5)
    noted = progress.noted("abc", 5)
    if backend == "portable":
        assert noted is None  # the words are written to directly
    else:
        assert noted is not None
        assert [(task, progress.begun(5)) for task in noted] == [
            ("a", 5), ("b", 6), ("c", 7)
        ]  # fmt: skip
        noted = progress.noted("d", 8)
        assert noted is not None
    progress.close()
    if noted is not None:
        with pytest.raises(ValueError, match="is released"):
            next(noted)


def test_progress_survives_its_writer() -> None:
    progress = Progress.create()
    child = os.fork()
    if not child:
        progress.begin(9)
        progress.words[1] = 4
        os._exit(0)
    os.waitpid(child, 0)
    assert progress.begun(9) == 4
    progress.close()


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (targets.square, "mp_pool_targets.square"),
        (len, "len"),
        (dict, "dict"),
        (targets.NoException, "mp_pool_targets.NoException"),
        ([].append, "list.append"),
        (Progress.begin, "mp_pool._progress.Progress.begin"),
        (3, "int object"),
    ],
)
def test_names(thing: object, name: str) -> None:
    assert qualified_name(thing) == name


def test_small_chunks_are_bytes() -> None:
    content = pickle_chunk(1, CALL, targets.square, (3,), {}, lambda: [], copy=True)
    assert isinstance(content, bytes)
    assert loads(content) == (1, CALL, targets.square, (3,), {})
    large = pickle_chunk(1, CALL, len, (b"x" * 100_000,), {}, lambda: [], copy=True)
    assert isinstance(large, Message)


@pytest.mark.parametrize("module", ["mp_pool._worker"])
def test_workers_import_little(module: str) -> None:
    """What a fresh worker imports costs each start, and each replacement."""
    heavy = {"typing", "dataclasses", "enum", "logging", "concurrent", "pickle", "re"}
    heavy |= {"subprocess", "tempfile", "socket", "signal", "multiprocessing"}
    heavy |= {"threading", "warnings", "mp_pool._client", "mp_pool._manager"}
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"import {module}\n"
        f"print(*sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == "\n"
