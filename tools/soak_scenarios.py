"""What `soak` has happen: users of each package at work, and a killer among them."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

assert sys.platform == "linux"

from mp_connection import Pipe
from mp_managers import SyncManager
from mp_pool import Pool, WorkerDiedError
from mp_process import BaseProcess, get_context
from mp_sharedctypes import RawArray, Value
from mp_sharedctypes.shared_memory import SharedMemory
from mp_sync import JoinableQueue, OwnerDiedError, Queue, SimpleQueue

if TYPE_CHECKING:
    from soak import Tally

Method: TypeAlias = Literal["fork", "spawn", "forkserver"]
METHODS: tuple[Method, ...] = ("fork", "spawn", "forkserver")

#: No answer takes so many seconds, on however slow a machine.
WAIT = 60.0

#: What one who talks to a process that is killed may get.
GONE = (EOFError, ConnectionError, BrokenPipeError)


def end_fork_server() -> None:
    """Stop the fork server of this process, if it has one."""
    module = sys.modules.get("mp_process._forkserver_posix")
    if module is not None:
        module.fork_server().stop()


def kill(pid: int | None) -> bool:
    """Kill a process; whether there was one."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def until(seconds: float) -> Iterator[int]:
    """Count, for so many seconds; once at least."""
    end, number = time.monotonic() + seconds, 0
    while not number or time.monotonic() < end:
        yield number
        number += 1


# -------------------------------------------------------------------------- pools


def square(number: int) -> int:
    return number * number


def add(first: int, second: int) -> int:
    return first + second


def reverse(content: bytes) -> bytes:
    return content[::-1]


def use_pool(size: int) -> list[int]:
    with Pool(1) as pool:
        squares = pool.map(square, range(size))
    pool.join()
    return squares


def pools(tally: Tally, seconds: float, dice: random.Random, method: Method) -> None:
    """All ways to use a pool, by two threads, while its workers are killed."""
    pool = Pool(3, context=get_context(method))
    over = threading.Event()
    # As many deaths before a worker is ready would break the pool, as they should.
    pause = {"fork": 0.05, "spawn": 0.8, "forkserver": 0.15}[method]

    def strike() -> None:
        while not over.wait(dice.expovariate(1 / pause)):
            ready = [worker.pid for worker in pool.stats().workers if worker.done]
            if ready:
                tally.kills += kill(dice.choice(ready))

    def check(get: Callable[[], object], right: object) -> None:
        tally.operations += 1
        with contextlib.suppress(WorkerDiedError):
            value = get()
            if value != right:
                tally.lost(f"{value!r:.200} instead of {right!r:.200}")

    def use(seed: int) -> None:
        mine = random.Random(seed)
        squares = [n * n for n in range(40)]
        large = bytes(range(256)) * 1000
        pairs = [(n, n) for n in range(30)]
        doubles = [2 * n for n in range(30)]
        while not over.is_set():
            number, size = mine.randrange(1000), mine.choice((1, 7))
            calls: list[tuple[Callable[[], object], object]] = [
                (partial(pool.map, square, range(40), size), squares),
                (pool.starmap_async(add, pairs, size).get, doubles),
                (partial(pool.apply, square, (number,)), number * number),
                (partial(pool.apply, reverse, (large,)), large[::-1]),
                (partial(pool.apply, use_pool, (3,)), squares[:3]),
            ]
            for each in range(30):
                result = pool.apply_async(square, (each,))
                calls.append((partial(result.get, WAIT), each * each))
            mine.shuffle(calls)
            for get, right in calls:
                check(get, right)
            ordered = pool.imap(square, range(40), size)
            for each in range(40):
                check(partial(ordered.next, WAIT), each * each)
            found = set()
            unordered = pool.imap_unordered(square, range(40), size)
            for _ in range(40):
                tally.operations += 1
                with contextlib.suppress(WorkerDiedError):
                    found.add(unordered.next(WAIT))
            if not found <= set(squares):
                tally.lost(f"{found} out of imap_unordered")

    def guarded(seed: int) -> None:
        try:
            use(seed)
        except BaseException as error:
            tally.lost(f"a user of the pool got {error!r}")

    threads = [threading.Thread(target=guarded, args=(dice.random(),)) for _ in "ab"]
    threads.append(threading.Thread(target=strike))
    try:
        for thread in threads:
            thread.start()
        time.sleep(seconds)
    finally:
        over.set()
        for thread in threads:
            thread.join(WAIT)
            if thread.is_alive():
                tally.lost(f"{thread.name} hangs")
    assert pool.map(square, range(40), 1) == [n * n for n in range(40)]
    assert len(pool.stats().workers) == 3
    pool.close()
    pool.join()


