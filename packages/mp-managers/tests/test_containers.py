"""Lists, dicts and sets in a manager do what those of Python do."""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping, MutableSequence, MutableSet
from typing import Any

assert sys.platform == "linux"

import pytest
from mp_managers_targets import Manager

from mp_managers import ListProxy


def test_list(manager: Manager) -> None:
    shared, plain = manager.list("banana"), list("banana")
    assert issubclass(type(shared), MutableSequence)
    assert len(shared) == 6
    assert shared[1] == "a"
    assert shared[-2:] == ["n", "a"]
    assert "b" in shared
    assert "z" not in shared
    assert list(shared) == plain
    assert list(reversed(shared)) == plain[::-1]
    assert shared + ["x"] == [*plain, "x"]  # noqa: RUF005
    assert shared * 2 == 2 * shared == plain * 2
    assert shared.count("a") == 3
    assert shared.index("n") == 2
    assert shared.index("n", 3) == 4
    changes: list[Callable[[Any], object]] = [
        lambda x: x.append("c"),
        lambda x: x.extend(iter("de")),
        lambda x: x.insert(1, "f"),
        lambda x: x.remove("a"),
        lambda x: x.pop(),
        lambda x: x.pop(0),
        lambda x: x.sort(),
        lambda x: x.sort(key=str.upper, reverse=True),
        lambda x: x.reverse(),
        lambda x: x.__setitem__(0, "g"),
        lambda x: x.__setitem__(slice(1, 3), ["h", "i", "j"]),
        lambda x: x.__delitem__(0),
        lambda x: x.__delitem__(slice(0, 2)),
    ]
    for change in changes:
        outcomes = [change(shared), change(plain)]
        assert outcomes[0] == outcomes[1]
        assert shared[:] == shared.copy() == plain
    same = shared
    same += "kl"
    same *= 2
    assert same is shared
    assert shared[:] == [*plain, "k", "l"] * 2
    shared.clear()
    assert shared[:] == []
    assert not shared
    with pytest.raises(IndexError):
        shared.pop()
    with pytest.raises(ValueError, match="remove"):
        shared.remove("z")


def test_iterating_a_long_list(manager: Manager) -> None:
    shared: ListProxy[Any] = manager.list(range(2500))
    seen = []
    for item in shared:
        if item == 2400:
            shared.append("more")
        seen.append(item)
    assert seen == [*range(2500), "more"]


def test_dict(manager: Manager) -> None:
    shared, plain = manager.dict({"a": 1}, b=2), {"a": 1, "b": 2}
    assert issubclass(type(shared), MutableMapping)
    assert len(shared) == 2
    assert shared["a"] == 1
    assert "a" in shared
    assert 1 not in shared
    assert list(shared) == list(plain)
    assert list(reversed(shared)) == ["b", "a"]
    assert shared.get("a") == 1
    assert shared.get("z") is None
    assert shared.get("z", 3) == 3
    assert shared.copy() == plain
    assert dict(shared) == plain
    assert {**shared} == plain
    assert shared.keys() == ["a", "b"]
    assert shared.values() == [1, 2]
    assert shared.items() == [("a", 1), ("b", 2)]
    assert shared | {"c": 3} == {"a": 1, "b": 2, "c": 3}
    assert {"a": 0, "c": 3} | shared == {"a": 1, "c": 3, "b": 2}
    assert shared | manager.dict(b=5) == {"a": 1, "b": 5}
    with pytest.raises(TypeError):
        shared | [1]  # type: ignore[operator]
    assert shared.fromkeys(["x"], 0) == {"x": 0}
    changes: list[Callable[[Any], object]] = [
        lambda x: x.__setitem__("c", 3),
        lambda x: x.__delitem__("a"),
        lambda x: x.setdefault("c"),
        lambda x: x.setdefault("d", 4),
        lambda x: x.pop("d"),
        lambda x: x.pop("z", "default"),
        lambda x: x.update({"e": 5}, f=6),
        lambda x: x.update([("g", 7)]),
        lambda x: x.popitem(),
    ]
    for change in changes:
        outcomes = [change(shared), change(plain)]
        assert outcomes[0] == outcomes[1]
        assert shared.copy() == plain
    same = shared
    same |= {"h": 8}
    assert same is shared
    assert shared["h"] == 8
    shared.clear()
    assert not shared
    for call in (
        lambda: shared["z"],
        lambda: shared.pop("z"),
        shared.popitem,
        lambda: shared.__delitem__("z"),
    ):
        with pytest.raises(KeyError):
            call()


def test_set(manager: Manager) -> None:
    shared, plain = manager.set([1, 2, 3]), {1, 2, 3}
    assert issubclass(type(shared), MutableSet)
    assert len(shared) == 3
    assert 1 in shared
    assert 9 not in shared
    assert set(shared) == shared.copy() == plain
    for other in ({2, 9}, manager.set({2, 9})):
        mine: Any = {2, 9}
        assert shared | other == plain | mine
        assert shared & other == plain & mine
        assert shared - other == plain - mine
        assert shared ^ other == plain ^ mine
        assert other - shared == mine - plain
        assert shared.union(other) == plain.union(mine)
        assert shared.difference(other) == plain.difference(mine)
        assert shared.intersection(other) == plain.intersection(mine)
        assert shared.symmetric_difference(other) == plain.symmetric_difference(mine)
        assert not shared.isdisjoint(other)
        assert not shared.issuperset(other)
    assert shared <= {1, 2, 3}
    assert shared < {1, 2, 3, 4}
    assert shared >= {1}
    assert shared > {1}
    assert shared.issubset({1, 2, 3})
    changes: list[Callable[[Any], object]] = [
        lambda x: x.add(4),
        lambda x: x.discard(9),
        lambda x: x.remove(4),
        lambda x: x.update({5}, iter([6])),
        lambda x: x.difference_update([5]),
        lambda x: x.intersection_update([1, 2, 3, 6]),
        lambda x: x.symmetric_difference_update([6, 7]),
        lambda x: x.__ior__({8}),
        lambda x: x.__isub__({8}),
        lambda x: x.__iand__({1, 2, 3}),
        lambda x: x.__ixor__({3, 4}),
    ]
    for change in changes:
        change(shared)
        change(plain)
        assert shared.copy() == plain
    assert shared.pop() in plain
    shared.clear()
    assert not shared
    with pytest.raises(KeyError):
        shared.remove(1)
