"""Managers and clients of the standard library of other Pythons, both ways.

`MP_INTEROP_PYTHONS` lists interpreters to use instead of those that are found,
separated by colons; `MP_INTEROP_MINIMUM` says how many there have to be (2, and none
if it is empty).
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

assert sys.platform == "linux"

import pytest

from mp_connection import AuthenticationError
from mp_managers import (
    BaseProxy,
    DictProxy,
    ListProxy,
    ManagerDiedError,
    Namespace,
    RemoteError,
    SyncManager,
)

KEY = b"the key of both"
SUPPORTED = [(3, minor) for minor in range(8, 16)]

# What the other Python runs: a server for each family, and on demand a client of ours.
PEER = r"""
import multiprocessing as mp, queue, sys, threading
from multiprocessing.managers import BaseManager, RemoteError, SyncManager
key = sys.argv[1].encode()
mp.current_process().authkey = key
shared = queue.Queue()
class Thing:
    def __init__(self, start=0): self.total = start
    def add(self, n): self.total += n; return self.total
    def fail(self): raise ValueError("sad")
    def lambdas(self): return lambda: 1
    def echo(self, x): return x
    def numbers(self): return [1, 2]
    def _hidden(self): pass
class Server(SyncManager): pass
Server.register("Thing", Thing)
Server.register("Parent", Thing, exposed=("add",), method_to_typeid={"numbers": "list"})
Server.register("get_queue", callable=lambda: shared)
class Client(SyncManager): pass
for name in "Thing", "Parent", "get_queue": Client.register(name)

def check(address):
    manager = Client(address, authkey=key)
    manager.connect()
    before = manager._number_of_objects()
    numbers, table = manager.list([1, 2]), manager.dict(a=1)
    numbers.append(table)
    numbers[2]["b"] = 2
    assert table.copy() == {"a": 1, "b": 2}, table.copy()
    assert sorted(table.keys()) == ["a", "b"] and sorted(table.values()) == [1, 2]
    assert sorted(table.items()) == [("a", 1), ("b", 2)]
    assert len(numbers) == 3 and numbers[:2] == [1, 2] and str(numbers[:2]) == "[1, 2]"
    assert sorted(table) == ["a", "b"], "iteration"
    numbers += [4]
    numbers *= 2
    assert len(numbers) == 8
    del numbers[4:]
    assert "DictProxy" in repr(numbers[2]) and "DictProxy" in str(numbers)
    table["list"] = numbers
    table["list"].extend([5])
    assert numbers[-1] == 5
    table.pop("list")
    values = numbers._getvalue()
    assert values[0] == 1 and values[2]["a"] == 1
    thing = manager.Thing(5)
    assert thing.add(1) == 6 and thing.add(n=1) == 7
    numbers[0] = thing
    assert numbers[0].add(1) == 8 and thing.add(1) == 9
    assert thing.echo(thing).add(1) == 10
    for call, kind in (
        (thing.fail, ValueError), (thing.lambdas, RemoteError),
        (lambda: thing._callmethod("_hidden"), RemoteError),
        (lambda: numbers[100], IndexError), (lambda: table["z"], KeyError),
        (lambda: manager._create("nonesuch"), RemoteError),
        (lambda: thing.echo(lambda: 1), Exception),
    ):
        try: call()
        except kind as error: pass
        else: raise AssertionError((call, kind))
    parent = manager.Parent()
    children = parent._callmethod("numbers")
    assert children[:] == [1, 2] and "ListProxy" in repr(children)
    children.append(3)
    space = manager.Namespace(x=1)
    space.y = 2
    assert (space.x, space.y, str(space)) == (1, 2, "Namespace(x=1, y=2)")
    assert space._getvalue().y == 2
    value, array = manager.Value("i", 3), manager.Array("i", [1, 2])
    value.value += 1
    array[0] = 7
    assert value.value == 4 and list(array[:]) == [7, 2] and len(array) == 2
    assert value._getvalue().value == 4
    lock = manager.RLock()
    with lock, lock: pass
    condition = manager.Condition(lock)
    with condition:
        condition.notify_all()
        assert not condition.wait(0.01)
    event = manager.Event()
    event.set()
    assert event.wait(1) and event.is_set()
    barrier = manager.Barrier(1)
    assert barrier.wait() == 0 and barrier.parties == 1 and not barrier.broken
    semaphore = manager.BoundedSemaphore(1)
    with semaphore: assert semaphore.acquire(False) is False
    items = manager.Queue()
    items.put((1, numbers))
    assert items.get()[1][1] == 2 and items.empty()
    try: items.get(False)
    except queue.Empty: pass
    manager.get_queue().put("from %d.%d" % sys.version_info[:2])
    def work():
        for i in range(20): children.append(i)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert len(children) == 63
    numbers[:] = []
    table.clear()
    del numbers, table, thing, parent, children, space, value, array, lock, condition
    del event, barrier, semaphore, items, values, threads, work, call, kind
    import gc; gc.collect()
    left = manager._number_of_objects() - before
    assert left == 0, (left, manager._debug_info())

