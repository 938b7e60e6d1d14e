"""Objects go from one process to another (manual, "Exchanging objects")."""

from __future__ import annotations

import mp_multiprocessing as mp


def put(queue: mp.Queue[object]) -> None:
    """Put an object into a queue."""
    queue.put([42, None, "hello"])


def send(connection: mp.Connection[object, object]) -> None:
    """Send an object through a connection."""
    connection.send([42, None, "hello"])
    connection.close()


def main() -> None:
    """Get the object from a child, twice."""
    queue: mp.Queue[object] = mp.Queue()
    process = mp.Process(target=put, args=(queue,))
    process.start()
    print(queue.get())
    process.join()

    ours, theirs = mp.Pipe()
    process = mp.Process(target=send, args=(theirs,))
    process.start()
    print(ours.recv())
    process.join()
    ours.close()
    queue.close()


if __name__ == "__main__":
    main()
