"""The limits of the design, met by root and by an ordinary user."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import mmap
import os
import resource
import signal
import socket
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mp_connection_forks import doomed, forked, in_child, open_descriptors

from mp_connection import Connection, HandleError, Pipe, TimeoutError
from mp_connection._pickling import pickle_with_handles
from mp_connection.handles import Handle, ReceivedHandle

Ends = tuple["Connection[Any, Any]", "Connection[Any, Any]"]

# What is loaded when it is first needed: root's files may be closed to nobody.
import mp_connection._explain
import mp_connection._splice
import mp_connection._stream_connection  # noqa: F401
from mp_testing import until

# Whatever carries the packets.
pytestmark = pytest.mark.usefixtures("backend")

#: A user whom nobody else is: the limit on what is in flight is the user's.
NOBODY = 60_000 + os.getpid() % 5000


def unix_ends() -> Ends:
    one, other = socket.socketpair()
    return Connection(one.detach()), Connection(other.detach())


@pytest.fixture(params=[Pipe, unix_ends])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    one, other = request.param()
    with one, other:
        yield one, other


@pytest.fixture(params=["root", "nobody"])
def become(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Makes a forked child one of this user's processes."""
    if os.getuid() != 0:
        if request.param == "root":
            pytest.skip("the tests do not run as root")
        return lambda: None

    def become() -> None:
        if request.param == "nobody" and os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    return become


class Owner:
    """Owns a descriptor; each object travels with one of its own."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (Handle(self.fd),)


def rebuild(handle: ReceivedHandle) -> Owner:
    return Owner(handle.take())


def limit_files(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


# -------------------------------------------------------------------- 253 in a packet


@pytest.mark.parametrize("count", [252, 253, 254, 600])
def test_more_descriptors_than_a_packet_holds(
    ends: Ends, become: Callable[[], None], count: int
) -> None:
    one, other = ends

    def send() -> None:
        become()
        fd = os.memfd_create("sent")
        os.write(fd, b"content")
        one.send([Owner(fd) for _ in range(count)])
        one.send("next")

    def receive() -> None:
        become()
        before = open_descriptors()
        with forked(send):
            owners = other.recv()
            assert len({owner.fd for owner in owners}) == count
            for owner in owners:
                assert os.pread(owner.fd, 100, 0) == b"content"
                os.close(owner.fd)
            assert other.recv() == "next"
        assert open_descriptors() == before

    in_child(receive)


# ------------------------------------------------------------------ in flight, per user


def ancillary(one: Connection[Any, Any], count: int) -> list[Any]:
    fds = array("i", [one.fileno()] * count)
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]


@pytest.mark.parametrize("large", [False, True])
def test_too_many_descriptors_in_flight_wait_for_room(
    ends: Ends, become: Callable[[], None], large: bool
) -> None:
    """All messages arrive, whole and in order, whoever else sends.

    Nobody holds what is in flight and waits for more: the receiver of one message takes
    no other one.
    """
    one, other = ends
    count, per_message = 150, 10
    payload = b"x" * (300_000 if large else 10)

    def send(number: int) -> None:
        become()
        limit_files(64)
        for index in range(count):
            owners = [Owner(one.fileno()) for _ in range(per_message)]
            one.send((number, index, payload, owners))

    # Over a stream only one process may send.
    senders = 2 if one._channel.__class__.__name__ == "PacketChannel" else 1
    seen: list[list[int]] = [[], []]

    with forked(lambda: send(0)):
        extra = [Sending(lambda: send(1))] if senders == 2 else []
        for _ in range(count * senders):
            number, index, data, owners = other.recv()
            assert data == payload
            assert len(owners) == per_message
            for owner in owners:
                os.close(owner.fd)
            seen[number].append(index)
        for sending in extra:
            sending.join()
    assert seen == [list(range(count)), list(range(count)) if senders == 2 else []]


class Sending:
    """A child, for the length of a test."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._context = forked(function)
        self._context.__enter__()

    def join(self) -> None:
        self._context.__exit__(None, None, None)


@pytest.mark.skipif(os.getuid() != 0, reason="cannot become another user")
def test_a_send_waits_while_too_many_descriptors_are_in_flight(ends: Ends) -> None:
    """It is the limit that it waits for, and room that lets it go on."""
    one, other = ends
    report, reports = os.pipe()
    go, goes = os.pipe()

    def send() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        limit_files(64)
        # The channel's own words for it, without waiting.
        message = pickle_with_handles([Owner(one.fileno()) for _ in range(20)])
        near, far = socket.socketpair()
        sent, refusal = 0, None
        with near, far:
            while True:  # somewhere else: the limit is the user's
                try:
                    near.sendmsg([b"x"], ancillary(one, 20), socket.MSG_DONTWAIT)
                    sent += 1
                except OSError as error:
                    refusal = error.errno
                    break
            assert sent
            assert refusal == errno.ETOOMANYREFS
            threading.Thread(target=drain_when_told, args=(far, go)).start()
            os.write(reports, b"full")
            one._send_message(message)
            os.write(reports, b"sent")

    with forked(send):
        assert os.read(report, 4) == b"full"
        assert not other.poll(0.1)  # nothing can come before there is room
        os.write(goes, b"x")
        owners = other.recv(timeout=20)
        assert len(owners) == 20
        for owner in owners:
            os.close(owner.fd)
        assert os.read(report, 4) == b"sent"
    for fd in (report, reports, go, goes):
        os.close(fd)


