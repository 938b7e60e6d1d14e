"""What a pool does when nothing goes wrong, and how its arguments are checked."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import mp_pool_targets as targets
import pytest

from mp_connection import Pipe
from mp_connection.channel import Lookout
from mp_connection.handles import unregister_reducer
from mp_pool import AsyncResult, Pool, PoolTerminatedError, ThreadPool, TimeoutError
from mp_pool._client import Client
from mp_pool._jobs import Chunk
from mp_process import get_context
from mp_testing import StartMethod, noted_calls

assert sys.platform == "linux"

MakePool = Callable[..., Pool]

WAIT = 20  # seconds after which a test has failed


# ------------------------------------------------------------------------- apply


def test_apply_returns_what_the_function_returned(make_pool: MakePool) -> None:
    pool = make_pool()
    assert pool.apply(targets.add, (1, 2)) == 3
    assert pool.apply(targets.add, (1,), {"third": 5}) == 16
    assert pool.apply(targets.add, kwds={"first": 1}) == 11
    assert pool.apply(targets.nothing) is None
    assert pool.apply(targets.pid) != os.getpid()


def test_apply_takes_any_iterable_of_arguments(make_pool: MakePool) -> None:
    assert make_pool().apply(targets.add, iter([1, 2]), {}) == 3


def test_apply_raises_what_the_function_raised(make_pool: MakePool) -> None:
    pool = make_pool()
    for _ in range(3):
        with pytest.raises(ValueError, match=r"^oops$") as caught:
            pool.apply(targets.fail, ("oops",))
        cause = caught.value.__cause__
        assert "in fail" in str(cause)
        assert "ValueError: oops" in str(cause)
        assert "_worker.py" not in str(cause)
    assert pool.apply(targets.square, (3,)) == 9


def test_apply_looks_for_the_answer_before_it_sleeps(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = noted_calls(monkeypatch, Lookout, "look")
    pool = make_pool(1)
    for _ in range(1000):  # some of the first calls may be the I/O thread's
        assert pool.apply(targets.square, (3,)) == 9
        if len(looked) == 5:
            break
    assert len(looked) == 5


def test_waiting_for_slow_calls_costs_little(make_pool: MakePool) -> None:
    pool = make_pool(1)
    pool.apply(targets.nothing)
    cpu = time.process_time()
    for _ in range(30):
        pool.apply(time.sleep, (0.02,))
    assert time.process_time() - cpu < 0.3  # of 0.6 s


def test_apply_from_many_threads(make_pool: MakePool) -> None:
    pool = make_pool()
    found: dict[int, list[int]] = {}

    def use(number: int) -> None:
        found[number] = [pool.apply(targets.add, (number, i)) for i in range(100)]

    threads = [threading.Thread(target=use, args=(i * 1000,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert found == {i * 1000: [i * 1000 + k for k in range(100)] for i in range(8)}


def test_callers_that_lead_and_jobs_of_others_share_the_workers(
    make_pool: MakePool,
) -> None:
    pool = make_pool()
    stop = threading.Event()
    counted = [0]

    def lead() -> None:
        while not stop.is_set():
            assert pool.apply(targets.square, (7,)) == 49
            counted[0] += 1

    thread = threading.Thread(target=lead)
    thread.start()
    try:
        for size in (1, 10, 100):
            numbers = list(range(size))
            assert pool.map(targets.square, numbers, 1) == [i * i for i in numbers]
            assert pool.apply_async(targets.square, (size,)).get(WAIT) == size * size
    finally:
        stop.set()
        thread.join(WAIT)
    assert counted[0]


@pytest.mark.parametrize("size", [60_000, 70_000, 300_000, 5_000_000])
def test_large_arguments_and_results(make_pool: MakePool, size: int) -> None:
    pool = make_pool(1)
    data = os.urandom(size)
    assert pool.apply(targets.identity, (data,)) == data
    assert pool.map(targets.identity, [data, data], 1) == [data, data]
    assert pool.apply_async(targets.identity, (bytearray(data),)).get(WAIT) == data
    assert pool.apply(targets.square, (3,)) == 9


def test_large_messages_both_ways_at_once(make_pool: MakePool) -> None:
    pool = make_pool(1)
    blocks = [bytes([i]) * 2_000_000 for i in range(8)]
    results = [pool.apply_async(targets.identity, (block,)) for block in blocks]
    assert [result.get(WAIT) for result in results] == blocks


def test_buffers_are_copied_before_apply_async_returns(
    make_pool: MakePool, tmp_path: Path
) -> None:
    import pickle

    pool = make_pool(1)
    go = tmp_path / "go"
    blocker = pool.apply_async(targets.wait_for, (str(go),))
    buffer = bytearray(b"before" * 20_000)
    result = pool.apply_async(targets.identity, (pickle.PickleBuffer(buffer),))
    buffer[:] = b"after." * 20_000
    go.touch()
    assert blocker.get(WAIT)
    assert bytes(result.get(WAIT)) == b"before" * 20_000


def test_connections_travel_as_arguments_and_results(make_pool: MakePool) -> None:
    pool = make_pool()
    receiving, sending = Pipe(duplex=False)
    with receiving:
        result = pool.apply_async(targets.send_through, (sending, "hello"))
        # The pool has a duplicate: what the caller does with its own is no matter.
        sending.close()
        assert receiving.recv() == "hello"
        assert result.get(WAIT) is None
    with pool.apply(targets.make_pipe) as arrived:
        assert arrived.recv() == "from the worker"
    with pool.apply_async(targets.make_pipe).get(WAIT) as arrived:
        assert arrived.recv() == "from the worker"


def test_results_with_descriptors_that_nobody_wants_are_closed(
    make_pool: MakePool,
) -> None:
    result: AsyncResult[Any] = make_pool().apply_async(targets.make_pipe)
    result.wait(WAIT)
    assert result.ready()


# ------------------------------------------------------------------- AsyncResult


def test_async_result_before_and_after(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool()
    go = tmp_path / "go"
    result = pool.apply_async(targets.wait_for, (str(go),))
    assert not result.ready()
    assert "pending" in repr(result)
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(TimeoutError):
        result.get(0.05)
    with pytest.raises(TimeoutError):
        result.get(timeout=-1)
    result.wait(0.01)
    go.touch()
    assert result.get(WAIT) == result.get()
    assert result.ready()
    assert result.successful()
    assert "ready" in repr(result)


def test_async_result_of_a_failure(make_pool: MakePool) -> None:
    result = make_pool().apply_async(targets.fail, (1,))
    result.wait(WAIT)
    assert not result.successful()
    for _ in range(2):
        with pytest.raises(ValueError, match="1"):
            result.get()


def test_many_threads_wait_for_one_result(make_pool: MakePool, tmp_path: Path) -> None:
    go = tmp_path / "go"
    result = make_pool().apply_async(targets.wait_for, (str(go),))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(result.get(WAIT)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    go.touch()
    for thread in threads:
        thread.join(WAIT)
    assert len(found) == 5
    assert len(set(found)) == 1


def test_ten_thousand_calls(make_pool: MakePool) -> None:
    pool = make_pool()
    results = [pool.apply_async(targets.square, (i,)) for i in range(10_000)]
    assert [r.get(WAIT) for r in results] == [i * i for i in range(10_000)]


def test_results_may_be_dropped(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool()
    path = tmp_path / "written"
    for _ in range(50):
        pool.apply_async(targets.write, (str(path),))
    pool.close()
    pool.join()
    assert path.read_text() == "x" * 50


def test_result_keeps_its_pool(start_method: StartMethod) -> None:
    pool = Pool(1, context=get_context(start_method))
    result = pool.apply_async(targets.square, (4,))
    del pool
    with pytest.warns(ResourceWarning, match="unclosed running pool"):
        assert result.get(WAIT) == 16


# --------------------------------------------------------------------------- map


@pytest.mark.parametrize("chunksize", [None, 1, 2, 7, 1000])
def test_map_keeps_the_order(make_pool: MakePool, chunksize: int | None) -> None:
    pool = make_pool()
    numbers = range(23)
    assert pool.map(targets.square, numbers, chunksize) == [i * i for i in numbers]


def test_map_of_nothing(make_pool: MakePool) -> None:
    pool = make_pool()
    assert pool.map(targets.square, []) == []
    called: list[list[int]] = []
    result = pool.map_async(targets.square, [], callback=called.append)
    assert result.get(WAIT) == []
    assert called == [[]]


def test_map_takes_any_iterable(make_pool: MakePool) -> None:
    def generate() -> Iterator[int]:
        yield from range(10)

    pool = make_pool()
    assert pool.map(targets.square, generate()) == [i * i for i in range(10)]
    assert pool.map(targets.identity, "abc") == ["a", "b", "c"]


def test_parts_of_a_range_are_sent_as_ranges(
    shared_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes two numbers is not sent as a list of thousands."""
    sizes: list[int] = []
    made = Client._chunk

    def measured(*args: Any, **kwds: Any) -> Chunk:
        chunk = made(*args, **kwds)
        sizes.append(chunk.size)
        return chunk

    monkeypatch.setattr(Client, "_chunk", measured)
    numbers = range(7_000, -3_000, -5)
    squares = [n * n for n in numbers]
    assert shared_pool.map(targets.square, numbers, 300) == squares
    assert len(sizes) == 7
    assert max(sizes) < 300
    assert shared_pool.map(targets.square, list(numbers), 300) == squares
    assert min(sizes[7:]) > 300


