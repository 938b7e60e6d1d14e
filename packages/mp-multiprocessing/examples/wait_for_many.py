"""Messages from several processes at once (manual, "wait")."""

from __future__ import annotations

import mp_multiprocessing as mp
from mp_multiprocessing.connection import wait


def count(writer: mp.Connection[tuple[int, int], None], number: int) -> None:
    """Send ten numbers."""
    for i in range(10):
        writer.send((number, i))
    writer.close()


def main() -> None:
    """Receive them in the order in which they come."""
    readers: list[mp.Connection[None, tuple[int, int]]] = []
    processes: list[mp.Process] = []
    for number in range(4):
        reader, writer = mp.Pipe(duplex=False)
        process = mp.Process(target=count, args=(writer, number))
        process.start()
        # The child is the only one that has it now: its end is an end-of-file.
        writer.close()
        readers.append(reader)
        processes.append(process)

    received: dict[int, list[int]] = {}
    while readers:
        for reader in wait(readers):
            try:
                number, i = reader.recv()
            except EOFError:
                readers.remove(reader)
                reader.close()
            else:
                received.setdefault(number, []).append(i)
    for number in sorted(received):
        print(number, received[number])
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
