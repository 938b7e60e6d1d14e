"""Many threads and processes at the ends of one pipe, some of which are killed."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import hashlib
import mmap
import os
import random
import signal
import threading
import time
import traceback
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from mp_connection_forks import Child, doomed, forked

from mp_connection import Connection, Pipe

# Whatever carries the packets.
pytestmark = pytest.mark.usefixtures("backend")

SIZES = [0, 10, 500, 5000, 60_000, 70_000, 150_000, 400_000]


def message(sender: int, number: int) -> tuple[int, int, bytes, bytes]:
    data = random.Random(number).randbytes(32) * (SIZES[number % len(SIZES)] // 32)
    return sender, number, data, hashlib.md5(data).digest()


def check(received: Any) -> tuple[int, int]:
    sender, number, data, digest = received
    assert hashlib.md5(data).digest() == digest
    return sender, number


def send(end: Connection[Any, Any], sender: int, count: int) -> None:
    for number in range(count):
        end.send(message(sender, number))


def test_threads_share_both_ends() -> None:
    a, b = Pipe()
    got: list[tuple[int, int]] = []
    count = 60

    def receive() -> None:
        while (item := b.recv()) is not None:
            got.append(check(item))

    senders = [threading.Thread(target=send, args=(a, n, count)) for n in range(4)]
    receivers = [threading.Thread(target=receive) for _ in range(4)]
    for thread in senders + receivers:
        thread.start()
    for thread in senders:
        thread.join(20)
    for _ in receivers:
        a.send(None)
    for thread in receivers:
        thread.join(20)
    assert sorted(got) == [(n, i) for n in range(4) for i in range(count)]
    a.close()
    b.close()


def test_threads_send_both_ways_at_once() -> None:
    a, b = Pipe()
    count = 40
    got: dict[str, list[tuple[int, int]]] = {"a": [], "b": []}

    def receive(name: str, end: Connection[Any, Any]) -> None:
        for _ in range(2 * count):
            got[name].append(check(end.recv()))

    threads = [
        *(threading.Thread(target=send, args=(end, n, count)) for end in (a, b)
          for n in range(2)),
        threading.Thread(target=receive, args=("a", a)),
        threading.Thread(target=receive, args=("b", b)),
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    expected = [(n, i) for n in range(2) for i in range(count)]
    assert sorted(got["a"]) == sorted(got["b"]) == expected
    a.close()
    b.close()


def test_every_message_reaches_one_reader_whole_and_in_order_of_its_sender() -> None:
    a, b = Pipe(False)
    results, report = Pipe(False)
    count = 80

    def receive() -> None:
        b.close()
        while True:
            try:
                report.send(check(a.recv()))
            except EOFError:
                return

    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(forked(receive))
        report.close()
        a.close()
        for number in range(3):
            stack.enter_context(forked(partial(send, b, number, count)))
        b.close()
        got = []
        while True:
            try:
                got.append(results.recv())
            except EOFError:
                break
    results.close()
    assert sorted(got) == [(n, i) for n in range(3) for i in range(count)]


def test_killed_readers_and_writers_cost_what_they_held_and_nobody_hangs() -> None:
    a, b = Pipe(False)
    chance = random.Random(5)
    finished = 1000
    count = 50

    def send_for_ever(sender: int) -> None:
        a.close()
        number = 0
        while True:
            b.send(message(sender, number))
            number += 1

    def receive_for_ever() -> None:
        b.close()
        while True:
            check(a.recv())

    end = time.monotonic() + 2.0
    with ExitStack() as stack:

        def start(number: int) -> Child:
            if number % 2:
                return stack.enter_context(doomed(lambda: send_for_ever(number)))
            return stack.enter_context(doomed(receive_for_ever))

        crowd = [start(number) for number in range(4)]
        number = len(crowd)
        while time.monotonic() < end:
            time.sleep(chance.random() * 0.05)
            victim = crowd.pop(chance.randrange(len(crowd)))
            victim.kill()
            assert victim.join() != 1, "it failed by itself"
            crowd.append(start(number))
            number += 1
        # Whoever is left still works: a sender that is not killed loses only what
        # killed readers had taken, and here there are none any more.
        for child in crowd:
            child.kill()
            child.join()
        seen: list[int] = []
        with forked(lambda: send(b, finished, count)):
            while len(seen) < count:
                sender, index = check(a.recv())
                if sender == finished:
                    seen.append(index)
        assert seen == list(range(count))
    b.close()
    while True:  # nothing is left but the end
        try:
            check(a.recv())
        except EOFError:
            break
    a.close()


def test_a_killed_sender_of_large_messages_does_not_disturb_the_others() -> None:
    a, b = Pipe(False)
    big = os.urandom(32) * (8 << 15)

    def send_big() -> None:
        while True:
            b.send_bytes(big)

    for _ in range(5):
        with doomed(send_big) as victim, forked(lambda: send(b, 7, 16)):
            got: list[int] = []
            while len(got) < 16:
                data = a.recv_bytes()
                if len(data) == len(big):
                    assert data == big
                    victim.kill()
                else:
                    got.append(len(data))
    b.close()
    while True:
        try:
            a.recv_bytes()
        except EOFError:
            break
    a.close()


def test_readers_killed_within_large_messages_cost_no_message() -> None:
    a, b = Pipe(False)
    big = os.urandom(32) * (34 << 15)  # not received in one step, whatever the backend
    count = 6

    def send_big() -> None:
        a.close()
        for number in range(count):
            b.send((number, big))

    def receive() -> None:
        b.close()
        receiver = a._channel
        taken = receiver._next_receiver(None)
        for _ in range(4):
            taken.step()
        os.kill(os.getpid(), 9)

    with forked(send_big):
        b.close()
        got = []
        for _ in range(count):
            with doomed(receive) as victim:
                assert victim.join() == -9
            number, data = a.recv()
            assert data == big
            got.append(number)
        assert got == list(range(count))
    a.close()


def test_eight_processes_of_eight_threads_share_both_ends_while_some_are_killed() -> (
    None
):
    a, b = Pipe()
    chance = random.Random(8)
    received = shared_counter()

    def work(number: int) -> None:
        end = (a, b)[number % 2]

        def send_for_ever(sender: int) -> None:
            count = 0
            while True:
                end.send(message(sender, count))
                count += 1

        def receive_for_ever(reader: int) -> None:
            while True:
                try:
                    check(end.recv())
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                received[reader] += 1

        for index in range(8):
            name = number % 8 * 8 + index
            function = receive_for_ever if index % 2 else send_for_ever
            threading.Thread(target=function, args=(name,), daemon=True).start()
        time.sleep(60)

    deadline = time.monotonic() + 40
    with ExitStack() as stack:
        crowd = [stack.enter_context(doomed(partial(work, n))) for n in range(8)]
        for number in range(8, 40):
            # Some more messages, as fast as this machine is, and a death.
            goal = sum(received) + 40
            while sum(received) < goal:
                assert time.monotonic() < deadline, "nobody receives any more"
                time.sleep(0.001)
            position = chance.randrange(8)
            crowd[position].kill()
            assert crowd[position].join() == -signal.SIGKILL, "it failed by itself"
            # The next one has the same end, so that each end keeps its users.
            successor = number * 8 + position
            crowd[position] = stack.enter_context(doomed(partial(work, successor)))
        for child in crowd:
            child.kill()
            assert child.join() == -signal.SIGKILL, "it failed by itself"
    # What is left in either direction is whole, and the pipe works.
    for near, far in ((a, b), (b, a)):
        with forked(lambda near=near: near.send("end")):  # type: ignore[misc]
            while (item := far.recv()) != "end":
                check(item)
    a.close()
    b.close()


def shared_counter() -> Any:
    """A number for each thread, which its process writes and all can read."""
    memory = mmap.mmap(-1, 64 * 8)
    return memoryview(memory).cast("Q")