def test_starmap_unpacks_the_elements(make_pool: MakePool) -> None:
    pool = make_pool()
    pairs = [(number, 2 * number) for number in range(10)]
    triples = [3 * number for number in range(10)]
    assert pool.starmap(targets.add, pairs) == triples
    assert pool.starmap(targets.add, iter(pairs), 3) == triples
    called: list[list[int]] = []
    result = pool.starmap_async(targets.add, pairs, callback=called.append)
    assert result.get(WAIT) == triples
    assert called == [triples]
    with pytest.raises(TypeError, match="after \\* must be an iterable, not int"):
        pool.starmap(targets.add, [5])  # type: ignore[arg-type, list-item]


def test_one_worker_keeps_the_order_of_calls(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1)
    file = tmp_path / "order"
    for _ in range(100):
        # With a callback it goes by way of the I/O thread; the other could go at once.
        pool.apply_async(targets.write, (str(file), "a"), callback=targets.nothing_of)
        pool.apply(targets.write, (str(file), "b"))
    assert file.read_text() == "ab" * 100


def test_map_raises_what_the_iterable_raises(make_pool: MakePool) -> None:
    def generate() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    pool = make_pool()
    with pytest.raises(LookupError, match="no more"):
        pool.map(targets.square, generate())
    assert pool.map(targets.square, [2]) == [4]


