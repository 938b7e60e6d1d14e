"""What goes beyond the standard library: batches, event loops, typed sharing, pools."""

from __future__ import annotations

import asyncio
import math
import pickle
import sys
from typing import Any

assert sys.platform == "linux"

import pytest
from mp_managers_targets import Calculator, Manager

from mp_connection import UnpicklableError
from mp_managers import (
    AsyncResultProxy,
    BaseManager,
    DictProxy,
    ListProxy,
    ManagerDiedError,
    RemoteError,
)


def test_a_batch(manager: Manager) -> None:
    numbers: ListProxy[Any] = manager.list([1, 2, 3])
    with numbers.batch() as batch:
        last = batch.pop()
        batch.append(4)
        first = batch[0]
        batch[0] = 9
        del batch[1]
        assert not last.done
        with pytest.raises(ValueError, match="not been sent"):
            last.result()
    assert (last.result(), first.result()) == (3, 1)
    assert numbers[:] == [9, 4]


def test_errors_in_a_batch_are_those_of_their_calls(manager: Manager) -> None:
    calculator = manager.Calculator()  # type: ignore[attr-defined]
    batch = calculator.batch()
    results = [
        batch.add(1),
        batch.fail("sad"),
        batch.unpicklable(),
        batch.call("_hidden"),
        batch.add(1),
    ]
    batch.send()
    assert results[0].result() == 1
    with pytest.raises(ValueError, match="sad"):
        results[1].result()
    with pytest.raises(RemoteError, match="not for pickling"):
        results[2].result()
    with pytest.raises(RemoteError, match="exposed"):
        results[3].result()
    assert results[4].result() == 2
    with pytest.raises(ValueError, match="sad"):
        fail_and_add(calculator)
    assert calculator.add(0) == 3


def fail_and_add(calculator: Any) -> None:
    with calculator.batch() as batch:
        batch.fail("sad")
        batch.add(1)


def test_a_batch_with_proxies(manager: Manager) -> None:
    parent = manager.Parent()  # type: ignore[attr-defined]
    with parent.batch() as batch:
        children = batch.children(3)
    assert children.result() is children.result()
    assert children.result()[:] == [0, 1, 2]
    numbers = manager.list([children.result()])
    with numbers.batch() as batch:
        inner = batch[0]
    inner.result().append(3)
    assert children.result()[:] == [0, 1, 2, 3]


def test_many_values_of_a_dict(manager: Manager) -> None:
    squares: DictProxy[int, int] = manager.dict({n: n * n for n in range(3000)})
    assert squares.get_many(range(3000)) == [n * n for n in range(3000)]
    assert squares.get_many([1, -1], default=-7) == [1, -7]
    with pytest.raises(KeyError):
        squares._callmany("__getitem__", [(1,), (-1,), (2,)])
    with pytest.raises(RemoteError):
        squares._callmany("__class__", [()])


def test_tasks_of_an_event_loop(manager: Manager) -> None:
    lock, numbers = manager.Lock(), manager.list()

    async def work(number: int) -> None:
        await lock._acallmethod("acquire")
        await numbers._acallmethod("append", (number,))
        await lock._acallmethod("release")

    async def main() -> None:
        await asyncio.gather(*(work(n) for n in range(20)))
        with pytest.raises(IndexError):
            await numbers._acallmethod("__getitem__", (99,))
        parent = manager.Parent()  # type: ignore[attr-defined]
        children = await parent._acallmethod("children", (2,))
        assert await children._acallmethod("copy") == [0, 1]

    asyncio.run(main())
    assert sorted(numbers) == list(range(20))
    close_idle(manager)


def close_idle(manager: Any) -> None:
    """Close the connections of tasks, which the session keeps for the next ones."""
    session = manager._session
    while session.idle:
        session.discard(session.idle.pop().connection)