if __name__ == "__main__":
    for address in None, ("127.0.0.1", 0):
        server = Server(address, authkey=key).get_server()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(repr(server.address), flush=True)
    for line in sys.stdin:
        try: check(eval(line))
        except BaseException:
            import traceback
            print(repr(traceback.format_exc()), flush=True)
        else: print("'done'", flush=True)
"""


def pythons() -> dict[str, str]:
    """The interpreters of other versions, by version."""
    given = os.environ.get("MP_INTEROP_PYTHONS")
    if given is not None:
        candidates = [Path(path) for path in given.split(":") if path]
    else:
        candidates = sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))
        for minor in range(8, 16):
            candidates.append(Path(f"/usr/bin/python3.{minor}"))
            candidates.append(Path(f"/usr/local/bin/python3.{minor}"))
    found: dict[str, str] = {}
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in candidates:
        if not path.exists():
            continue
        done = subprocess.run(
            [path, "-c", code], capture_output=True, text=True, check=False
        )
        version = done.stdout.strip()
        if tuple(map(int, version.split("."))) in SUPPORTED:
            found.setdefault(version, str(path))
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))


PYTHONS = pythons()
# Over TCP, where each connection of theirs costs a delay of 40 ms, only the newest.
CASES = [(python, "AF_UNIX") for python in PYTHONS]
CASES += [(python, "AF_INET") for python in list(PYTHONS)[-1:]]
both_ways = pytest.mark.parametrize(
    ("peer", "family"),
    CASES or [pytest.param("", "", marks=pytest.mark.skip)],
    indirect=["peer"],
)


class Peer:
    """Another Python at work."""

    def __init__(self, python: str) -> None:
        environment = {k: v for k, v in os.environ.items() if "PYTHON" not in k}
        self.process = subprocess.Popen(
            [python, "-c", PEER, KEY.decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.addresses = {"AF_UNIX": self.line(), "AF_INET": self.line()}

    def line(self) -> Any:
        assert self.process.stdout is not None
        return eval(self.process.stdout.readline() or "'it has ended'")

    def check(self, address: object) -> Any:
        """Let it be a client of ours, and tell how that went."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{address!r}\n")
        self.process.stdin.flush()
        return self.line()


@pytest.fixture(scope="module")
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    peer = Peer(PYTHONS[request.param])
    yield peer
    peer.process.kill()
    peer.process.communicate()


class Thing:
    def __init__(self, start: int = 0) -> None:
        self.total = start

    def add(self, n: int) -> int:
        self.total += n
        return self.total

    def fail(self) -> None:
        raise ValueError("sad")

    def lambdas(self) -> object:
        return lambda: 1

    def echo(self, x: object) -> object:
        return x

    def numbers(self) -> list[int]:
        return [1, 2]

    def _hidden(self) -> None:
        pass


class Client(SyncManager):
    pass


for _name in ("Thing", "Parent", "get_queue"):
    Client.register(_name)