def lives(tally: Tally, seconds: float, dice: random.Random) -> None:
    """Many short-lived pools, which end at any moment; every call has an outcome."""
    module = importlib.import_module("mp_pool_lives")
    for number in until(seconds):
        method = dice.choice(("fork", "fork", "forkserver", None))
        life = module.Life(method, dice.randrange(1 << 30))
        try:
            life.run()
        except AssertionError as error:
            tally.lost(f"life {number} by {method}: {error}")
        tally.operations += life.calls
        tally.kills += life.kills


# ----------------------------------------------------------- processes, connections


def answer(connection: Any, number: int) -> None:
    connection.send(number + 1)
    connection.close()


def processes(
    tally: Tally, seconds: float, dice: random.Random, method: Method
) -> None:
    """Processes are started, and some of them are killed at some time."""
    context = get_context(method)
    for _ in until(seconds):
        begun: list[tuple[BaseProcess, Any, int, bool]] = []
        for _ in range(4):
            ours, theirs = Pipe()
            number = dice.randrange(1000)
            process = context.Process(target=answer, args=(theirs, number))
            process.start()
            theirs.close()
            doomed = dice.random() < 0.5
            begun.append((process, ours, number, doomed))
        time.sleep(dice.expovariate(200 if method == "fork" else 30))
        for process, ours, number, doomed in begun:
            tally.operations += 1
            if doomed:
                tally.kills += kill(process.pid)
            try:
                right = ours.recv(timeout=WAIT) == number + 1
            except GONE:
                right = doomed
            process.join(WAIT)
            expected = (0, -signal.SIGKILL) if doomed else (0,)
            if not right or process.exitcode not in expected:
                tally.lost(f"{process} with a wrong answer or exit code")
                process.kill()
                process.join()
            process.close()
            ours.close()


def echo(connection: Any) -> None:
    """Answer each message through the connection that came with it."""
    while True:
        back, content = connection.recv()
        back.send(content)
        back.close()


