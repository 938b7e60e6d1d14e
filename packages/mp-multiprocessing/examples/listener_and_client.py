"""Authenticated connections over a socket (manual, "Listeners and Clients")."""

from __future__ import annotations

from array import array
from typing import Any

import mp_multiprocessing as mp
from mp_multiprocessing.connection import Client, Listener

KEY = b"secret password"


def serve(ready: mp.Connection[Any, None]) -> None:
    """Accept one client, and send it something."""
    listener: Listener[Any, Any] = Listener(("127.0.0.1", 0), authkey=KEY)
    with listener:
        ready.send(listener.address)
        with listener.accept() as connection:
            print("accepted from", listener.last_accepted[0], flush=True)
            connection.send([2.25, None, "junk", float])
            connection.send_bytes(b"hello")
            connection.send_bytes(array("i", [42, 1729]))


def main() -> None:
    """Be the client."""
    ours, theirs = mp.Pipe()
    server = mp.Process(target=serve, args=(theirs,))
    server.start()
    with Client(ours.recv(), authkey=KEY) as connection:
        received = connection.recv(), connection.recv_bytes()
        numbers = array("i", [0] * 5)
        size = connection.recv_bytes_into(numbers)
    server.join()
    ours.close()
    print(*received, sep="\n")
    print(size, numbers)


if __name__ == "__main__":
    main()
