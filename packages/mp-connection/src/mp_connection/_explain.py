"""Where in an object sits what cannot be pickled.

The pickler says which object it gave up on, not how it got there.  This walks down
from the root, always into the first part that cannot be pickled by itself.
"""

from __future__ import annotations

from reprlib import repr as short_repr
from time import monotonic

from mp_connection._reducers import reductions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

#: Parts that are tried before the search settles for what it has found: the object
#: may hold millions.
_BUDGET = 2000
#: As long, in seconds: each of them may be large.
_SECONDS = 1.0


def path_to_culprit(
    root: object, name: str, try_pickle: Callable[[object], object]
) -> tuple[str, object]:
    """The expression that leads to the culprit, and the culprit.

    Args:
        root: an object whose pickling failed.
        name: what the expression begins with.
        try_pickle: raises if its argument cannot be pickled.
    """
    budget = _BUDGET
    deadline = monotonic() + _SECONDS
    seen = {id(root)}
    path, culprit = name, root
    # The way down: each object's remaining parts, and whether some were seen before.
    above: list[tuple[str, object, Iterator[tuple[str, object]]]] = []
    parts, cyclic = _parts(root), False
    while True:
        for suffix, part in parts:
            budget -= 1
            if budget < 0 or monotonic() > deadline:
                return path, culprit
            if id(part) in seen:  # the object contains itself
                cyclic = True
                continue
            try:
                try_pickle(part)
            except Exception:
                above.append((path, culprit, parts))
                path, culprit = path + suffix, part
                seen.add(id(part))
                parts, cyclic = _parts(part), False
                break
        else:
            if not cyclic or not above:
                return path, culprit
            # This one fails only since it leads back to where we come from.
            path, culprit, parts = above.pop()


def _parts(whole: object) -> Iterator[tuple[str, object]]:
    # Exact types only: a subclass may pickle itself in its own way.
    kind = type(whole)
    if kind is dict:
        assert isinstance(whole, dict)
        yield from _items(whole.items())
    elif kind is list or kind is tuple:
        assert isinstance(whole, (list, tuple))
        for index, item in enumerate(whole):
            yield f"[{index}]", item
    elif kind is set or kind is frozenset:
        assert isinstance(whole, (set, frozenset))
        for item in whole:
            yield f" (element {short_repr(item)})", item
    elif not isinstance(whole, (type, str, bytes, int, float)):
        yield from _reduced_parts(whole)


def _items(items: Iterable[tuple[object, object]]) -> Iterator[tuple[str, object]]:
    for key, value in items:
        yield f" (key {short_repr(key)})", key
        yield f"[{short_repr(key)}]", value


def _reduced_parts(whole: object) -> Iterator[tuple[str, object]]:
    """The parts of an object that pickles itself by a reduction."""
    reduce: Callable[[Any], object] | None = reductions().get(type(whole))
    try:
        reduced = whole.__reduce_ex__(5) if reduce is None else reduce(whole)
    except Exception:
        return  # it refuses by itself: there is nothing further down
    if not isinstance(reduced, tuple) or len(reduced) < 2:
        return
    padded: tuple[Any, ...] = (*reduced, None, None, None, None)
    function, arguments, state, items, pairs, *_ = padded
    # copyreg: a state of two is (attributes, slots) where there are slots.
    pair = isinstance(state, tuple) and len(state) == 2
    for attributes in state if pair else (state,):
        if isinstance(attributes, dict):
            for key, value in attributes.items():
                yield f".{key}" if isinstance(key, str) else "", value
        elif attributes is not None:
            yield " (its state)", attributes
    if isinstance(arguments, tuple):
        for index, argument in enumerate(arguments):
            # copyreg: the class is an argument of the function that makes its objects.
            if argument is not type(whole):
                yield f" (argument {index} of its constructor)", argument
    yield " (its constructor)", function
    yield from ((f"[{index}]", item) for index, item in enumerate(items or ()))
    yield from _items(pairs or ())