def connections(tally: Tally, seconds: float, dice: random.Random) -> None:
    """Connections and large contents are sent to processes that are killed."""
    context = get_context("fork")

    def start() -> tuple[Any, Any]:
        ours, theirs = Pipe()
        process = context.Process(target=echo, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    partners = [start() for _ in range(3)]
    for _ in until(seconds):
        who = dice.randrange(3)
        process, ours = partners[who]
        content = dice.randbytes(dice.choice((10, 5_000, 300_000, 700_000)))
        mine, back = Pipe()
        timer = None
        if doomed := dice.random() < 0.1:
            timer = threading.Timer(dice.expovariate(2000), process.kill)
            timer.start()
        try:
            ours.send((back, bytearray(content)))
            back.close()
            if mine.recv(timeout=WAIT) != content:
                tally.lost("another content came back")
        except GONE as error:
            if not doomed:
                tally.lost(f"{error!r} from a process that nobody killed")
        tally.operations += 1
        back.close()
        mine.close()
        if timer is not None:
            timer.join()
            tally.kills += 1
            process.join(WAIT)
            process.close()
            ours.close()
            partners[who] = start()
    for process, ours in partners:
        process.kill()
        process.join(WAIT)
        process.close()
        ours.close()


# ------------------------------------------------------------------ locks and queues


def locks(tally: Tally, seconds: float, dice: random.Random) -> None:
    """All that mp-sync's own chaos has."""
    chaos = importlib.import_module("mp_sync_chaos")
    for name in chaos.SCENARIOS:
        share = seconds / len(chaos.SCENARIOS)
        kills, rounds = chaos.chaos(name, share, dice.randrange(1 << 30))
        tally.kills += kills
        tally.operations += rounds


def queues(tally: Tally, seconds: float, dice: random.Random) -> None:
    """Writers and readers of queues of each kind are killed."""
    chaos = importlib.import_module("mp_sync_queue_chaos")
    for kind in (Queue, JoinableQueue, SimpleQueue):
        kills, received = chaos.chaos(kind, seconds / 3)
        tally.kills += kills
        tally.operations += received


# ------------------------------------------------------------------------- managers


def fill(items: Any, done: Any) -> None:
    """Append numbers to a list, and note how many of them are there for sure."""
    own = [items]
    for number in range(1 << 30):
        items.append(number)
        done[0] = number + 1
        own.append(items)  # more references, which nobody gives back
        del own[5:]


def managers(tally: Tally, seconds: float, dice: random.Random) -> None:
    """Clients of a manager are killed; what they had is given back."""
    context = get_context("fork")
    with SyncManager(ctx=context) as manager:
        before = manager._number_of_objects()
        for _ in until(seconds):
            clients = []
            for _ in range(3):
                items: Any = manager.list()
                done = RawArray("q", 1)
                process = context.Process(target=fill, args=(items, done))
                process.start()
                clients.append((process, items, done))
            time.sleep(dice.expovariate(20))
            for process, items, done in clients:
                tally.kills += kill(process.pid)
                process.join(WAIT)
                process.close()
                # The last one may be there, and not be noted.
                deadline = time.monotonic() + WAIT
                got = items[:]
                if got != list(range(len(got))) or not 0 <= len(got) - done[0] <= 1:
                    tally.lost(f"{len(got)} items of {done[0]}")
                tally.operations += len(got)
            del clients, items, process
            deadline = time.monotonic() + WAIT
            while manager._number_of_objects() > before:
                if time.monotonic() > deadline:
                    tally.lost("objects of killed clients stay")
                    break
                time.sleep(0.002)


# -------------------------------------------------------------------- shared memory


def make_block(name: str, connection: Any, counter: Any, added: Any) -> None:
    """Make a block with a name, say so, and count for ever."""
    block = SharedMemory(name, create=True, size=10_000)
    block.buf[:] = b"soak!" * 2000
    connection.send(block)
    block.close()
    while True:
        try:
            counter.add(1)
        except OwnerDiedError:
            counter.get_lock().recover()
        else:
            added[0] += 1


def shared_memory(tally: Tally, seconds: float, dice: random.Random) -> None:
    """Those who make blocks and count in shared memory are killed."""
    context = get_context("fork")
    counter = Value("q", 0)
    counted = kills = 0
    for number in until(seconds):
        makers = []
        for who in range(3):
            name = f"mp-soak-{os.environ['MP_SOAK']}-{time.monotonic_ns()}"
            ours, theirs = Pipe()
            added = RawArray("q", 1)
            arguments = (name, theirs, counter, added)
            process = context.Process(target=make_block, args=arguments)
            process.start()
            theirs.close()
            makers.append((process, ours, added, who))
        time.sleep(dice.expovariate(50))
        for process, ours, added, who in makers:
            if who or number % 2:  # one may go on until its block is seen
                tally.kills += kill(process.pid)
            try:
                block = ours.recv(timeout=WAIT)
                if bytes(block.buf) != b"soak!" * 2000:
                    tally.lost("another content in a block")
                block.unlink()
                block.close()
            except GONE:
                pass
            process.kill()
            process.join(WAIT)
            process.close()
            ours.close()
            kills += 1
            counted += added[0]
            tally.operations += 1 + added[0]
    lock: Any = counter.get_lock()
    try:
        assert lock.acquire(timeout=WAIT)
    except OwnerDiedError:
        assert lock.recover()
    if not 0 <= counter.value - counted <= kills:
        tally.lost(f"{counter.value} in a counter to which {counted} was added")
    lock.release()


Scenario: TypeAlias = "Callable[[Tally, float, random.Random], None]"

SCENARIOS: dict[str, Scenario] = {
    **{f"pool {method}": partial(pools, method=method) for method in METHODS},
    "pools that end": lives,
    **{f"process {method}": partial(processes, method=method) for method in METHODS},
    "connections": connections,
    "locks": locks,
    "queues": queues,
    "managers": managers,
    "shared memory": shared_memory,
}
