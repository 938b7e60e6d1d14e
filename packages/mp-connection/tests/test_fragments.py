"""Large messages in many packets: the calls for them, and the pairs they come over."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest
from mp_connection_forks import open_descriptors

from mp_connection import ChannelClosedError, Pipe, _backend
from mp_connection._framing import PRIVATE, Head, Message
from mp_connection._packets_linux import (
    CLOEXEC,
    DONTWAIT,
    ancillary,
    close_handles,
    close_spent,
    handles_of,
    is_announced,
    note_private,
    send_fragments,
    slice_reads,
)
from mp_connection.channel import PacketChannel, packet_pair

Pair = tuple[_socket.socket, _socket.socket]

native = _backend.native
needs_extension = pytest.mark.skipif(native is None, reason="there is no extension")

DATA = os.urandom(1000) * 300


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def receive(
    sock: _socket.socket, view: memoryview, reserve: int = 0, flags: int = 0
) -> tuple[int, object]:
    assert native is not None
    count, came = native.receive_fragments(sock.fileno, view, reserve, flags, True)
    return count, came


# ---------------------------------------------------------------------------- sending


def test_packets_of_one_length_are_sent(pair: Pair, backend: str) -> None:
    part, start = memoryview(DATA)[:4500], 500
    while start < len(part):
        before = start
        start = send_fragments(pair[0], part, start, 1500)
        assert start > before
    got = [pair[1].recv(9999) for _ in range(3)]
    assert [len(packet) for packet in got] == [1500, 1500, 1000]
    assert b"".join(got) == DATA[500:4500]


def test_what_finds_no_room_is_not_sent(pair: Pair, backend: str) -> None:
    part, start = memoryview(DATA), 0
    with pytest.raises(BlockingIOError):  # noqa: PT012
        while start < len(part):
            start = send_fragments(pair[0], part, start, 10_000, DONTWAIT)
    assert start % 10_000 == 0
    got = 0
    while got < start:
        got += len(pair[1].recv(99_999))
    with pytest.raises(BlockingIOError):
        pair[1].recv(1, DONTWAIT)


def test_a_far_end_that_is_gone_is_found_out(pair: Pair, backend: str) -> None:
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        send_fragments(pair[0], memoryview(DATA), 0, 1000)
    pair[0].close()
    with pytest.raises(ChannelClosedError):
        send_fragments(pair[0], memoryview(DATA), 0, 1000)


@needs_extension
def test_places_and_lengths_are_checked(pair: Pair) -> None:
    assert native is not None
    for start, fragment in ((-1, 10), (0, 0)):
        with pytest.raises(ValueError, match="negative"):
            native.send_fragments(pair[0].fileno, DATA, start, fragment, 0)
    assert native.send_fragments(pair[0].fileno, DATA, len(DATA), 10, 0) == len(DATA)


# -------------------------------------------------------------------------- receiving


@needs_extension
class TestReceiving:
    def test_packets_land_one_behind_the_other(self, pair: Pair) -> None:
        for start in range(0, 5000, 1000):
            pair[0].send(DATA[start : start + 1000])
        view = memoryview(bytearray(5000))
        assert receive(pair[1], view) == (5000, None)
        assert view == DATA[:5000]

    def test_it_stops_where_less_than_the_reserve_is_left(self, pair: Pair) -> None:
        for _ in range(5):
            pair[0].send(DATA[:1000])
        view = memoryview(bytearray(5000))
        assert receive(pair[1], view, reserve=1500) == (4000, None)
        assert receive(pair[1], view[4000:], reserve=1500) == (1000, None)

    def test_it_does_not_wait_for_more_than_there_is(self, pair: Pair) -> None:
        slice_reads(pair[1])
        pair[0].send(DATA[:1000])
        view = memoryview(bytearray(5000))
        start = time.monotonic()
        assert receive(pair[1], view) == (1000, None)
        assert time.monotonic() - start < 2  # a slice
        for flags in (0, DONTWAIT):
            with pytest.raises(BlockingIOError):
                receive(pair[1], view, flags=flags)

    def test_it_does_not_go_on_for_ever_while_more_comes(self, pair: Pair) -> None:
        view = memoryview(bytearray(10_000_000))
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.01):
                pair[0].send(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            start = time.monotonic()
            count, _ = receive(pair[1], view)
            assert 0 < count < 1000
            assert time.monotonic() - start < 2
        finally:
            stop.set()
            thread.join()

    def test_a_packet_that_is_too_long_tells_its_length(self, pair: Pair) -> None:
        pair[0].send(DATA[:1000])
        pair[0].send(DATA[:1001])
        assert receive(pair[1], memoryview(bytearray(2000))) == (2001, None)

    def test_the_end_is_no_bytes(self, pair: Pair) -> None:
        pair[0].send(DATA[:1000])
        pair[0].close()
        view = memoryview(bytearray(2000))
        assert receive(pair[1], view) == (1000, None)
        assert receive(pair[1], view) == (0, None)

    def test_what_came_before_a_reset_is_received(self, pair: Pair) -> None:
        pair[0].send(DATA[:1000])
        pair[1].send(b"unread")
        pair[0].close()
        assert receive(pair[1], memoryview(bytearray(1000))) == (1000, None)

    def test_a_descriptor_ends_it(self, pair: Pair) -> None:
        pair[0].send(DATA[:1000])
        pair[0].sendmsg([b"\0"], ancillary([pair[0].fileno()]))
        pair[0].send(DATA[1000:2000])
        view = memoryview(bytearray(2000))
        count, came = receive(pair[1], view)
        assert count == 1000
        assert isinstance(came, list)
        (handle,) = handles_of(came)
        assert not os.get_inheritable(handle)
        close_handles([handle])
        assert receive(pair[1], view[1000:]) == (1000, None)
        assert view == DATA[:2000]

    def test_more_than_one_descriptor_is_an_end_as_well(self, pair: Pair) -> None:
        pair[0].sendmsg([b"\0"], ancillary([pair[0].fileno()] * 3))
        count, came = receive(pair[1], memoryview(bytearray(2000)))
        assert count == 0
        assert isinstance(came, list)
        close_handles(handles_of(came))

    def test_descriptors_are_dropped_where_none_may_come(self, pair: Pair) -> None:
        pair[0].sendmsg([DATA[:1000]], ancillary([pair[0].fileno()]))
        before, view = open_descriptors(), memoryview(bytearray(1000))
        assert native is not None
        arguments = pair[1].fileno, view, 0, 0, False
        assert native.receive_fragments(*arguments) == (1000, None)
        assert open_descriptors() == before

    def test_a_closed_socket_is_an_error(self, pair: Pair) -> None:
        pair[1].close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            receive(pair[1], memoryview(bytearray(10)))

    def test_memory_has_to_be_writable(self, pair: Pair) -> None:
        with pytest.raises((TypeError, BufferError)):
            receive(pair[1], memoryview(b"12"))

    @pytest.mark.parametrize("there", [False, True])
    def test_a_signal_handler_that_raises_loses_nothing(
        self, pair: Pair, there: bool
    ) -> None:
        def handle(number: int, frame: FrameType | None) -> None:
            raise InterruptedError("by a handler")

        before = signal.signal(signal.SIGALRM, handle)
        filled = 0
        view = memoryview(bytearray(2000))
        assert native is not None
        if there:
            pair[0].send(DATA[:1000])
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            arguments = (pair[1].fileno,), (view,), (0,), (0,), (True,)
            with pytest.raises(InterruptedError, match="by a handler"):  # noqa: PT012
                for count, _ in map(native.receive_fragments, *arguments):
                    filled += count
                time.sleep(5)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert filled == (1000 if there else 0)

    def test_other_threads_run_meanwhile(self, pair: Pair) -> None:
        view = memoryview(bytearray(1000))

        def send() -> None:
            time.sleep(0.05)
            pair[0].send(view)

        thread = threading.Thread(target=send)
        thread.start()
        assert receive(pair[1], view) == (1000, None)
        thread.join()


# ------------------------------------------------------------- the ends of their pairs


def announce(sock: _socket.socket) -> None:
    """What a sender begins a large message with."""
    mine, theirs = packet_pair(shared=False)
    head = Head.of(Message([DATA], pickled=False), PRIVATE).encode()
    sock.sendmsg([head], ancillary([theirs.fileno()]))
    mine.close()
    theirs.close()


def test_announcements_are_told_from_other_packets(pair: Pair) -> None:
    assert not is_announced(pair[1])
    pair[0].send(b"\0some bytes")
    assert not is_announced(pair[1])
    pair[1].recv(100)
    announce(pair[0])
    before = open_descriptors()
    assert is_announced(pair[1])
    assert open_descriptors() == before
    pair[0].close()  # and the packet is still there
    packet, control, flags, _ = pair[1].recvmsg(1000, 1000, CLOEXEC)
    assert packet
    assert flags == CLOEXEC
    close_handles(handles_of(control))
    assert not is_announced(pair[1])
    pair[1].close()
    assert not is_announced(pair[1])


@pytest.mark.usefixtures("backend")
class TestSpentPairs:
    """The end of a pair that was read may stay until the next one is there."""

    def test_one_stays_while_the_next_message_is_announced(self) -> None:
        a, b = Pipe(False)
        before = open_descriptors()
        for _ in range(3):
            b.send_bytes(DATA[:100_000])  # fits in what the kernel buffers
        b.send(1)
        kept = []
        for _ in range(3):
            assert a.recv_bytes() == DATA[:100_000]
            kept.append(len(a._channel._spent))
        assert kept == [1, 1, 0]
        assert open_descriptors() == before
        assert a.recv() == 1
        a.close()
        b.close()

    def test_one_that_stays_goes_with_the_connection(self) -> None:
        before = open_descriptors()
        a, b = Pipe(False)
        channel: PacketChannel = a._channel
        announce(b._channel.sock)  # of a message that nobody receives
        mine, theirs = packet_pair(shared=False)
        note_private(mine)
        channel._spent[mine] = None
        a.close()
        assert mine.fileno() == -1
        assert not channel._spent
        b.close()
        theirs.close()
        assert open_descriptors() == before

    def test_threads_may_close_them_at_the_same_time(self) -> None:
        before = open_descriptors()
        spent: dict[_socket.socket, None] = {}
        for _ in range(200):
            mine, theirs = packet_pair(shared=False)
            theirs.close()
            note_private(mine)
            spent[mine] = None
        threads = [threading.Thread(target=close_spent, args=(spent,)) for _ in "12"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not spent
        assert open_descriptors() == before
