"""Proxies of lists, dicts and sets."""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence, MutableSet

from mp_managers._proxy import BaseProxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, ClassVar, Generic, Self, SupportsIndex, TypeVar, overload

    from _typeshed import SupportsKeysAndGetItem

    T = TypeVar("T")
    K = TypeVar("K")
    V = TypeVar("V")
    D = TypeVar("D")
else:
    from mp_managers._generic import Generic

    T = K = V = None

#: Items that one round trip of an iteration fetches.
_CHUNK = 1000


class ListProxy(BaseProxy, Generic[T]):
    """A list in a manager, with all that a list can do but compare.

    Iterating fetches items in large steps; as with a list, what is appended meanwhile
    comes too.
    """

    _exposed_ = (
        "__add__", "__contains__", "__delitem__", "__getitem__", "__imul__", "__len__",
        "__mul__", "__reversed__", "__rmul__", "__setitem__", "append", "clear", "copy",
        "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort",
    )  # fmt: skip

    def __len__(self) -> int:
        return self._callmethod("__len__")  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: SupportsIndex, /) -> T: ...

        @overload
        def __getitem__(self, index: slice, /) -> list[T]: ...

    def __getitem__(self, index: Any, /) -> Any:
        return self._callmethod("__getitem__", (index,))

    if TYPE_CHECKING:

        @overload
        def __setitem__(self, index: SupportsIndex, value: T, /) -> None: ...

        @overload
        def __setitem__(self, index: slice, value: Iterable[T], /) -> None: ...

    def __setitem__(self, index: Any, value: Any, /) -> None:
        return self._callmethod("__setitem__", (index, value))  # type: ignore[no-any-return]

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        return self._callmethod("__delitem__", (index,))  # type: ignore[no-any-return]

    def __contains__(self, item: object) -> bool:
        return self._callmethod("__contains__", (item,))  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[T]:
        begin = 0
        while items := self[begin : begin + _CHUNK]:
            yield from items
            begin += len(items)

    def __reversed__(self) -> Iterator[T]:
        return reversed(self[:])

    def __add__(self, other: list[T], /) -> list[T]:
        return self._callmethod("__add__", (other,))  # type: ignore[no-any-return]

    def __mul__(self, number: SupportsIndex, /) -> list[T]:
        return self._callmethod("__mul__", (number,))  # type: ignore[no-any-return]

    __rmul__ = __mul__

    def __iadd__(self, values: Iterable[T], /) -> Self:
        self.extend(values)
        return self

    def __imul__(self, number: SupportsIndex, /) -> Self:
        self._callmethod("__imul__", (number,))
        return self

    def append(self, item: T, /) -> None:
        """Add an item at the end."""
        return self._callmethod("append", (item,))  # type: ignore[no-any-return]

    def extend(self, items: Iterable[T], /) -> None:
        """Add items at the end."""
        if not isinstance(items, (list, tuple, BaseProxy)):
            items = list(items)
        return self._callmethod("extend", (items,))  # type: ignore[no-any-return]

    def insert(self, index: SupportsIndex, item: T, /) -> None:
        """Add an item before *index*."""
        return self._callmethod("insert", (index, item))  # type: ignore[no-any-return]

    def pop(self, index: SupportsIndex = -1, /) -> T:
        """Remove and return an item."""
        return self._callmethod("pop", (index,))  # type: ignore[no-any-return]

    def remove(self, item: T, /) -> None:
        """Remove the first item that equals *item*."""
        return self._callmethod("remove", (item,))  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Remove all items."""
        return self._callmethod("__delitem__", (slice(None),))  # type: ignore[no-any-return]

    def copy(self) -> list[T]:
        """A list of the items."""
        return self[:]

    def count(self, item: T, /) -> int:
        """How many items equal *item*."""
        return self._callmethod("count", (item,))  # type: ignore[no-any-return]

    def index(self, item: T, *limits: SupportsIndex) -> int:
        """Where the first item that equals *item* is."""
        return self._callmethod("index", (item, *limits))  # type: ignore[no-any-return]

    def reverse(self) -> None:
        """Reverse the order of the items."""
        return self._callmethod("reverse")  # type: ignore[no-any-return]

    def sort(
        self, *, key: Callable[[T], Any] | None = None, reverse: bool = False
    ) -> None:
        """Sort the items, by a *key* that the server can import."""
        kwds: dict[str, Any] = {"reverse": reverse}
        if key is not None:
            kwds["key"] = key
        return self._callmethod("sort", (), kwds)  # type: ignore[no-any-return]


class DictProxy(BaseProxy, Generic[K, V]):
    """A dict in a manager, with all that a dict can do but compare.

    ``keys``, ``values`` and ``items`` return lists, as of one moment; so does iterating
    go through the keys of one moment.
    """

    _exposed_ = (
        "__contains__", "__delitem__", "__getitem__", "__ior__", "__iter__", "__len__",
        "__or__", "__reversed__", "__ror__", "__setitem__", "clear", "copy", "fromkeys",
        "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
    )  # fmt: skip
    _method_to_typeid_: ClassVar[Mapping[str, str] | None] = {"__iter__": "Iterator"}

    def __len__(self) -> int:
        return self._callmethod("__len__")  # type: ignore[no-any-return]

    def __getitem__(self, key: K, /) -> V:
        return self._callmethod("__getitem__", (key,))  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V, /) -> None:
        return self._callmethod("__setitem__", (key, value))  # type: ignore[no-any-return]

    def __delitem__(self, key: K, /) -> None:
        return self._callmethod("__delitem__", (key,))  # type: ignore[no-any-return]

    def __contains__(self, key: object) -> bool:
        return self._callmethod("__contains__", (key,))  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def __reversed__(self) -> Iterator[K]:
        return reversed(self.keys())

    def __or__(self, other: dict[K, V] | DictProxy[K, V], /) -> dict[K, V]:
        if not isinstance(other, (dict, DictProxy)):
            return NotImplemented
        return self.copy() | _plain(other)  # type: ignore[no-any-return]

    def __ror__(self, other: dict[K, V], /) -> dict[K, V]:
        if not isinstance(other, dict):
            return NotImplemented
        return other | self.copy()

    def __ior__(
        self, other: SupportsKeysAndGetItem[K, V] | Iterable[tuple[K, V]], /
    ) -> Self:
        self.update(other)
        return self

    def clear(self) -> None:
        """Remove all items."""
        return self._callmethod("clear")  # type: ignore[no-any-return]

    def copy(self) -> dict[K, V]:
        """A dict of the items."""
        return self._callmethod("copy")  # type: ignore[no-any-return]

    def fromkeys(self, keys: Iterable[K], value: Any = None, /) -> dict[K, Any]:
        """A dict with these keys and one value for all, as `dict.fromkeys`."""
        return dict.fromkeys(keys, value)

    if TYPE_CHECKING:

        @overload
        def get(self, key: K, /) -> V | None: ...

        @overload
        def get(self, key: K, default: D, /) -> V | D: ...

    def get(self, key: Any, default: Any = None, /) -> Any:
        """The value of a key, or the default."""
        return self._callmethod("get", (key, default))

    def get_many(self, keys: Iterable[K], default: D | None = None) -> list[V | D]:
        """The values of many keys in one round trip, or the default for each."""
        return self._callmany("get", [(key, default) for key in keys])

    def keys(self) -> list[K]:
        """The keys."""
        return self._callmethod("keys")  # type: ignore[no-any-return]

    def values(self) -> list[V]:
        """The values."""
        return self._callmethod("values")  # type: ignore[no-any-return]

    def items(self) -> list[tuple[K, V]]:
        """The keys with their values."""
        return self._callmethod("items")  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def pop(self, key: K, /) -> V: ...

        @overload
        def pop(self, key: K, default: D, /) -> V | D: ...

    def pop(self, key: Any, /, *default: Any) -> Any:
        """Remove a key and return its value, or the default."""
        return self._callmethod("pop", (key, *default))

    def popitem(self) -> tuple[K, V]:
        """Remove and return the last item."""
        return self._callmethod("popitem")  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def setdefault(
            self: DictProxy[K, T | None], key: K, default: None = None, /
        ) -> T | None: ...

        @overload
        def setdefault(self, key: K, default: V, /) -> V: ...

    def setdefault(self, key: Any, default: Any = None, /) -> Any:
        """The value of a key, which is set to the default if there is none."""
        return self._callmethod("setdefault", (key, default))

    def update(
        self,
        other: SupportsKeysAndGetItem[K, V] | Iterable[tuple[K, V]] = (),
        /,
        **kwds: V,
    ) -> None:
        """Set many keys."""
        if not isinstance(other, (dict, BaseProxy)):
            other = dict(other)
        return self._callmethod("update", (_plain(other),), kwds)  # type: ignore[no-any-return]


def _plain(other: Any) -> Any:
    """The items of a proxy, which may be of any manager."""
    return other.copy() if isinstance(other, DictProxy) else other


class SetProxy(BaseProxy, Generic[T]):
    """A set in a manager.

    Operators return a plain set, but for ``|=`` and its like, which change this one.
    """

    _exposed_ = (
        "__and__", "__contains__", "__iand__", "__ior__", "__isub__", "__iter__",
        "__ixor__", "__len__", "__or__", "__rand__", "__ror__", "__rsub__", "__rxor__",
        "__sub__", "__xor__", "__ge__", "__gt__", "__le__", "__lt__", "add", "clear",
        "copy", "difference", "difference_update", "discard", "intersection",
        "intersection_update", "isdisjoint", "issubset", "issuperset", "pop", "remove",
        "symmetric_difference", "symmetric_difference_update", "union", "update",
    )  # fmt: skip
    _method_to_typeid_: ClassVar[Mapping[str, str] | None] = {"__iter__": "Iterator"}

    def __len__(self) -> int:
        return self._callmethod("__len__")  # type: ignore[no-any-return]

    def __contains__(self, item: object) -> bool:
        return self._callmethod("__contains__", (item,))  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[T]:
        return iter(self.copy())

    def add(self, item: T, /) -> None:
        """Add an item."""
        return self._callmethod("add", (item,))  # type: ignore[no-any-return]

    def discard(self, item: T, /) -> None:
        """Remove an item, if it is there."""
        return self._callmethod("discard", (item,))  # type: ignore[no-any-return]

    def remove(self, item: T, /) -> None:
        """Remove an item."""
        return self._callmethod("remove", (item,))  # type: ignore[no-any-return]

    def pop(self) -> T:
        """Remove and return any item."""
        return self._callmethod("pop")  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Remove all items."""
        return self._callmethod("clear")  # type: ignore[no-any-return]

    def copy(self) -> set[T]:
        """A set of the items."""
        return self._callmethod("copy")  # type: ignore[no-any-return]

    def update(self, *others: Iterable[T]) -> None:
        """Add many items."""
        return self._callmethod("update", _sets(others))  # type: ignore[no-any-return]

    def difference_update(self, *others: Iterable[object]) -> None:
        """Remove many items."""
        return self._callmethod("difference_update", _sets(others))  # type: ignore[no-any-return]

    def intersection_update(self, *others: Iterable[object]) -> None:
        """Keep the items that are in all of the others."""
        return self._callmethod("intersection_update", _sets(others))  # type: ignore[no-any-return]

    def symmetric_difference_update(self, other: Iterable[T], /) -> None:
        """Keep the items that are in one of the two."""
        return self._callmethod(  # type: ignore[no-any-return]
            "symmetric_difference_update", _sets((other,))
        )

    def union(self, *others: Iterable[D]) -> set[T | D]:
        """The items that are in any of them."""
        return self._callmethod("union", _sets(others))  # type: ignore[no-any-return]

    def difference(self, *others: Iterable[object]) -> set[T]:
        """The items that are in none of the others."""
        return self._callmethod("difference", _sets(others))  # type: ignore[no-any-return]

    def intersection(self, *others: Iterable[object]) -> set[T]:
        """The items that are in all of them."""
        return self._callmethod("intersection", _sets(others))  # type: ignore[no-any-return]

    def symmetric_difference(self, other: Iterable[T], /) -> set[T]:
        """The items that are in one of the two."""
        return self._callmethod("symmetric_difference", _sets((other,)))  # type: ignore[no-any-return]

    def isdisjoint(self, other: Iterable[object], /) -> bool:
        """Whether the two have no item in common."""
        return self._callmethod("isdisjoint", _sets((other,)))  # type: ignore[no-any-return]

    def issubset(self, other: Iterable[object], /) -> bool:
        """Whether all items are in the other."""
        return self._callmethod("issubset", _sets((other,)))  # type: ignore[no-any-return]

    def issuperset(self, other: Iterable[object], /) -> bool:
        """Whether all items of the other are in this one."""
        return self._callmethod("issuperset", _sets((other,)))  # type: ignore[no-any-return]

    def __and__(self, other: object, /) -> set[T]:
        return self.copy() & _plain_set(other)  # type: ignore[no-any-return]

    def __or__(self, other: object, /) -> set[T]:
        return self.copy() | _plain_set(other)  # type: ignore[no-any-return]

    def __sub__(self, other: object, /) -> set[T]:
        return self.copy() - _plain_set(other)  # type: ignore[no-any-return]

    def __xor__(self, other: object, /) -> set[T]:
        return self.copy() ^ _plain_set(other)  # type: ignore[no-any-return]

    def __rsub__(self, other: object, /) -> set[T]:
        return _plain_set(other) - self.copy()  # type: ignore[no-any-return]

    def __rand__(self, other: object, /) -> set[T]:
        return _plain_set(other) & self.copy()  # type: ignore[no-any-return]

    def __ror__(self, other: object, /) -> set[T]:
        return _plain_set(other) | self.copy()  # type: ignore[no-any-return]

    def __rxor__(self, other: object, /) -> set[T]:
        return _plain_set(other) ^ self.copy()  # type: ignore[no-any-return]

    def __le__(self, other: object, /) -> bool:
        return self.copy() <= _plain_set(other)  # type: ignore[no-any-return]

    def __lt__(self, other: object, /) -> bool:
        return self.copy() < _plain_set(other)  # type: ignore[no-any-return]

    def __ge__(self, other: object, /) -> bool:
        return self.copy() >= _plain_set(other)  # type: ignore[no-any-return]

    def __gt__(self, other: object, /) -> bool:
        return self.copy() > _plain_set(other)  # type: ignore[no-any-return]

    def __ior__(self, other: object, /) -> Self:
        self.update(_plain_set(other))
        return self

    def __iand__(self, other: object, /) -> Self:
        self.intersection_update(_plain_set(other))
        return self

    def __isub__(self, other: object, /) -> Self:
        self.difference_update(_plain_set(other))
        return self

    def __ixor__(self, other: object, /) -> Self:
        self.symmetric_difference_update(_plain_set(other))
        return self


def _plain_set(other: Any) -> Any:
    return other.copy() if isinstance(other, SetProxy) else other


def _sets(others: tuple[Iterable[Any], ...]) -> tuple[Any, ...]:
    """Arguments of a set's methods: what cannot be pickled, such as generators, not."""
    return tuple(
        other if isinstance(other, (set, frozenset, list, tuple, dict)) else set(other)
        for other in others
    )


MutableSequence.register(ListProxy)
MutableMapping.register(DictProxy)
MutableSet.register(SetProxy)
for _class in (ListProxy, DictProxy, SetProxy):
    _class.__module__ = "mp_managers"
