"""Ordered and unordered results, time-outs and errors (manual, examples)."""

from __future__ import annotations

import mp_multiprocessing as mp


def times(a: int, b: int) -> str:
    """Say what a product is."""
    return f"{a} * {b} = {a * b}"


def plus(a: int, b: int) -> str:
    """Say what a sum is."""
    return f"{a} + {b} = {a + b}"


def either(task: tuple[str, int, int]) -> str:
    """Do one of the two; each worker finds the function by its name."""
    name, a, b = task
    return times(a, b) if name == "times" else plus(a, b)


def invert(number: float) -> float:
    """Fail for 5."""
    return 1.0 / (number - 5.0)


def main() -> None:
    """Collect the same results in several ways."""
    tasks = [("times", i, 7) for i in range(5)] + [("plus", i, 8) for i in range(5)]
    with mp.Pool(4) as pool:
        pending = [pool.apply_async(either, (task,)) for task in tasks]
        ordered = [result.get(timeout=30) for result in pending]
        print(*ordered, sep="\n")
        print("imap agrees:", list(pool.imap(either, tasks)) == ordered)
        unordered = pool.imap_unordered(either, tasks)
        print("imap_unordered agrees:", sorted(unordered) == sorted(ordered))

        for name, call in (
            ("apply", lambda: pool.apply(invert, (5.0,))),
            ("map", lambda: pool.map(invert, [float(i) for i in range(10)])),
            ("imap", lambda: list(pool.imap(invert, [float(i) for i in range(10)]))),
        ):
            try:
                call()
            except ZeroDivisionError:
                print(f"ZeroDivisionError from {name}, as expected")

        # Only the element that failed is lost, if its chunk holds no other.
        results = pool.imap(invert, [4.0, 5.0, 6.0])
        for _ in range(3):
            try:
                print(next(results))
            except ZeroDivisionError:
                print("lost")


if __name__ == "__main__":
    main()
