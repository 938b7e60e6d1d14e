"""Each context starts processes its own way (manual, "Contexts and start methods")."""

from __future__ import annotations

import mp_multiprocessing as mp


def put(queue: mp.Queue[str]) -> None:
    """What each child does."""
    queue.put("hello")


def main() -> None:
    """Start a child by each method."""
    for method in mp.get_all_start_methods():
        # A library uses a context; set_start_method is for programs, once.
        context = mp.get_context(method)
        queue: mp.Queue[str] = context.Queue()
        process = context.Process(target=put, args=(queue,))
        process.start()
        print(method, queue.get())
        process.join()
        queue.close()


if __name__ == "__main__":
    mp.freeze_support()
    main()
