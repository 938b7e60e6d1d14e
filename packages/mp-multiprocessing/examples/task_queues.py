"""Workers that are fed by one queue and answer by another (manual, examples)."""

from __future__ import annotations

from collections.abc import Callable

import mp_multiprocessing as mp

#: A function, and its arguments; None tells a worker to end.
Task = tuple[Callable[[int, int], int], int, int] | None


def work(tasks: mp.Queue[Task], done: mp.Queue[tuple[str, int, int, int]]) -> None:
    """Be a worker."""
    while (task := tasks.get()) is not None:
        function, a, b = task
        done.put((function.__name__, a, b, function(a, b)))


def times(a: int, b: int) -> int:
    """A product."""
    return a * b


def plus(a: int, b: int) -> int:
    """A sum."""
    return a + b


def main() -> None:
    """Have four workers do twenty tasks."""
    tasks: mp.Queue[Task] = mp.Queue()
    done: mp.Queue[tuple[str, int, int, int]] = mp.Queue()
    for i in range(10):
        tasks.put((times, i, 7))
    workers = [mp.Process(target=work, args=(tasks, done)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for i in range(10):
        tasks.put((plus, i, 8))
    answers = [done.get(timeout=30) for _ in range(20)]
    for _ in workers:
        tasks.put(None)
    for worker in workers:
        worker.join()
    for name, a, b, result in sorted(answers):
        print(f"{name}({a}, {b}) = {result}")
    tasks.close()
    done.close()


if __name__ == "__main__":
    main()
