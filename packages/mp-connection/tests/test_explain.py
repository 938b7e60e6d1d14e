"""An error says where in an object sits what cannot be pickled."""

from __future__ import annotations

import dataclasses
import pickle
import threading
import time
from collections import OrderedDict, deque

import pytest

from mp_connection import HandleError, Pipe, UnpicklableError
from mp_connection._explain import path_to_culprit
from mp_connection.channel import pickle_message


def nothing() -> None:
    """A function that can be pickled, by its name."""


bad = lambda: None  # noqa: E731


@dataclasses.dataclass
class Task:
    name: str
    callback: object


class Slots:
    __slots__ = ("first", "second")

    def __init__(self, first: object, second: object) -> None:
        self.first = first
        self.second = second


class Both(Slots):
    """With a dictionary besides the slots."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.third = bad


class Reducing:
    def __init__(self, argument: object) -> None:
        self.argument = argument

    def __reduce__(self) -> tuple[object, ...]:
        return Reducing, (self.argument,)


class Failing:
    def __reduce__(self) -> tuple[object, ...]:
        raise KeyError("of the user's own")


class Endless:
    def __reduce__(self) -> tuple[object, ...]:
        return self.__reduce__()


class DumpsInside:
    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __reduce__(self) -> tuple[object, ...]:
        return pickle.loads, (pickle.dumps(self.inner),)


class List(list[object]):
    """A subclass that pickles like any object with items."""


def path_of(obj: object) -> str:
    with pytest.raises(UnpicklableError) as caught:
        pickle_message(obj, "x")
    assert str(caught.value).startswith(caught.value.path)
    assert caught.value.__cause__ is not None
    return caught.value.path


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        (bad, "x"),
        ([nothing, bad], "x[1]"),
        ((1, (2, bad)), "x[1][1]"),
        ({"a": 1, "b": {"c": bad}}, "x['b']['c']"),
        (Task("t", bad), "x.callback"),
        (Task("t", [Task("u", bad)]), "x.callback[0].callback"),
        (Slots(1, bad), "x.second"),
        (Both(), "x.third"),
        (Reducing(bad), "x (argument 0 of its constructor)"),
        (List([1, bad]), "x[1]"),
        (deque([1, bad]), "x[1]"),
        (OrderedDict(k=bad), "x['k']"),
        (threading.Lock(), "x"),
    ],
)
def test_the_path_leads_to_the_culprit(obj: object, path: str) -> None:
    assert path_of(obj) == path


def test_keys_and_elements_have_no_expression_but_a_description() -> None:
    assert path_of({bad: 1}).startswith("x (key <function")
    assert path_of({bad}).startswith("x (element <function")


def test_an_object_that_contains_itself_has_a_culprit() -> None:
    loop: list[object] = []
    loop += [loop, {"self": loop}, bad]
    assert path_of(loop) == "x[2]"


def test_an_object_too_deep_to_pickle_is_said_to_be_so() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    try:
        with pytest.raises(UnpicklableError, match="nested too deeply") as caught:
            pickle_message(deep, "x")
        assert caught.value.path == "x"
        assert isinstance(caught.value.__cause__, RecursionError)
    finally:
        while deep:  # otherwise its deallocation nests as deeply
            deep = deep[0]  # type: ignore[assignment]


def test_a_reduction_without_end_is_an_error_and_no_crash() -> None:
    with pytest.raises(UnpicklableError, match="nested too deeply"):
        pickle_message(Endless())


def test_an_error_of_the_users_own_is_kept_and_gets_a_note() -> None:
    with pytest.raises(KeyError, match="of the user's own") as caught:
        pickle_message([1, {"k": Failing()}], "x")
    assert caught.value.__notes__ == [
        "x[1]['k'] is a Failing and cannot be pickled",
    ]


def test_memory_errors_are_no_question_of_pickling() -> None:
    class Greedy:
        def __reduce__(self) -> tuple[object, ...]:
            raise MemoryError

    with pytest.raises(MemoryError) as caught:
        pickle_message([Greedy()])
    assert not hasattr(caught.value, "__notes__")


def test_a_nested_dumps_of_a_connection_is_refused() -> None:
    a, b = Pipe()
    with a, b:
        with pytest.raises(HandleError) as caught:
            a.send([DumpsInside(b)])
        assert caught.value.__notes__ == [
            "object[0] is a DumpsInside and cannot be pickled"
        ]
        # Also where the message carries descriptors by itself.
        with pytest.raises(HandleError):
            a.send([a, DumpsInside(b)])
        a.send("still there")
        assert b.recv() == "still there"


def test_the_search_gives_up_after_some_time_and_names_what_it_has() -> None:
    tried = 0

    def slow(part: object) -> None:
        nonlocal tried
        tried += 1
        time.sleep(0.3)

    start = time.monotonic()
    assert path_to_culprit([1] * 1000, "x", slow)[0] == "x"
    assert time.monotonic() - start < 3
    assert tried < 10


def test_the_search_gives_up_after_some_thousand_parts() -> None:
    tried: list[object] = []
    assert path_to_culprit(range(5), "x", tried.append) is not None
    path, _ = path_to_culprit([0] * 10_000, "x", tried.append)
    assert path == "x"
    assert len(tried) < 3000
