"""The ways to have a pool do something (manual, "Using a pool of workers")."""

from __future__ import annotations

import os
import time

import mp_multiprocessing as mp


def square(number: int) -> int:
    """What the workers do."""
    return number * number


def main() -> None:
    """Use four workers in turn for this and that."""
    with mp.Pool(processes=4) as pool:
        print(pool.map(square, range(10)))
        print(sorted(pool.imap_unordered(square, range(10))))

        results = pool.imap(square, range(10))
        print(next(results), next(results), results.next(timeout=30))

        answer = pool.apply_async(square, (20,))
        print(answer.get(timeout=30))

        several = [pool.apply_async(os.getpid) for _ in range(4)]
        pids = {result.get(timeout=30) for result in several}
        print("processes:", 1 <= len(pids) <= 4 and os.getpid() not in pids)

        slow = pool.apply_async(time.sleep, (10,))
        try:
            slow.get(timeout=0.1)
        except mp.TimeoutError:
            print("no patience: mp.TimeoutError")
        print("the pool goes on:", pool.apply(square, (3,)))
    print("and now it is closed")


if __name__ == "__main__":
    main()
