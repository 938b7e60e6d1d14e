"""One process at a time prints (manual, "Synchronization between processes")."""

from __future__ import annotations

import mp_multiprocessing as mp


def say(lock: mp.Lock, number: int) -> None:
    """Print a line in one piece."""
    with lock:
        print("hello world", number)


def main() -> None:
    """Start ten processes, which get the lock as an argument."""
    lock = mp.Lock()
    processes = [mp.Process(target=say, args=(lock, number)) for number in range(10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
