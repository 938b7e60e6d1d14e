"""What the tests of `forward_logs` start; without pytest, which children import too."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mp_connection import Connection
from mp_process import BaseProcess, forward_logs, get_context
from mp_process.context import Method

SECONDS = 30


class Kept(logging.Handler):
    """Keeps the records that it handles."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


def start(
    method: Method, target: Callable[..., object], *args: object, name: str = "child"
) -> BaseProcess:
    process = get_context(method).Process(
        target=target, args=args, name=name, daemon=False
    )
    process.start()
    return process


def run(method: Method, target: Callable[..., object], *args: object) -> None:
    process = start(method, target, *args)
    process.join(SECONDS)
    assert process.exitcode == 0


def log_three() -> None:
    logger = logging.getLogger("own.part")
    logger.debug("below the level")
    logger.info("%s and %d", "text", 7)
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("failed")


def log_many(name: str, count: int) -> None:
    for number in range(count):
        logging.getLogger(name).info("%d", number)


def log_at_exit() -> None:
    atexit.register(logging.info, "at exit")
    logging.info("before")


def log_and_start(methods: list[Method]) -> None:
    if methods:
        run(methods[0], log_and_start, methods[1:])
    logging.getLogger("nested").info("%d below", len(methods))


def forwards_itself(own: list[str]) -> None:
    with forward_logs():
        run("spawn", log_many, "grandchild", 2)
    logging.getLogger("child").info("done")


def log_once(name: str, message: str) -> None:
    logging.getLogger(name).warning(message)


def log_to_two() -> None:
    logging.getLogger("asked.part").warning("sent")
    other = Kept()
    logging.getLogger().handlers[:] = [other]
    logging.getLogger("other").warning("kept")
    assert other.messages == ["kept"]


class Odd:
    """Pickled here, and refuses to be unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("no number",)

    def __repr__(self) -> str:
        return "<odd>"


def log_extras() -> None:
    extra = {"path": Path("/a"), "odd": Odd(), "f": (lambda: 0), "n": 3}
    logging.getLogger().warning("%s", Odd(), extra=extra)


BIG = 3_000_000


def log_big() -> None:
    for _ in range(3):
        logging.getLogger().warning("x" * BIG)
        logging.getLogger().warning("small")


def log_for_ever(size: int) -> None:
    number = 0
    while True:
        logging.getLogger("victim").info("%d%s", number, "x" * size)
        number += 1


def tell_and_log(connection: Connection[str, None], count: int) -> None:
    connection.send("begin")
    log_many("many", count)
    connection.send("end")


def log_when_told(connection: Connection[list[str], str]) -> None:
    own = Kept()
    below = logging.getLogger("mine")
    connection.send([])
    while message := connection.recv():
        if message == "own":
            below.addHandler(own)
        else:
            below.warning(message)
    connection.send(own.messages)


def fork_on() -> None:
    pid = os.fork()
    if pid == 0:
        logging.info("from below")
        os._exit(0)
    os.waitpid(pid, 0)
    logging.info("from above")


class Locking(Kept):
    """Holds a lock of its own for most of the time."""

    lock_of_mine = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        with self.lock_of_mine:
            time.sleep(0.001)
            super().emit(record)


def take_locks() -> None:
    with Locking.lock_of_mine:
        logging.info("got it")
