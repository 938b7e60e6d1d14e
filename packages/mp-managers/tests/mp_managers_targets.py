"""What the tests share, in managers and in children."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from mp_managers import BaseProxy, SyncManager

assert sys.platform == "linux"


class Unpicklable:
    """Refuses to be pickled."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("this is not for pickling")


class Poison:
    """Can be pickled, and refuses to be unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return explode, ()


def explode() -> NoReturn:
    raise ValueError("boom")


class OddError(Exception):
    """An exception that pickles and does not unpickle."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__("odd")


class Calculator:
    """A class to be shared."""

    def __init__(self, start: int = 0) -> None:
        self.total = start

    def add(self, number: int) -> int:
        self.total += number
        return self.total

    def fail(self, text: str) -> NoReturn:
        raise ValueError(text)

    def fail_oddly(self) -> NoReturn:
        raise OddError(1, 2)

    def leave(self) -> NoReturn:
        sys.exit(3)

    def unpicklable(self) -> Unpicklable:
        return Unpicklable()

    def poison(self) -> Poison:
        return Poison()

    def take(self, thing: object) -> str:
        return type(thing).__name__

    def give(self, thing: Any) -> Any:
        return thing

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def pid(self) -> int:
        return os.getpid()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def children(self, number: int) -> list[int]:
        return list(range(number))

    def _hidden(self) -> str:
        return "seen"


class Grim:
    """An object whose representation fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no picture")

    def fine(self) -> str:
        return "fine"


def count_to(number: int) -> Iterator[int]:
    yield from range(number)


class CalculatorProxy(BaseProxy):
    """Proxies of a class of their own."""

    _exposed_ = ("add", "_hidden")

    def add(self, number: int) -> int:
        return self._callmethod("add", (number,))  # type: ignore[no-any-return]

    def hidden(self) -> str:
        return self._callmethod("_hidden")  # type: ignore[no-any-return]


class Manager(SyncManager):
    """With the types above."""


Manager.register("Calculator", Calculator)
Manager.register("Typed", Calculator, CalculatorProxy)
Manager.register(
    "Parent", Calculator, exposed=("add",), method_to_typeid={"children": "list"}
)
Manager.register("Grim", Grim)
Manager.register("count_to", count_to, proxytype=None, exposed=("__next__",))


def append(proxy: Any, *items: Any) -> None:
    for item in items:
        proxy.append(item)


def set_key(proxy: Any, key: Any, value: Any) -> None:
    proxy[key] = value


def kill_self() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hold_and_wait(proxy: Any, ready: Any, gate: Any) -> None:
    """Keep a reference until told otherwise."""
    ready.send(len(proxy))
    gate.recv()


def forget_forks(manager: Any) -> None:
    """Let a manager's session see that processes forked meanwhile have ended."""
    forks = manager._session._forks
    settle(lambda: manager._number_of_objects() >= 0 and not forks.pending)


def settle(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds, which others bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.01)
