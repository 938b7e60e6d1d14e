"""Proxies: the manual's examples, nesting, exposed methods, errors, threads."""

from __future__ import annotations

import copy
import pickle
import queue
import sys
import threading
from typing import Any

assert sys.platform == "linux"

import pytest
from mp_managers_targets import (
    Calculator,
    CalculatorProxy,
    Manager,
    OddError,
    Poison,
    Unpicklable,
    forget_forks,
)

from mp_managers import (
    BaseProxy,
    DictProxy,
    ListProxy,
    ManagerDiedError,
    Namespace,
    ProcessError,
    RemoteError,
    Value,
)


def test_the_manuals_list(manager: Manager) -> None:
    numbers = manager.list([i * i for i in range(10)])
    assert str(numbers) == "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]"
    assert repr(numbers).startswith("<ListProxy object, typeid 'list' at 0x")
    assert numbers[4] == 16
    assert numbers[2:5] == [4, 9, 16]
    plain: object = [1, 2, 3]
    assert (manager.list([1, 2, 3]) == plain) is False


def test_the_manuals_callmethod(manager: Manager) -> None:
    numbers = manager.list(range(10))
    assert numbers._callmethod("__len__") == 10
    assert numbers._callmethod("__getitem__", (slice(2, 7),)) == [2, 3, 4, 5, 6]
    with pytest.raises(IndexError, match="list index out of range") as caught:
        numbers._callmethod("__getitem__", (20,))
    assert isinstance(caught.value.__cause__, RemoteError)
    assert "Traceback" in str(caught.value.__cause__)


def test_the_manuals_nesting(manager: Manager) -> None:
    a, b = manager.list(), manager.list()
    a.append(b)
    assert str(a).startswith("[<ListProxy object, typeid 'list' at ")
    b.append("hello")
    assert str(a[0]) == "['hello']"
    assert str(b) == "['hello']"
    outer = manager.list([manager.dict() for _ in range(2)])
    first = outer[0]
    first["a"] = 1
    first["b"] = 2
    outer[1]["c"] = 3
    outer[1]["z"] = 26
    assert str(outer[0]) == "{'a': 1, 'b': 2}"
    assert str(outer[1]) == "{'c': 3, 'z': 26}"


def test_the_manuals_namespace(manager: Manager) -> None:
    shared = manager.Namespace()
    shared.x = 10
    shared.y = "hello"
    shared._z = 12.3
    assert str(shared) == "Namespace(x=10, y='hello')"
    assert shared._z == 12.3
    del shared.x
    with pytest.raises(AttributeError):
        shared.x  # noqa: B018
    value = shared._getvalue()
    assert type(value) is Namespace
    assert value.y == "hello"


def test_what_is_stored_is_a_copy(manager: Manager) -> None:
    outer: ListProxy[dict[str, int]] = manager.list([{}])
    inner = outer[0]
    inner["a"] = 1
    assert outer[0] == {}
    outer[0] = inner
    assert outer[0] == {"a": 1}


def test_a_class_of_ones_own(manager: Manager) -> None:
    calculator = manager.Calculator(5)  # type: ignore[attr-defined]
    assert repr(calculator).startswith(
        "<AutoProxy[Calculator] object, typeid 'Calculator' at 0x"
    )
    assert calculator.add(3) == 8
    assert calculator.add(number=2) == 10
    assert type(calculator._getvalue()) is Calculator


def test_a_method_that_is_not_exposed(manager: Manager) -> None:
    calculator = manager.Calculator()  # type: ignore[attr-defined]
    for name in ("_hidden", "nothing", "__init__", "__class__"):
        with pytest.raises(RemoteError, match=name):
            calculator._callmethod(name)
    typed = manager.Typed()  # type: ignore[attr-defined]
    assert isinstance(typed, CalculatorProxy)
    assert typed.hidden() == "seen"
    with pytest.raises(RemoteError):
        typed._callmethod("pid")


def test_a_type_that_is_not_registered(manager: Manager) -> None:
    with pytest.raises(RemoteError, match="nonesuch"):
        manager._create("nonesuch")