def drain_when_told(far: socket.socket, go: int) -> None:
    os.read(go, 1)
    while True:
        try:
            _, fds, _, _ = socket.recv_fds(far, 100, 253, socket.MSG_DONTWAIT)
        except (BlockingIOError, ValueError, OSError):
            return
        for fd in fds:
            os.close(fd)
        if not fds:
            return


# --------------------------------------------------------------- EMFILE in the receiver


@pytest.mark.parametrize("count", [1, 20, 300])
def test_a_receiver_that_may_open_no_more_files_loses_one_message(
    ends: Ends, become: Callable[[], None], count: int
) -> None:
    one, other = ends

    def receive() -> None:
        become()
        with forked(send):
            assert other.poll(20)
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            before = open_descriptors()
            # Room for some of them, and for what a large message needs itself.
            highest = max(map(int, os.listdir("/proc/self/fd")))
            fillers = [os.dup(0) for _ in range(highest + 1)]
            room = max(fillers) + 1 + (2 if count > 1 else 0)
            resource.setrlimit(resource.RLIMIT_NOFILE, (room, soft))
            with pytest.raises(HandleError, match="RLIMIT_NOFILE"):
                other.recv()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
            for fd in fillers:
                os.close(fd)
            assert open_descriptors() == before
            (owner,) = other.recv()
            os.close(owner.fd)
            assert other.recv() == "next"

    def send() -> None:
        one.send([Owner(one.fileno()) for _ in range(count)])
        one.send([Owner(one.fileno())])
        one.send("next")

    in_child(receive)


# ---------------------------------------------------------------------- killed half-way


@pytest.mark.parametrize("how", ["recv", "recv_bytes", "into"])
def test_a_sender_killed_within_a_large_message_is_the_end(
    ends: Ends, how: str
) -> None:
    one, other = ends
    size = 50 << 20

    def send() -> None:
        other.close()
        if how == "recv":
            one.send({"data": b"x" * size})
        else:
            one.send_bytes(bytes(size))

    buffer = bytearray(size)
    with doomed(send) as sender:
        one.close()
        assert other.poll(20)
        got: list[BaseException] = []

        def receive() -> None:
            try:
                if how == "into":
                    other.recv_bytes_into(buffer)
                else:
                    getattr(other, how)()
            except BaseException as error:
                got.append(error)

        os.kill(sender.pid, signal.SIGSTOP)
        receiver = threading.Thread(target=receive)
        receiver.start()
        sender.kill()
        receiver.join(20)
        assert not receiver.is_alive()
    assert [type(error) for error in got] == [EOFError]


def test_a_sender_that_stops_within_a_large_message_meets_the_deadline(
    ends: Ends,
) -> None:
    """And when it goes on, what had arrived is there."""
    one, other = ends
    value = {"data": b"x" * (50 << 20), "end": 1}
    with doomed(lambda: one.send(value)) as sender:
        assert other.poll(20)
        # Asleep in the middle, since nobody reads.
        until(lambda: state(sender.pid) == "S")
        os.kill(sender.pid, signal.SIGSTOP)
        until(lambda: state(sender.pid) == "T")
        for _ in range(2):
            start = time.monotonic()
            with pytest.raises(TimeoutError):
                other.recv(timeout=0.1)
            assert 0.09 < time.monotonic() - start < 10
        os.kill(sender.pid, signal.SIGCONT)
        assert other.recv(timeout=30) == value


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


# ------------------------------------------------------------------------ over 2 GiB


def available() -> int:
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("into", [False, True])
def test_more_than_two_gibibytes(ends: Ends, into: bool) -> None:
    """The length does not fit into the header's four bytes."""
    one, other = ends
    size = (21 << 30) // 10
    needed = size + (1 << 30)
    if available() < needed:
        pytest.skip(f"{needed >> 20} MiB of memory needed, {available() >> 20} there")
    marks = {0: b"begin", (1 << 31) - 3: b"middle", size - 3: b"end"}

    def send() -> None:
        # Memory that nobody has written to takes none.
        with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as data:
            for position, mark in marks.items():
                data[position : position + len(mark)] = mark
            one.send_bytes(data)
        one.send_bytes(b"next")

    with forked(send), contextlib.ExitStack() as stack:
        if into:
            room = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            stack.enter_context(room)
            assert other.recv_bytes_into(room) == size
            got = memoryview(room)
        else:
            got = memoryview(other.recv_bytes())
        assert len(got) == size
        for position, mark in marks.items():
            assert got[position : position + len(mark)] == mark
        assert got[5:4096] == bytes(4091)
        got.release()
        assert other.recv_bytes() == b"next"
