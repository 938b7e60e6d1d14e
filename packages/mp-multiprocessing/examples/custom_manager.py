"""Managers and proxies of one's own (manual, "Customized managers" and examples)."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from mp_multiprocessing.managers import BaseManager, BaseProxy


class Maths:
    """What the server makes and keeps."""

    def add(self, x: int, y: int) -> int:
        """The sum."""
        return x + y

    def mul(self, x: int, y: int) -> int:
        """The product."""
        return x * y

    def _secret(self) -> str:
        return "told"


def squares() -> Iterator[int]:
    """A generator, which stays in the server."""
    for i in range(10):
        yield i * i


class GeneratorProxy(BaseProxy):
    """Iterates over what is in the server."""

    _exposed_ = ("__next__",)

    def __iter__(self) -> GeneratorProxy:
        return self

    def __next__(self) -> Any:
        return self._callmethod("__next__")


def operators() -> ModuleType:
    """A module is as good as an object."""
    return operator


class MyManager(BaseManager):
    """Makes what is registered below."""


MyManager.register("Maths", Maths)
MyManager.register("Told", Maths, exposed=("mul", "_secret"))
MyManager.register("squares", squares, proxytype=GeneratorProxy)
MyManager.register("operators", operators)


def main() -> None:
    """Call methods of objects in the server."""
    with MyManager() as manager:
        made: Any = manager
        maths = made.Maths()
        print(maths.add(4, 3))
        print(maths.mul(7, 8))
        print(hasattr(maths, "_secret"), sorted(maths._exposed_))

        told = made.Told()
        print(told._secret(), hasattr(told, "add"))

        print(" ".join(f"<{number}>" for number in made.squares()))

        functions = made.operators()
        print("add(23, 45) =", functions.add(23, 45))
        print("pow(2, 94) =", functions.pow(2, 94))


if __name__ == "__main__":
    main()