def test_a_cancelled_task_acquires_nothing(manager: Manager) -> None:
    lock = manager.Lock()
    lock.acquire()

    async def main() -> None:
        task = asyncio.create_task(lock._acallmethod("acquire"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    lock.release()
    assert lock.acquire(timeout=20)
    lock.release()
    close_idle(manager)


def test_a_task_whose_manager_dies() -> None:
    async def main(manager: Manager) -> None:
        event = manager.Event()
        task = asyncio.create_task(event._acallmethod("wait"))
        await asyncio.sleep(0.05)
        assert manager._process is not None
        manager._process.kill()
        with pytest.raises(ManagerDiedError):
            await asyncio.wait_for(task, 20)

    with Manager() as manager:
        asyncio.run(main(manager))


class Typed(BaseManager):
    pass


@Typed.shared
class Counter:
    """A class that knows nothing of managers."""

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def up(self, by: int = 1) -> int:
        self.count += by
        return self.count


def test_classes_that_are_shared_by_decoration() -> None:
    with Typed() as manager:
        counter = manager.create(Counter, start=5)
        assert counter.up() == 6
        assert counter.up(by=2) == 8
        assert repr(counter).startswith("<AutoProxy[")
        with pytest.raises(TypeError, match=r"@Typed\.shared"):
            manager.create(Calculator)


class RefusedError(OSError):
    """With a constructor of its own."""

    def __init__(self, number: int, *, why: str = "") -> None:
        super().__init__(number, f"refused: {why}")
        self.why = why

    def __reduce__(self) -> tuple[Any, ...]:
        return refused, (self.args[0], self.why)


def refused(number: int, why: str) -> RefusedError:
    return RefusedError(number, why=why)


@Typed.shared
class Choosy:
    """Refuses to be made."""

    def __init__(self, kind: str) -> None:
        if kind == "own":
            raise refused(13, "of Choosy")
        raise {"value": ValueError, "key": KeyError, "system": SystemExit}[kind]("sad")


def test_what_is_raised_while_an_object_is_made_is_a_remote_error_too() -> None:
    with Typed() as manager:
        with pytest.raises(ValueError, match=r"^sad$") as caught:
            manager.create(Choosy, "value")
        error = caught.value
        assert isinstance(error, RemoteError)
        assert "in __init__" in error.text
        assert isinstance(error.__cause__, RemoteError)
        assert repr(error) == "ValueError('sad')"
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, ValueError)
        assert isinstance(again, RemoteError)
        assert (again.args, again.text) == (("sad",), error.text)
        with pytest.raises(RemoteError) as other:
            manager.create(Choosy, "own")
        assert isinstance(other.value, RefusedError)
        assert (other.value.errno, other.value.why) == (13, "of Choosy")
        assert str(other.value) == "[Errno 13] refused: of Choosy"
        with pytest.raises(RemoteError, match="SystemExit"):
            manager.create(Choosy, "system")
        with pytest.raises(UnpicklableError):  # which is nothing of the manager's
            manager.create(Choosy, lambda: None)  # type: ignore[arg-type]


def test_a_pool_in_a_manager(manager: Manager) -> None:
    with manager.Pool(1) as pool:
        assert pool.map(abs, range(-3, 0)) == [3, 2, 1]
        assert pool.apply(math.sqrt, (9,)) == 3
        assert pool.starmap(math.pow, [(2, 3)]) == [8]
        result = pool.apply_async(abs, (-1,))
        assert type(result) is AsyncResultProxy
        assert result.get(timeout=20) == 1
        assert result.successful()
        assert result.ready()
        assert not result.cancel()
        result.wait(20)
        assert pool.map_async(abs, [-1, -2]).get(timeout=20) == [1, 2]
        assert list(pool.imap(abs, [-1, -2])) == [1, 2]
        assert sorted(pool.imap_unordered(abs, [-1, -2])) == [1, 2]
        with pytest.raises(ValueError, match="math domain"):
            pool.apply(math.sqrt, (-1,))
    pool.join()


def test_plain_data_as_xml() -> None:
    with Manager(serializer="xmlrpclib") as manager:
        numbers = manager.list([1, 2])
        numbers.append(3)
        assert numbers._getvalue() == [1, 2, 3]
        table: DictProxy[str, Any] = manager.dict({"a": 1})
        table["b"] = [1.5, None, "text", True]
        assert table["b"] == [1.5, None, "text", True]
        assert table.items() == [["a", 1], ["b", [1.5, None, "text", True]]]
        with pytest.raises(RemoteError, match="KeyError"):
            table["z"]
        with pytest.raises(TypeError):
            numbers.append(object())  # type: ignore[arg-type]
        calculator = manager.Calculator()  # type: ignore[attr-defined]
        assert calculator.add(2) == 2
        with pytest.raises(RemoteError, match="sad"):
            calculator.fail("sad")
        with pytest.raises(RemoteError, match="exposed"):
            calculator._callmethod("_hidden")
        with manager.Lock():
            pass
        assert manager._number_of_objects() == 3
        del numbers
        assert manager._number_of_objects() == 2