def test_map_makes_about_four_chunks_per_worker(make_pool: MakePool) -> None:
    pool = make_pool(2)
    # Elements of a chunk are one object in the worker if they were one here.
    thing: list[int] = []
    ids = pool.map(id, [thing] * 80)
    runs = 1 + sum(a != b for a, b in pairwise(ids))
    assert 1 <= runs <= 8
    assert pool.map(targets.square, range(3)) == [0, 1, 4]


def test_map_raises_the_first_failure(make_pool: MakePool) -> None:
    pool = make_pool()
    for chunksize in (1, 3):
        with pytest.raises(ValueError, match=r"^3$") as caught:
            pool.map(targets.fail_odd, [0, 2, 3, 4, 5, 6, 7], chunksize)
        assert "in fail_odd" in str(caught.value.__cause__)


def test_map_with_a_failure_runs_all_other_chunks(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1)
    path = str(tmp_path / "written")
    items = [(path, "a"), ("/nonexistent/file", "b"), (path, "c")]
    with pytest.raises(FileNotFoundError):
        pool.map(targets.write_item, items, 1)
    assert Path(path).read_text() == "ac"


@pytest.mark.parametrize("chunksize", [0, -1])
def test_map_refuses_chunks_of_nothing(make_pool: MakePool, chunksize: int) -> None:
    with pytest.raises(ValueError, match="chunksize"):
        make_pool(1).map(targets.square, [1], chunksize)


# --------------------------------------------------------------- kinds of pools


@pytest.mark.parametrize("number", [0, -1])
def test_pool_needs_a_worker(number: int) -> None:
    with pytest.raises(ValueError, match="processes has to be at least 1"):
        Pool(number)


@pytest.mark.parametrize("number", [1.5, "2", [1]])
def test_number_of_workers_is_an_integer(number: Any) -> None:
    with pytest.raises(TypeError):
        Pool(number)


@pytest.mark.parametrize("number", [0, -1, 0.5, "1"])
def test_lifetime_is_a_positive_integer(number: Any) -> None:
    with pytest.raises(ValueError, match="maxtasksperchild"):
        Pool(1, maxtasksperchild=number)


def test_initializer_can_be_called() -> None:
    with pytest.raises(TypeError, match="initializer"):
        Pool(1, "no function")  # type: ignore[call-overload]


