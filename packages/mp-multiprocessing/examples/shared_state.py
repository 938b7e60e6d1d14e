"""A number and an array in shared memory (manual, "Sharing state")."""

from __future__ import annotations

from typing import Any

import mp_multiprocessing as mp


def change(number: Any, numbers: Any) -> None:
    """Change both in a child."""
    number.value = 3.1415927
    for i in range(len(numbers)):
        numbers[i] = -numbers[i]


def count(counter: Any) -> None:
    """Add in steps that no other process can come between."""
    for _ in range(500):
        with counter.get_lock():
            counter.value += 1


def main() -> None:
    """Look at what children have changed."""
    number = mp.Value("d", 0.0)
    numbers = mp.Array("i", range(10))
    process = mp.Process(target=change, args=(number, numbers))
    process.start()
    process.join()
    print(number.value)
    print(numbers[:])

    counter = mp.Value("i", 0)
    processes = [mp.Process(target=count, args=(counter,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(counter.value)


if __name__ == "__main__":
    main()