def test_results_that_are_proxies(manager: Manager) -> None:
    parent = manager.Parent()  # type: ignore[attr-defined]
    children = parent.children(3)
    assert isinstance(children, ListProxy)
    children.append("more")
    assert children[:] == [0, 1, 2, "more"]


def test_a_generator(manager: Manager) -> None:
    numbers = manager.count_to(3)  # type: ignore[attr-defined]
    assert [numbers.__next__() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StopIteration):
        numbers.__next__()


def test_errors_are_themselves(manager: Manager) -> None:
    calculator = manager.Calculator()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="sad") as caught:
        calculator.fail("sad")
    assert "in fail" in str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, ProcessError)
    with pytest.raises(TypeError):
        calculator.add()
    with pytest.raises(RemoteError, match="SystemExit"):
        calculator.leave()
    with pytest.raises(RemoteError, match="OddError"):
        calculator.fail_oddly()
    assert issubclass(OddError, Exception)
    assert calculator.add(1) == 1


def test_errors_of_constructors_are_themselves(manager: Manager) -> None:
    with pytest.raises(TypeError):
        manager.Calculator(1, 2, 3)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="semaphore"):
        manager.Semaphore(-1)


def test_what_cannot_travel_costs_one_call(manager: Manager) -> None:
    calculator = manager.Calculator()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="not for pickling"):
        calculator.take(Unpicklable())
    with pytest.raises(RemoteError, match="boom"):
        calculator.take(Poison())
    with pytest.raises(RemoteError, match="not for pickling"):
        calculator.unpicklable()
    with pytest.raises(ValueError, match="boom"):
        calculator.poison()
    assert calculator.add(1) == 1


def test_a_referent_that_cannot_be_printed(manager: Manager) -> None:
    grim = manager.Grim()  # type: ignore[attr-defined]
    assert str(grim).endswith("'__str__()' failed: RuntimeError>")
    assert repr(grim).startswith("<AutoProxy[Grim] object")
    assert grim.fine() == "fine"
    assert "its repr raises RuntimeError" in manager._debug_info()


def test_locks(manager: Manager) -> None:
    for lock in (manager.Lock(), manager.RLock(), manager.Semaphore()):
        assert lock.acquire()
        lock.release()
        with lock:
            pass
    lock = manager.Lock()
    with lock:
        assert lock.acquire(False) is False
        assert lock.acquire(True, 0.01) is False
    with pytest.raises(RuntimeError):
        lock.release()
    bounded = manager.BoundedSemaphore(1)
    with pytest.raises(ValueError, match="too many"):
        bounded.release()


def test_an_rlock_is_held_by_a_thread(manager: Manager) -> None:
    lock = manager.RLock()
    outcome = []
    with lock, lock:
        thread = threading.Thread(target=lambda: outcome.append(lock.acquire(False)))
        thread.start()
        thread.join()
    assert outcome == [False]
    with lock:
        pass


def test_conditions(manager: Manager) -> None:
    lock = manager.Lock()
    condition = manager.Condition(lock)
    with condition:
        assert lock.acquire(False) is False
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: 0, 0.01) == 0
    seen = []

    def waiter() -> None:
        with condition:
            seen.append("waits")
            condition.wait_for(lambda: "go" in seen, 20)
            seen.append("went")

    thread = threading.Thread(target=waiter)
    thread.start()
    while "waits" not in seen:
        pass
    with condition:
        seen.append("go")
        condition.notify_all()
    thread.join()
    assert seen == ["waits", "go", "went"]


def test_events_and_barriers(manager: Manager) -> None:
    event = manager.Event()
    assert not event.is_set()
    assert event.wait(0.01) is False
    event.set()
    assert event.is_set()
    assert event.wait() is True
    event.clear()
    barrier = manager.Barrier(2)
    places = []
    thread = threading.Thread(target=lambda: places.append(barrier.wait(20)))
    thread.start()
    places.append(barrier.wait(20))
    thread.join()
    assert sorted(places) == [0, 1]
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (2, 0, False)
    barrier.abort()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken


@pytest.mark.parametrize("name", ["Queue", "JoinableQueue"])
def test_queues(manager: Manager, name: str) -> None:
    items = getattr(manager, name)(2)
    items.put(1)
    items.put_nowait(2)
    assert items.full()
    assert items.qsize() == 2
    with pytest.raises(queue.Full):
        items.put(3, timeout=0.01)
    with pytest.raises(queue.Full):
        items.put_nowait(3)
    assert [items.get(), items.get_nowait()] == [1, 2]
    with pytest.raises(queue.Empty):
        items.get(False)
    with pytest.raises(queue.Empty):
        items.get(timeout=0.01)
    items.task_done()
    items.task_done()
    items.join()
    with pytest.raises(ValueError, match="too many"):
        items.task_done()


def test_values_and_arrays(manager: Manager) -> None:
    value = manager.Value("i", 3)
    value.value += 1
    assert value.value == value.get() == 4
    assert str(value) == "Value('i', 4)"
    copied = value._getvalue()
    assert type(copied) is Value
    assert copied.value == 4
    array = manager.Array("i", [1, 2, 3])
    array[0] = 9
    assert array[0] == 9
    assert len(array) == 3
    assert list(array) == [9, 2, 3]
    assert array[1:].tolist() == [2, 3]
    assert str(array) == "array('i', [9, 2, 3])"


def test_pickles_and_copies(manager: Manager) -> None:
    numbers = manager.list([1, 2])
    for proxy in (pickle.loads(pickle.dumps(numbers)), copy.copy(numbers)):
        assert isinstance(proxy, ListProxy)
        assert proxy is not numbers
        proxy.append(3)
    assert numbers[:] == [1, 2, 3, 3]
    copied: Any = copy.deepcopy(numbers)
    assert copied == [1, 2, 3, 3]
    calculator = manager.Calculator(1)  # type: ignore[attr-defined]
    twin: Any = pickle.loads(pickle.dumps(calculator))
    assert twin.add(1) == 2
    assert calculator.add(1) == 3
    assert repr(twin).startswith("<AutoProxy[Calculator] object")


def test_a_proxy_of_an_earlier_manager_is_refused(
    manager: Manager, tmp_path: Any
) -> None:
    address = str(tmp_path / "socket")
    first = Manager(address)
    first.start()
    numbers = first.list([1])
    saved = pickle.dumps(numbers)
    first.shutdown()
    with Manager(address) as second:
        others = second.list([2])
        with pytest.raises(ManagerDiedError):
            numbers.append(3)
        arrived = pickle.loads(saved)
        with pytest.raises(ManagerDiedError):
            arrived.append(3)
        assert others[:] == [2]
    forget_forks(manager)


def test_a_proxy_is_used_from_many_threads(manager: Manager) -> None:
    numbers, table = manager.list(), manager.dict()
    lock = manager.Lock()

    def work(number: int) -> None:
        for i in range(50):
            numbers.append((number, i))
            with lock:
                table["n"] = table.get("n", 0) + 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table["n"] == 400
    assert sorted(numbers) == [(n, i) for n in range(8) for i in range(50)]
    for n in range(8):
        assert [i for m, i in numbers if m == n] == list(range(50))


def test_a_call_within_a_call(manager: Manager) -> None:
    """Whoever is pickled may call the same manager meanwhile."""
    numbers: ListProxy[Any] = manager.list([1])

    class Busy:
        def __reduce__(self) -> tuple[object, ...]:
            return int, (len(numbers),)

    numbers.append(Busy())
    assert numbers[:] == [1, 1]


def test_proxies_are_of_their_classes(manager: Manager) -> None:
    assert isinstance(manager.dict(), DictProxy)
    for proxy in (manager.Lock(), manager.Queue(), manager.Namespace()):
        assert isinstance(proxy, BaseProxy)
        assert type(proxy).__module__ == "mp_managers"