def test_default_number_of_workers(make_pool: MakePool) -> None:
    pool = make_pool(None)
    assert f"pool_size={os.cpu_count() or 1}" in repr(pool)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python reads it at its start")
@pytest.mark.parametrize("kind", [Pool, ThreadPool])
def test_a_program_can_be_told_how_many_workers(
    kind: type[Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_CPU_COUNT", "3")
    with kind() as pool:
        assert "pool_size=3" in repr(pool)
    pool.join()


def test_default_context_is_used() -> None:
    with Pool(1) as pool:
        assert pool.apply(targets.square, (3,)) == 9
    pool.join()


def test_initializer_runs_in_each_worker(make_pool: MakePool, tmp_path: Path) -> None:
    path = tmp_path / "initialized"
    pool = make_pool(3, targets.initialize_file, (str(path),))
    pool.close()
    pool.join()
    assert path.read_text() == "iii"


def test_what_an_initializer_did_is_there_for_tasks(make_pool: MakePool) -> None:
    pool = make_pool(1, targets.remember, ("this",))
    assert pool.apply(targets.remembered) == ["this"]


def test_workers_are_used_at_the_same_time(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(2)
    first, second = str(tmp_path / "1"), str(tmp_path / "2")
    results = [
        pool.apply_async(targets.announce_and_wait, (first, second)),
        pool.apply_async(targets.announce_and_wait, (second, first)),
    ]
    assert len({result.get(WAIT) for result in results}) == 2


def test_short_task_does_not_wait_behind_a_long_one(
    make_pool: MakePool, tmp_path: Path
) -> None:
    """A chunk that was sent ahead is taken back for a worker that is idle."""
    pool = make_pool(2)
    go, begun = str(tmp_path / "go"), tmp_path / "begun"
    long = pool.map_async(targets.wait_for, [go, go], 1)
    short = [pool.apply_async(targets.write, (str(begun),)) for _ in range(4)]
    # Both workers are busy.  One is let go: it has to do all the rest.
    assert not any(result.ready() for result in short)
    Path(go).touch()
    for result in short:
        result.get(WAIT)
    long.get(WAIT)


def test_no_task_waits_while_a_worker_is_idle(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(2)
    go, other = str(tmp_path / "go"), str(tmp_path / "other")
    begun = str(tmp_path / "begun")
    blocked = pool.apply_async(targets.announce_and_wait, (begun, go))
    targets.wait_for(begun)
    blocked_too = pool.apply_async(targets.wait_for, (other,))
    short = [pool.apply_async(targets.square, (i,)) for i in range(6)]
    Path(other).touch()
    assert blocked_too.get(WAIT)
    assert [result.get(WAIT) for result in short] == [i * i for i in range(6)]
    assert not blocked.ready()
    Path(go).touch()
    blocked.get(WAIT)


def test_workers_are_replaced_after_their_lifetime(make_pool: MakePool) -> None:
    pool = make_pool(1, maxtasksperchild=2)
    pids = [pool.apply(targets.pid) for _ in range(6)]
    assert len(set(pids)) == 3
    assert pids[0] == pids[1] != pids[2]
    assert len(set(pool.map(targets.pid, range(6), 3))) <= 2


def test_workers_are_daemons_with_telling_names(
    make_pool: MakePool, start_method: StartMethod
) -> None:
    prefix = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}
    daemon, name = make_pool(1).apply(targets.daemon_and_name)
    assert daemon
    assert name == f"{prefix[start_method]}PoolWorker-1"


def test_nothing_of_a_task_lives_on_in_an_idle_worker(make_pool: MakePool) -> None:
    pool = make_pool(1)
    receiving, sending = Pipe(duplex=False)
    with receiving:
        assert pool.apply_async(targets.nothing_of, (sending,)).get(WAIT) is None
        sending.close()
        with pytest.raises(EOFError):
            receiving.recv()


# --------------------------------------------------------------------- callbacks


def test_callback_gets_the_result_before_it_is_ready(make_pool: MakePool) -> None:
    pool = make_pool()
    called: list[object] = []
    result = pool.apply_async(targets.square, (3,), callback=called.append)
    result.wait(WAIT)
    assert called == [9]
    mapped = pool.map_async(targets.square, [1, 2], callback=called.append)
    mapped.wait(WAIT)
    assert called == [9, [1, 4]]


def test_error_callback_gets_the_exception(make_pool: MakePool) -> None:
    pool = make_pool()
    wrong: list[object] = []
    right: list[BaseException] = []
    result = pool.apply_async(
        targets.fail, (3,), callback=wrong.append, error_callback=right.append
    )
    result.wait(WAIT)
    assert not wrong
    assert [type(error) for error in right] == [ValueError]
    with pytest.raises(ValueError, match="3") as caught:
        result.get()
    assert caught.value is right[0]


def test_callbacks_run_in_order_in_one_thread(make_pool: MakePool) -> None:
    pool = make_pool(1)
    called: list[tuple[object, threading.Thread]] = []

    def note(value: object) -> None:
        called.append((value, threading.current_thread()))

    for i in range(100):
        pool.apply_async(targets.identity, (i,), callback=note)
    pool.close()
    pool.join()
    assert [value for value, _ in called] == list(range(100))
    assert len({thread for _, thread in called}) == 1


def test_slow_callback_holds_up_no_result(make_pool: MakePool) -> None:
    pool = make_pool()
    go = threading.Event()
    slow = pool.apply_async(
        targets.square, (1,), callback=lambda _: go.wait(WAIT) and None
    )
    assert pool.apply_async(targets.square, (2,)).get(WAIT) == 4
    assert pool.map(targets.square, range(10)) == [i * i for i in range(10)]
    assert not slow.ready()
    go.set()
    assert slow.get(WAIT) == 1


def test_callback_that_raises_is_reported_and_does_no_harm(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[BaseException | None] = []
    monkeypatch.setattr(
        threading, "excepthook", lambda args: reported.append(args.exc_value)
    )
    pool = make_pool()
    result = pool.apply_async(targets.square, (3,), callback=targets.fail)
    assert result.get(WAIT) == 9
    called: list[int] = []
    pool.apply_async(targets.square, (4,), callback=called.append).wait(WAIT)
    assert called == [16]
    assert [str(error) for error in reported] == ["9"]


def test_callback_may_use_the_pool(make_pool: MakePool) -> None:
    pool = make_pool(1)
    called: list[int] = []

    def chain(value: int) -> None:
        called.append(pool.apply(targets.square, (value,)))

    pool.apply_async(targets.square, (3,), callback=chain).wait(WAIT)
    assert called == [81]


# -------------------------------------------------------------------- life cycle


def test_close_lets_everything_be_done(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool()
    path = str(tmp_path / "written")
    result = pool.map_async(targets.write_item, [(path, "x")] * 20, 1)
    pool.close()
    pool.close()
    pool.join()
    pool.join()
    assert Path(path).read_text() == "x" * 20
    assert result.get(0) == ["x"] * 20


@pytest.mark.parametrize("end", [Pool.close, Pool.terminate])
def test_pool_that_is_not_running_refuses_work(
    make_pool: MakePool, end: Callable[[Pool], None]
) -> None:
    pool = make_pool(1)
    pool.apply(targets.nothing)
    end(pool)
    for submit in (
        lambda: pool.apply(targets.nothing),
        lambda: pool.apply_async(targets.nothing),
        lambda: pool.map(targets.square, [1]),
        lambda: pool.map_async(targets.square, []),
        lambda: pool.__enter__(),
    ):
        with pytest.raises(ValueError, match="Pool not running"):
            submit()
    pool.join()


def test_join_needs_an_end(make_pool: MakePool) -> None:
    with pytest.raises(ValueError, match="still running"):
        make_pool(1).join()


def test_terminate_fails_what_is_not_done(
    make_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mp_pool._fleet.GRACE_SECONDS", 2 * WAIT)
    pool = make_pool(2)
    begun = str(tmp_path / "begun")
    never = str(tmp_path / "never")
    other = str(tmp_path / "other")
    results: list[AsyncResult[Any]] = [
        pool.apply_async(targets.announce_and_wait, (begun, never)),
        pool.apply_async(targets.announce_and_wait, (other, never)),
    ]
    targets.wait_for(begun)
    targets.wait_for(other)
    results.append(pool.map_async(targets.square, range(10)))
    before = time.monotonic()
    pool.terminate()
    assert time.monotonic() - before < WAIT
    for result in results:
        with pytest.raises(PoolTerminatedError):
            result.get(0)
    pool.terminate()


def test_terminate_frees_a_thread_in_apply(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(1)
    pool.apply(targets.nothing)
    begun = str(tmp_path / "begun")
    caught: list[BaseException] = []

    def lead() -> None:
        try:
            pool.apply(targets.announce_and_wait, (begun, begun + ".never"))
        except PoolTerminatedError as error:
            caught.append(error)

    thread = threading.Thread(target=lead)
    thread.start()
    targets.wait_for(begun)
    pool.terminate()
    thread.join(WAIT)
    assert len(caught) == 1


def test_terminate_kills_workers_that_ignore_sigterm(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(1, targets.ignore_sigterm)
    begun = str(tmp_path / "begun")
    pool.apply_async(targets.announce_and_wait, (begun, begun + ".never"))
    targets.wait_for(begun)
    before = time.monotonic()
    pool.terminate()
    assert 0.3 < time.monotonic() - before < WAIT


def test_terminate_before_workers_are_ready(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(2, targets.wait_at_start, (str(tmp_path / "never"),))
    result = pool.apply_async(targets.nothing)
    pool.terminate()
    with pytest.raises(PoolTerminatedError):
        result.get(0)


def test_terminate_after_close(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(1)
    result = pool.apply_async(targets.wait_for, (str(tmp_path / "never"),))
    pool.close()
    pool.terminate()
    with pytest.raises(PoolTerminatedError):
        result.get(0)


def test_context_manager_terminates(start_method: StartMethod) -> None:
    with Pool(1, context=get_context(start_method)) as pool:
        assert pool.apply(targets.square, (2,)) == 4
    assert repr(pool) == "<mp_pool.Pool state=TERMINATE pool_size=1>"
    pool.join()


def test_dropped_pool_warns_and_ends(start_method: StartMethod) -> None:
    """The fixture that looks for leaks sees that nothing is left."""
    pool = Pool(2, context=get_context(start_method))
    pool.apply(targets.nothing)
    with pytest.warns(ResourceWarning, match=r"unclosed running pool.*pool_size=2"):
        del pool


def test_dropped_pool_that_was_closed_ends_silently(start_method: StartMethod) -> None:
    pool = Pool(2, context=get_context(start_method))
    pool.close()
    del pool


def test_many_pools_one_after_the_other(start_method: StartMethod) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with Pool(1, context=get_context(start_method)) as pool:
            pool.apply(targets.nothing)
        pool.join()
        assert len(os.listdir("/proc/self/fd")) == before


def test_pools_side_by_side(make_pool: MakePool) -> None:
    first, second = make_pool(1), make_pool(2)
    assert first.apply(targets.pid) != second.apply(targets.pid)
    first.terminate()
    assert second.map(targets.square, [1, 2]) == [1, 4]


def test_join_waits_for_callbacks(make_pool: MakePool) -> None:
    pool = make_pool(1)
    done: list[int] = []

    def slow(value: int) -> None:
        time.sleep(0.1)
        done.append(value)

    pool.apply_async(targets.square, (5,), callback=slow)
    pool.close()
    pool.join()
    assert done == [25]


# ---------------------------------------------------------------------- reducers


@pytest.fixture
def reducers() -> Iterator[None]:
    targets.register()
    yield
    unregister_reducer(targets.Sealed)
    unregister_reducer(targets.Spot)


@pytest.mark.usefixtures("reducers")
def test_tasks_and_results_are_pickled_by_registered_reducers(
    make_pool: MakePool,
) -> None:
    pool = make_pool(1, targets.register)
    spot = targets.Spot()
    how, back = pool.apply(targets.new_spot, (spot,))
    assert (how, back.how) == ("reduced", "reduced")
    for how, back in (
        pool.apply_async(targets.new_spot, (spot,)).get(WAIT),
        *pool.map(targets.new_spot, [spot, spot]),
    ):
        assert (how, back.how) == ("reduced", "reduced")


@pytest.mark.usefixtures("reducers")
def test_descriptors_of_registered_types_travel_both_ways(make_pool: MakePool) -> None:
    pool = make_pool(1, targets.register)
    fd = os.memfd_create("sealed")
    os.write(fd, b"content")
    sealed = targets.Sealed(fd)
    copies = [
        pool.apply(targets.copy_sealed, (sealed,)),
        pool.apply_async(targets.copy_sealed, (sealed,)).get(WAIT),
        *pool.map(targets.copy_sealed, [sealed, sealed], chunksize=1),
    ]
    assert [copy.read() for copy in copies] == [b"content copied"] * 4
    for owner in (sealed, *copies):
        os.close(owner.fd)
