"""What mypy says of managers and proxies.  Checked, never run."""

from __future__ import annotations

from typing import Any, assert_type

from mp_managers import (
    AcquirerProxy,
    ArrayProxy,
    AsyncResultProxy,
    BaseManager,
    BaseProxy,
    DictProxy,
    IteratorProxy,
    ListProxy,
    NamespaceProxy,
    QueueProxy,
    SetProxy,
    SyncManager,
    ValueProxy,
)


class MyManager(BaseManager):
    pass


@MyManager.shared
class Counter:
    def __init__(self, start: int = 0) -> None:
        self.count = start

    def up(self, by: int = 1) -> int:
        return self.count + by


def shared_classes(manager: MyManager) -> None:
    counter = manager.create(Counter, start=3)
    assert_type(counter.up(), int)
    assert_type(counter.up(by=2), int)
    counter.up("two")  # type: ignore[arg-type]
    counter.down()  # type: ignore[attr-defined]
    manager.create(Counter, "three")  # type: ignore[arg-type]


def containers(manager: SyncManager) -> None:
    numbers = manager.list([1])
    assert_type(numbers, ListProxy[int])
    assert_type(numbers[0], int)
    assert_type(numbers[1:], list[int])
    assert_type(numbers.pop(), int)
    numbers.append("text")  # type: ignore[arg-type]
    for number in numbers:
        assert_type(number, int)
    table = manager.dict({"a": 1.5})
    assert_type(table, DictProxy[str, float])
    assert_type(manager.dict(a=1), DictProxy[str, int])
    assert_type(manager.dict([(1, "x")]), DictProxy[int, str])
    assert_type(table["a"], float)
    assert_type(table.get("a"), float | None)
    assert_type(table.items(), list[tuple[str, float]])
    assert_type(table | {"b": 2.0}, dict[str, float])
    table[1] = 2.0  # type: ignore[index]
    assert_type(manager.set([1]), SetProxy[int])
    nested: ListProxy[DictProxy[str, int]] = manager.list([manager.dict(a=1)])
    assert_type(nested[0]["a"], int)


def the_rest(manager: SyncManager) -> None:
    assert_type(manager.Lock(), AcquirerProxy)
    assert_type(manager.RLock().acquire(), bool)
    assert_type(manager.Value("i", 3), ValueProxy[int])
    assert_type(manager.Value("i", 3).value, int)
    assert_type(manager.Array("i", [1]), ArrayProxy[int])
    assert_type(manager.Namespace(), NamespaceProxy)
    queue: QueueProxy[str] = manager.Queue()
    assert_type(queue.get(), str)
    queue.put(3)  # type: ignore[arg-type]
    assert_type(manager.Event().wait(1), bool)
    pool = manager.Pool(2)
    assert_type(pool.map(abs, [1]), list[int])
    assert_type(pool.apply_async(len, ("",)), AsyncResultProxy[int])
    assert_type(pool.map_async(len, [""]).get(1), list[int])
    assert_type(pool.starmap_async(divmod, [(1, 2)]).ready(), bool)
    assert_type(pool.imap(len, [""]), IteratorProxy[int])
    assert_type(next(pool.imap_unordered(len, [""])), int)
    proxy: BaseProxy = manager.Lock()
    value: Any = proxy._callmethod("acquire")
    assert value