def test_enough_pythons_were_found(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\ninterop with {', '.join(PYTHONS) or 'nothing'}", end=" ")
    minimum = os.environ.get("MP_INTEROP_MINIMUM", "2")
    assert len(PYTHONS) >= int(minimum or 0), "MP_INTEROP_MINIMUM asks for more"


@both_ways
def test_their_client_and_our_server(peer: Peer, family: str) -> None:
    shared: queue.Queue[str] = queue.Queue()

    class Server(SyncManager):
        pass

    Server.register("Thing", Thing)
    Server.register(
        "Parent", Thing, exposed=("add",), method_to_typeid={"numbers": "list"}
    )
    Server.register("get_queue", callable=lambda: shared)
    address = None if family == "AF_UNIX" else ("127.0.0.1", 0)
    server = Server(address, authkey=KEY).get_server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert peer.check(server.address) == "done"
        assert shared.get(timeout=20).startswith("from 3.")
    finally:
        server.stop()
        thread.join()


def try_to_acquire(lock: Any, outcome: list[bool]) -> None:
    outcome.append(lock.acquire(False))


@both_ways
def test_our_client_and_their_server(peer: Peer, family: str) -> None:
    manager: Any = Client(peer.addresses[family], authkey=KEY)
    manager.connect()
    before = manager._number_of_objects()
    numbers, table = manager.list([1, 2]), manager.dict(a=1)
    assert type(numbers) is ListProxy
    numbers.append(table)
    inner = numbers[2]
    assert type(inner) is DictProxy
    inner["b"] = 2
    assert table.copy() == {"a": 1, "b": 2}
    assert sorted(table.items()) == [("a", 1), ("b", 2)]
    assert sorted(table) == ["a", "b"]
    assert table | {"c": 3} == {"a": 1, "b": 2, "c": 3}
    numbers += [4]
    numbers *= 2
    assert len(numbers) == 8
    del numbers[4:]
    assert next(iter(reversed(numbers))) == list(numbers)[-1] == 4
    assert str(numbers).startswith("[1, 2, <DictProxy object")
    table["list"] = numbers
    table["list"].extend(iter([5]))
    assert numbers[-1] == 5
    table.pop("list")
    assert numbers._getvalue()[2]["a"] == 1
    thing = manager.Thing(5)
    assert thing.add(1) == 6
    assert thing.add(n=1) == 7
    with pytest.raises(ValueError, match="sad"):
        thing.fail()
    with pytest.raises(RemoteError):
        thing.lambdas()
    with pytest.raises(RemoteError):
        thing._callmethod("_hidden")
    with pytest.raises(RemoteError):
        manager._create("nonesuch")
    with pytest.raises(IndexError):
        numbers[100]
    children = manager.Parent()._callmethod("numbers")
    assert type(children) is ListProxy
    children.append(3)
    assert children[:] == [1, 2, 3]
    space = manager.Namespace(x=1)
    space.y = 2
    assert str(space) == "Namespace(x=1, y=2)"
    assert type(space._getvalue()) is Namespace
    value, array = manager.Value("i", 3), manager.Array("i", [1, 2])
    value.value += 1
    array[0] = 7
    assert value.value == value._getvalue().value == 4
    assert list(array) == [7, 2]
    lock = manager.RLock()
    with lock, lock:
        outcome: list[bool] = []
        other = threading.Thread(target=try_to_acquire, args=(lock, outcome))
        other.start()
        other.join()
        assert outcome == [False]
    condition = manager.Condition(manager.Lock())
    with condition:
        condition.notify_all()
        assert not condition.wait(0.01)
    event = manager.Event()
    event.set()
    assert event.wait(1)
    barrier = manager.Barrier(1)
    assert barrier.wait() == 0
    assert barrier.parties == 1
    with manager.BoundedSemaphore(1) as held:
        assert held is True
    items = manager.Queue()
    items.put((1, numbers))
    assert items.get()[1][1] == 2
    with pytest.raises(queue.Empty):
        items.get(False)
    manager.get_queue().put("hello")
    assert manager.get_queue().get() == "hello"
    assert all(isinstance(proxy, BaseProxy) for proxy in (lock, event, items, space))
    with pytest.raises(AuthenticationError):
        Client(peer.addresses[family], authkey=b"wrong").connect()
    numbers[:] = []
    del numbers, table, inner, thing, children, space, value, array, lock, condition
    del event, barrier, items, other
    assert manager._number_of_objects() <= before, manager._debug_info()


@pytest.mark.parametrize("python", list(PYTHONS)[-1:])
def test_their_server_dies(python: str) -> None:
    peer = Peer(PYTHONS[python])
    manager: Any = Client(peer.addresses["AF_UNIX"], authkey=KEY)
    manager.connect()
    numbers = manager.list([1])
    numbers.append(1)
    peer.process.kill()
    peer.process.communicate()
    for _ in range(2):
        with pytest.raises(ManagerDiedError):
            numbers.append(1)
