"""Data parallelism in three lines (manual, introduction)."""

from __future__ import annotations

import mp_multiprocessing as mp


def square(number: int) -> int:
    """What each worker does with an element."""
    return number * number


def main() -> None:
    """Square three numbers in five processes."""
    with mp.Pool(5) as pool:
        print(pool.map(square, [1, 2, 3]))


if __name__ == "__main__":
    main()
