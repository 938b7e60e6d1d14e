"""Joining a process whose items nobody has got yet (manual, "guidelines").

With the standard package this waits for ever, because the child waits for a reader of
its pipe.  Here the item was handed over when `put` returned, or is kept for the reader.
"""

from __future__ import annotations

import mp_multiprocessing as mp


def put(queue: mp.Queue[str]) -> None:
    """Put more than a pipe holds."""
    queue.put("X" * 1_000_000)


def main() -> None:
    """Join first, get then."""
    queue: mp.Queue[str] = mp.Queue()
    process = mp.Process(target=put, args=(queue,))
    process.start()
    process.join()
    print(len(queue.get()))
    queue.close()


if __name__ == "__main__":
    main()
