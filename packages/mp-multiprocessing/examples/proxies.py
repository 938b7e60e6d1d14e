"""What a proxy is, and is not (manual, "Proxy Objects" and "Namespace")."""

from __future__ import annotations

import mp_multiprocessing as mp
from mp_multiprocessing.managers import ListProxy


def main() -> None:
    """Use namespaces and nested lists."""
    with mp.Manager() as manager:
        space = manager.Namespace()
        space.x = 10
        space.y = "hello"
        space._z = 12.3  # an attribute of the proxy
        print(space)

        squares = manager.list([i * i for i in range(10)])
        print(squares)
        print(repr(squares).startswith("<ListProxy object, typeid 'list' at 0x"))
        same: object = [i * i for i in range(10)]
        print(squares[4], squares[2:5], squares == same, squares[:] == same)

        outer = manager.list()
        inner = manager.list()
        outer.append(inner)
        inner.append("hello")
        print(outer[0], outer[0][0])

        # A plain object within a list is a copy, until it is put back.
        plain: ListProxy[dict[str, int]] = manager.list([{}])
        entry = plain[0]
        entry["a"] = 1
        print(plain)
        plain[0] = entry
        print(plain)

        print(squares._callmethod("__len__"), squares._callmethod("index", (9,)))
        try:
            squares._callmethod("__getitem__", (20,))
        except IndexError:
            print("an IndexError of the server")


if __name__ == "__main__":
    main()
