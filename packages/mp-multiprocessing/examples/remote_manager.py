"""A queue that processes of any machine reach (manual, "Using a remote manager")."""

from __future__ import annotations

import queue
from typing import Any

import mp_multiprocessing as mp
from mp_multiprocessing.managers import BaseManager

KEY = b"abracadabra"
tasks: queue.Queue[str] = queue.Queue()


def get_tasks() -> queue.Queue[str]:
    """The queue of the server."""
    return tasks


class QueueManager(BaseManager):
    """For the server, which has the queue, and for clients, which have proxies."""


QueueManager.register("get_tasks", callable=get_tasks)


def serve(ready: mp.Connection[Any, None]) -> None:
    """Serve until this process is terminated."""
    server = QueueManager(address=("127.0.0.1", 0), authkey=KEY).get_server()
    ready.send(server.address)
    server.serve_forever()


def connect(address: Any) -> Any:
    """A queue that is elsewhere."""
    manager: Any = QueueManager(address=address, authkey=KEY)
    manager.connect()
    return manager.get_tasks()


def put(address: Any) -> None:
    """One client puts."""
    connect(address).put("hello")


def main() -> None:
    """Another client gets."""
    ours, theirs = mp.Pipe()
    server = mp.Process(target=serve, args=(theirs,))
    server.start()
    address = ours.recv()
    client = mp.Process(target=put, args=(address,))
    client.start()
    print(connect(address).get(timeout=30))
    client.join()
    server.terminate()
    server.join()
    ours.close()


if __name__ == "__main__":
    main()
