"""A dict and a list in a server, which children change (manual, "Sharing state")."""

from __future__ import annotations

from typing import Any

import mp_multiprocessing as mp


def change(mapping: Any, numbers: Any) -> None:
    """Change both through their proxies."""
    mapping[1] = "1"
    mapping["2"] = 2
    mapping[0.25] = None
    numbers.reverse()


def main() -> None:
    """Look at what a child has changed."""
    with mp.Manager() as manager:
        mapping = manager.dict()
        numbers = manager.list(range(10))
        process = mp.Process(target=change, args=(mapping, numbers))
        process.start()
        process.join()
        print(mapping)
        print(numbers)


if __name__ == "__main__":
    main()
