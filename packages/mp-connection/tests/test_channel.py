"""Packet channels: messages of any size over packets, whatever happens on the way."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import array
import contextlib
import gc
import os
import random
import resource
import signal
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import example, given, settings, strategies as st
from mp_connection_channels import Channels
from mp_connection_forks import doomed, forked, in_child, open_descriptors
from mp_connection_memory import resident

from mp_connection import ChannelClosedError, FramingError, HandleError
from mp_connection._channel import is_packet_socket
from mp_connection._framing import (
    FRAGMENTS,
    INLINE,
    INLINE_LIMIT,
    PRIVATE,
    Head,
    fragment_packets,
)
from mp_connection._packets_linux import (
    SLICE_SECONDS,
    InFlightError,
    packets,
    private_pair,
    send_packet,
)
from mp_connection._parts import AT_ONCE
from mp_connection._receiver_linux import Receiver
from mp_connection._sender_linux import Sender
from mp_connection.channel import (
    DONTWAIT,
    Message,
    PacketChannel,
    Received,
    adopt,
    packet_pair,
    ready_to_read,
)
from mp_testing import until

pytestmark = pytest.mark.usefixtures("backend")

#: So long that it comes in more than a few steps, whatever the backend.
LARGE = AT_ONCE + (8 << 20)
T = TypeVar("T")


@pytest.fixture
def single() -> Iterator[Channels]:
    """Two ends that have one user each."""
    first, second = (PacketChannel(end) for end in packet_pair(False))
    yield first, second
    first.close()
    second.close()


def raw(size: int) -> Message:
    return Message([os.urandom(32) * (size // 32)], pickled=False)


def content(received: Received) -> bytes:
    assert not received.handles
    return b"".join(bytes(part) for part in received.parts)


def blocking(sock: _socket.socket) -> bool:
    return os.get_blocking(sock.fileno())


# ------------------------------------------------------------------------------ pairs


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("default", [None, 0.0, 5.0])
def test_a_pair_blocks_and_is_closed_by_exec_whatever_the_default_time_out(
    shared: bool, default: float | None
) -> None:
    socket.setdefaulttimeout(default)
    try:
        for end in packet_pair(shared):
            assert blocking(end)
            assert not os.get_inheritable(end.fileno())
            assert end.gettimeout() is None
            adopted = adopt(os.dup(end.fileno()))
            assert blocking(end)
            adopted.close()
            end.close()
    finally:
        socket.setdefaulttimeout(None)


def timeval(end: _socket.socket, option: int) -> float:
    seconds, microseconds = struct.unpack(
        "@ll", end.getsockopt(socket.SOL_SOCKET, option, 16)
    )
    return float(seconds + microseconds / 1e6)


def test_blocking_calls_on_a_shared_end_return_in_slices() -> None:
    for shared, expected in ((True, SLICE_SECONDS), (False, 0.0)):
        for end in packet_pair(shared):
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                # The kernel rounds up to its clock tick.
                assert timeval(end, option) == pytest.approx(expected, abs=0.011)
            end.close()
    a, b = packet_pair(True)
    start = time.monotonic()
    with pytest.raises(BlockingIOError):
        a.recv(1)
    assert 0.15 < time.monotonic() - start < 2
    a.close()
    b.close()


def test_is_packet_socket() -> None:
    a, b = packet_pair(False)
    c, d = socket.socketpair()
    read, write = os.pipe()
    assert is_packet_socket(a.fileno())
    assert not is_packet_socket(c.fileno())
    assert not is_packet_socket(read)
    for fd in (read, write):
        os.close(fd)
    assert not is_packet_socket(read)
    for sock in (a, b, c, d):
        sock.send(b"still open")
    for sock in (a, b, c, d):
        sock.close()


# --------------------------------------------------------------------------- messages

SIZES = [0, 1, 64, INLINE_LIMIT - 32, INLINE_LIMIT, INLINE_LIMIT + 32, 300_000, 3 << 20]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["pair", "single"])
def test_messages_of_any_size_arrive(
    size: int, kind: str, request: pytest.FixtureRequest
) -> None:
    a, b = request.getfixturevalue(kind)
    message = raw(size)

    def answer() -> None:
        for _ in range(2):
            received = b.recv()
            assert not received.pickled
            b.send(Message(received.parts, pickled=False))

    with forked(answer):
        for _ in range(2):
            a.send(message)
            assert content(a.recv()) == bytes(message.parts[0])


@pytest.mark.parametrize("kind", ["pair", "single"])
def test_parts_keep_their_borders_and_the_type_of_memory(
    kind: str, request: pytest.FixtureRequest
) -> None:
    a, b = request.getfixturevalue(kind)
    for parts in (
        [b"\x80pickle", b"", b"xyz"],
        [b"\x80pickle", bytes(100_000), b"", bytes(50_000), b""],
        [bytes(10)] * 999,
    ):
        a.send(Message(parts))
        received = b.recv()
        assert [bytes(part) for part in received.parts] == parts
        assert received.pickled


@pytest.mark.parametrize("count", [1, 252, 253, 254, 1000])
@pytest.mark.parametrize("size", [0, 300_000])
@pytest.mark.parametrize("kind", ["pair", "single"])
def test_any_number_of_descriptors_arrives(
    kind: str, size: int, count: int, request: pytest.FixtureRequest
) -> None:
    a, b = request.getfixturevalue(kind)
    null = os.open("/dev/null", os.O_RDWR)

    def send() -> None:
        a.send(Message([bytes(size)], [null, a.fileno()] * (count // 2)))
        a.send(Message([b"next"], [null] * count, pickled=False))

    with forked(send):
        received = b.recv()
        assert len(bytes(received.parts[0])) == size
        assert len(received.handles) == count // 2 * 2
        assert [
            os.readlink(f"/proc/self/fd/{fd}") for fd in received.handles[:4:2]
        ] == ["/dev/null"] * min(2, count // 2)
        assert not any(os.get_inheritable(fd) for fd in received.handles)
        received.close()
        received.close()
        last = b.recv()
        assert len(last.handles) == count
    os.close(null)
    del last  # a message that is dropped closes its descriptors


def test_descriptors_are_the_receivers_own(pair: Channels) -> None:
    a, b = pair
    read, write = os.pipe()
    a.send(Message([b"x"], [write], pickled=False))
    os.close(write)
    received = b.recv()
    os.write(received.handles[0], b"through")
    received.close()
    assert os.read(read, 100) == b"through"
    assert os.read(read, 100) == b""
    os.close(read)


def test_a_sender_may_push_and_flush_without_waiting(single: Channels) -> None:
    a, b = single
    messages = [raw(size) for size in (32, 3 << 20, 0, 700_000, 64)]
    for message in messages:
        a.push(message)
    assert not a.flush()
    got: list[bytes] = []
    while len(got) < len(messages):
        received = b.try_recv()
        if received is None:
            a.flush()
        else:
            got.append(content(received))
    assert a.flush()
    assert got == [bytes(message.parts[0]) for message in messages]


def test_an_end_that_is_not_shared_keeps_order_between_push_and_send(
    single: Channels,
) -> None:
    a, b = single
    a.push(Message([b"1"], pickled=False))
    a.send(Message([b"2"], pickled=False))
    assert [content(b.recv()) for _ in range(2)] == [b"1", b"2"]


def test_a_small_send_buffer_of_the_system_is_no_limit() -> None:
    for shared in (True, False):
        a, b = (PacketChannel(end, shared) for end in packet_pair(shared))
        a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with forked(partial(a.send, raw(64_000))):
            assert len(content(b.recv())) == 64_000
        a.close()
        b.close()


# ------------------------------------------------------------------------- what waits


def test_a_send_that_waits_for_slices_loses_and_repeats_nothing(pair: Channels) -> None:
    a, b = pair
    go_read, go_write = os.pipe()

    def send() -> None:
        for number in range(600):
            if number == 10:
                os.write(go_write, b"x")
            a.send(Message([b"%d" % number, bytes(2000)], pickled=False))

    with forked(send):
        os.read(go_read, 1)
        time.sleep(3 * SLICE_SECONDS)  # the sender blocks for longer than a slice
        got = [int(bytes(b.recv().parts[0])) for _ in range(600)]
    assert got == list(range(600))
    for fd in (go_read, go_write):
        os.close(fd)


def test_nobody_needs_a_blocking_description(pair: Channels) -> None:
    a, b = pair
    for channel in pair:
        os.set_blocking(channel.fileno(), False)  # by somebody else who holds it
    cpu = time.process_time()
    threading.Timer(0.5, lambda: a.send(raw(32))).start()
    assert len(content(b.recv())) == 32
    assert time.process_time() - cpu < 0.3  # waiting is not spinning
    received = []
    thread = threading.Thread(target=lambda: received.append(b.recv()))
    thread.start()
    a.send(raw(1 << 20))
    thread.join(10)
    assert len(content(received[0])) == 1 << 20
    assert not blocking(a.sock)


@pytest.mark.parametrize("seconds", [-1, 0.0, 0.05, 0.5])
@pytest.mark.parametrize("kind", ["pair", "single"])
def test_a_deadline_ends_the_wait_for_a_message(
    seconds: float, kind: str, request: pytest.FixtureRequest
) -> None:
    a, b = request.getfixturevalue(kind)
    start = time.monotonic()
    with pytest.raises(BlockingIOError):
        b.recv(start + seconds)
    assert seconds - 0.01 <= time.monotonic() - start < max(seconds, 0) + 1
    a.send(Message([b"x"], pickled=False))
    assert content(b.recv(time.monotonic() - 1)) == b"x"
    assert blocking(b.sock)


def begin_privately(channel: PacketChannel, message: Message) -> tuple[
    _socket.socket, list[bytes]
]:  # fmt: skip
    """Announce a message as a sender does: its end, and the packets to send there."""
    mine, theirs = private_pair()
    lengths = [len(part) for part in message.parts]
    head = Head(message.pickled, PRIVATE, 0, lengths)
    send_packet(channel.sock, [head.encode()], [theirs.fileno()])
    theirs.close()
    pieces = [bytes(p) for (p,), _ in fragment_packets(message, PRIVATE, 50_000)]
    return mine, pieces


def test_a_deadline_covers_the_whole_of_a_large_message(pair: Channels) -> None:
    a, b = pair
    message = raw(160_000)
    mine, pieces = begin_privately(a, message)
    for piece in pieces[:2]:
        mine.send(piece)
    for seconds in (0.0, 0.1, 0.5):
        start = time.monotonic()
        with pytest.raises(BlockingIOError):
            b.recv(start + seconds)
        assert time.monotonic() - start < seconds + 1
    assert b.try_recv() is None
    assert b.pending
    for piece in pieces[2:]:
        mine.send(piece)
    assert content(b.recv(time.monotonic() + 5)) == bytes(message.parts[0])
    assert not b.kept
    mine.close()


def test_other_messages_overtake_half_a_message(pair: Channels) -> None:
    a, b = pair
    first, pieces = begin_privately(a, Message([bytes(100_000)], pickled=False))
    assert b.try_recv() is None
    a.send(Message([b"small"], pickled=False))
    # A second reader, in a thread as in a process, takes the next message.
    half = b.kept.pop()
    assert content(b.recv()) == b"small"
    b.kept.append(half)
    for piece in pieces:
        first.send(piece)
    assert len(content(b.recv())) == 100_000
    first.close()


def test_half_a_message_is_not_received_by_a_forked_child_too(pair: Channels) -> None:
    a, b = pair
    mine, pieces = begin_privately(a, raw(96_000))
    mine.send(pieces[0])
    assert b.try_recv() is None

    def child() -> None:
        assert not b.pending
        with pytest.raises(BlockingIOError):
            b.recv(time.monotonic() + 0.1)
        assert not b.kept

    in_child(child)
    mine.send(pieces[1])
    assert len(content(b.recv())) == 96_000
    mine.close()


def test_closing_drops_half_a_message_and_the_sender_learns(pair: Channels) -> None:
    a, b = pair
    mine, _ = begin_privately(a, raw(96_000))
    assert b.try_recv() is None
    b.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        mine.send(b"x")
    mine.close()


# ------------------------------------------------------------------------- interruption


class Interruption(BaseException):
    """What a signal handler raises; like KeyboardInterrupt."""


class Interrupter:
    """Interrupts what runs in its ``with`` blocks, at random and once in each."""

    def __init__(self) -> None:
        self.count = 0
        self.armed = False
        signal.signal(signal.SIGALRM, self.interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)

    def interrupt(self, *_: object) -> None:
        if self.armed:
            self.armed = False
            self.count += 1
            raise Interruption

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def call(self, function: Callable[[], T]) -> T:
        """Call again and again until the function comes to its end."""
        result: list[T] = []
        seconds = 0.0002  # on a fast machine a large message takes half of that
        while True:
            # Later each time, lest a slow machine never come to an end.
            first = random.uniform(0.00001, seconds)
            signal.setitimer(signal.ITIMER_REAL, first, 0.0007)
            seconds *= 1.2
            try:
                self.armed = True
                # Stored before a handler can run, as everything else is here.
                result += (function(),)
                self.armed = False
                return result[0]
            except Interruption:
                pass
            if result:
                return result[0]


def test_interruptions_lose_nothing_of_small_and_large_messages(
    pair: Channels,
) -> None:
    a, b = pair
    sizes = [0, 50, 70_000, 400, 600_000, 3000] * 40

    def send() -> None:
        for number, size in enumerate(sizes):
            a.send(Message([b"%d " % number + bytes(size)], pickled=False))

    def receive() -> None:
        interrupter = Interrupter()
        numbers: list[int] = []
        while len(numbers) < len(sizes):
            received = interrupter.call(b.recv)
            data = bytes(received.parts[0])
            numbers.append(int(data[:4].split(b" ")[0]))
            assert len(data) > sizes[numbers[-1]]
        interrupter.stop()
        assert sorted(numbers) == list(range(len(sizes)))
        assert interrupter.count > 5

    with forked(send):
        in_child(receive)


def test_an_interrupted_sender_tears_nothing(pair: Channels) -> None:
    a, b = pair

    def send() -> None:
        message = raw(3 << 20)
        interrupter = Interrupter()
        while interrupter.count < 30:
            interrupter.call(lambda: a.send(message))
        interrupter.stop()
        a.send(Message([b"end"], pickled=False))

    with forked(send):
        while (data := content(b.recv())) != b"end":
            assert len(data) == 3 << 20
            assert data[:32] == data[-32:]


def test_an_interrupted_flush_goes_on_where_it_was(single: Channels) -> None:
    a, b = single

    def send() -> None:
        sender = Sender(a.sock)
        for number in range(200):
            sender.push(Message([struct.pack("I", number) * 20_000], pickled=False))
        interrupter = Interrupter()
        assert interrupter.call(sender.flush)
        interrupter.stop()

    with forked(send):
        for number in range(200):
            assert bytes(b.recv().parts[0]) == struct.pack("I", number) * 20_000


# ------------------------------------------------------------------- ends that are gone


@pytest.mark.parametrize("size", [10, 1 << 20])
@pytest.mark.parametrize("kind", ["pair", "single"])
def test_sending_to_nobody_is_a_broken_pipe(
    size: int, kind: str, request: pytest.FixtureRequest
) -> None:
    a, b = request.getfixturevalue(kind)
    a.send(raw(32))  # unread, which makes the first error ECONNRESET
    b.close()
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            a.send(raw(size))


def test_what_nobody_received_is_not_sent_again(single: Channels) -> None:
    """Its descriptors are closed by then, or are others with the same numbers."""
    ours, theirs = single
    theirs.close()
    reading, writing = os.pipe()
    with pytest.raises(BrokenPipeError):
        ours.send(Message([b"first"], [reading], pickled=False))
    os.close(reading)
    os.close(writing)
    with pytest.raises(BrokenPipeError):
        ours.send(Message([b"second"], pickled=False))


@pytest.mark.parametrize("kind", ["pair", "single"])
def test_an_error_that_is_over_keeps_nothing_of_the_message(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Its owner may hold what keeps another process running."""

    class Owner:
        pass

    ours, theirs = request.getfixturevalue(kind)
    theirs.close()
    message = Message([b"data"], pickled=False)
    message.owner = Owner()
    alive = weakref.ref(message.owner)
    gc.disable()
    try:
        with contextlib.suppress(BrokenPipeError):
            ours.send(message)
        del message
        assert alive() is None
    finally:
        gc.enable()


def test_a_message_that_cannot_be_sent_is_not_in_the_way(single: Channels) -> None:
    ours, theirs = single
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        ours.send(Message([b"first"], [reading], pickled=False))
    ours.send(Message([b"second"], pickled=False))
    assert theirs.recv().parts == [b"second"]


def test_a_far_end_that_is_gone_is_no_signal(pair: Channels) -> None:
    a, b = pair
    b.close()

    def child() -> None:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for size in (10, 100_000):
            with pytest.raises(BrokenPipeError):
                a.send(raw(size))

    in_child(child)


def test_a_large_message_is_sent_again_when_its_reader_dies(pair: Channels) -> None:
    a, b = pair
    message = raw(LARGE)

    def read_some() -> None:
        receiver = Receiver(b.sock, True)
        for _ in range(4):
            receiver.step()
        os.kill(os.getpid(), signal.SIGKILL)

    with doomed(read_some) as reader, forked(lambda: a.send(message)):
        assert reader.join() == -signal.SIGKILL
        assert content(b.recv()) == bytes(message.parts[0])


def test_a_sender_gives_up_when_all_readers_have_died(pair: Channels) -> None:
    a, b = pair

    def read_some() -> None:
        receiver = Receiver(b.sock, True)
        for _ in range(4):
            receiver.step()
        os.kill(os.getpid(), signal.SIGKILL)

    with doomed(read_some) as reader:
        b.close()
        with pytest.raises(BrokenPipeError):
            a.send(raw(LARGE))
        assert reader.join() == -signal.SIGKILL


@pytest.mark.parametrize("last", [False, True])
def test_a_sender_killed_within_a_message_costs_only_that(
    pair: Channels, last: bool
) -> None:
    a, b = pair

    def send_forever() -> None:
        while True:
            a.send(raw(LARGE))

    with doomed(send_forever) as sender:
        received = b.recv()
        assert len(content(received)) == LARGE
        until(lambda: ready_to_read(b.fileno(), 0))
        receiver = Receiver(b.sock, True)
        for _ in range(4):
            assert receiver.step() is None
        sender.kill()
        sender.join()
        if last:
            a.close()
        else:
            a.send(Message([b"alive"], pickled=False))
        # The rest of the message that was under way is dropped.
        while receiver.started:
            assert receiver.step() is None
        if last:
            with pytest.raises(EOFError):
                b.recv()
        else:
            assert content(b.recv()) == b"alive"


def test_fragments_of_a_sender_that_died_are_the_end_of_the_channel(
    single: Channels,
) -> None:
    a, b = single
    a.push(raw(1 << 20))
    assert not a.flush()
    a.close()
    with pytest.raises(EOFError, match="died"):
        b.recv()


def test_a_fork_does_not_hide_the_death_of_a_sender(pair: Channels) -> None:
    a, b = pair
    ready, tell = os.pipe()

    def send() -> None:
        # The grandchild is forked while the message is under way.
        def fork(*_: object) -> None:
            if os.fork() == 0:
                time.sleep(5)
                os._exit(0)
            os.write(tell, b"x")

        signal.signal(signal.SIGALRM, fork)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        a.send(raw(LARGE))

    with doomed(send) as sender:
        assert os.read(ready, 1)
        sender.kill()
        sender.join()
        start = time.monotonic()
        with pytest.raises(BlockingIOError):
            b.recv(start + 0.5)
        assert not b.pending
    os.close(ready)
    os.close(tell)


# ---------------------------------------------------------------------------- closing


@pytest.mark.parametrize("deadline", [None, 5.0])
@pytest.mark.parametrize("private", [False, True])
def test_close_ends_a_receive_in_another_thread(
    pair: Channels, deadline: float | None, private: bool
) -> None:
    a, b = pair
    mine = None
    if private:
        mine, _ = begin_privately(a, raw(96_000))
    errors: list[BaseException] = []

    def receive() -> None:
        try:
            b.recv(None if deadline is None else time.monotonic() + deadline)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    time.sleep(0.05)
    start = time.monotonic()
    b.close()
    thread.join(5)
    assert time.monotonic() - start < SLICE_SECONDS + 0.5
    assert [type(error) for error in errors] == [ChannelClosedError]
    if mine is not None:
        mine.close()


@pytest.mark.parametrize("size", [10_000, 8 << 20])
def test_close_ends_a_send_in_another_thread(pair: Channels, size: int) -> None:
    a, _ = pair
    errors: list[BaseException] = []

    def send() -> None:
        try:
            while True:
                a.send(raw(size))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.1)
    start = time.monotonic()
    a.close()
    thread.join(5)
    assert time.monotonic() - start < SLICE_SECONDS + 0.5
    assert [type(error) for error in errors] == [ChannelClosedError]


def test_a_closed_channel_says_so(pair: Channels) -> None:
    a, _ = pair
    a.close()
    a.close()
    assert a.fileno() == -1
    for call in (a.recv, a.try_recv, lambda: a.recv(0.0)):
        with pytest.raises(ChannelClosedError):
            call()
    for size in (10, 100_000):
        with pytest.raises(ChannelClosedError):
            a.send(raw(size))


def test_a_detached_descriptor_is_the_callers(pair: Channels) -> None:
    a, b = pair
    fd = a.detach()
    assert a.fileno() == -1
    again = PacketChannel(adopt(fd), True)
    again.send(Message([b"x"], pickled=False))
    assert content(b.recv()) == b"x"
    again.close()


# ----------------------------------------------------------------- what is no message

received_heads = st.builds(
    Head,
    pickled=st.booleans(),
    transport=st.integers(0, 2),
    handles=st.integers(0, 3),
    lengths=st.lists(st.integers(0, 40) | st.just(2**62), min_size=1, max_size=3),
).map(Head.encode)
packet_bytes = st.binary(min_size=1, max_size=40) | st.builds(
    lambda *parts: b"".join(parts),
    received_heads | st.sampled_from([b"\0", b"\1", b"\2", b"\x80"]),
    st.binary(max_size=40),
)
packet_kinds = st.lists(
    st.tuples(packet_bytes, st.sampled_from(["", "null", "nulls", "packet", "stream"])),
    min_size=1,
    max_size=5,
)


@settings(max_examples=250)
@given(packet_kinds, st.booleans())
@example([(Head(False, FRAGMENTS, 0, [2**62]).encode(), "")], False)
@example([(Head(False, PRIVATE, 2, [1]).encode(), "packet"), (b"\2", "nulls")], True)
@example([(Head(True, FRAGMENTS, 2, [1]).encode(), "null"), (b"\2", "null")], False)
@example([(Head(False, PRIVATE, 0, [0]).encode(), "null")], True)
def test_any_packets_are_messages_or_framing_errors(
    kinds: list[tuple[bytes, str]], shared: bool
) -> None:
    before = open_descriptors()
    a, b = packet_pair(shared)
    null = os.open("/dev/null", os.O_RDONLY)
    near, far = packet_pair(True)
    stream, other = socket.socketpair()
    near.send(b"12345")
    near.send(b"6")
    near.close()
    handles = {
        "": [],
        "null": [null],
        "nulls": [null, null, null],
        "packet": [far.fileno()],
        "stream": [stream.fileno()],
    }
    for data, kind in kinds:
        send_packet(a, [data], handles[kind])
    a.close()
    other.close()
    channel = PacketChannel(b, shared)
    tries = 0
    while True:
        tries += 1
        assert tries < 20
        try:
            received = channel.recv(time.monotonic() + 1)
        except FramingError:
            continue
        except EOFError:
            break
        assert sum(len(memoryview(part)) for part in received.parts) < 200
        received.close()
    channel.close()
    for sock in (far, stream):
        sock.close()
    os.close(null)
    assert open_descriptors() == before


def test_a_lying_length_takes_no_memory(pair: Channels) -> None:
    a, b = pair
    before = resident()
    for length in (AT_ONCE + 1, 2**62, 2**64 - 1):
        mine, _ = begin_privately(a, Message([b""]))
        b.try_recv()
        mine.close()
        mine, theirs = private_pair()
        head = Head(False, PRIVATE, 0, [length, length])
        send_packet(a.sock, [head.encode()], [theirs.fileno()])
        theirs.close()
        mine.send(bytes(100_000))
        assert b.try_recv() is None
        assert resident() - before < 4 << 20
        mine.close()
        assert b.try_recv() is None  # a sender that died


def test_a_packet_that_is_too_long_is_a_framing_error(pair: Channels) -> None:
    a, b = pair
    for first in (b"\0", b"\x80", Head(False, INLINE, 0, [90_000]).encode()):
        a.sock.send(first + bytes(90_000))
        with pytest.raises(FramingError):
            b.recv()
    a.send(Message([b"next"], pickled=False))
    assert content(b.recv()) == b"next"


def test_a_fragment_longer_than_what_is_missing_is_a_framing_error() -> None:
    for lengths, sizes in (([10], [11]), ([10, 10], [10, 15]), ([9, 10], [4, 6])):
        a, b = packet_pair(False)
        a.send(Head(False, FRAGMENTS, 0, lengths).encode())
        for size in sizes:
            a.send(bytes(size))
        receiver = Receiver(b)
        with pytest.raises(FramingError):  # noqa: PT012
            for _ in range(len(sizes) + 1):
                assert receiver.step(DONTWAIT) is None
        assert not receiver.started
        a.close()
        b.close()


def test_fragments_on_a_shared_channel_are_a_framing_error(pair: Channels) -> None:
    a, b = pair
    a.sock.send(Head(False, FRAGMENTS, 0, [3]).encode())
    with pytest.raises(FramingError):
        b.recv()


def test_descriptors_that_nobody_announced_are_closed(pair: Channels) -> None:
    a, b = pair
    before = open_descriptors()
    for data in (b"\x80x", b"\0x"):
        send_packet(a.sock, [data], [a.fileno()])
        assert not b.recv().handles
    assert open_descriptors() == before


# ---------------------------------------------------------------- limits on descriptors


def limit_descriptors(more: int) -> None:
    """Let this process open only so many more descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, open_descriptors())) + more
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
    taken = []
    with contextlib.suppress(OSError):
        while True:  # the gaps below
            taken.append(os.dup(0))
    for fd in taken[len(taken) - more :]:
        os.close(fd)


@pytest.mark.parametrize("kind", ["pair", "single"])
@pytest.mark.parametrize(("count", "size"), [(10, 3), (600, 3), (600, 300_000)])
def test_descriptors_that_may_not_be_opened_cost_only_their_message(
    kind: str, count: int, size: int, request: pytest.FixtureRequest
) -> None:
    a, b = request.getfixturevalue(kind)

    def send() -> None:
        b.close()
        a.send(Message([bytes(size)], [a.fileno()] * count))
        a.send(Message([b"next"], [a.fileno()], pickled=False))
        a.send(Message([b"last"], pickled=False))

    def receive() -> None:
        a.close()
        limit_descriptors(5)
        before = open_descriptors()
        got: list[object] = []
        while b"last" not in got:
            try:
                received = b.recv()
                got.append(bytes(received.parts[0]))
                received.close()
            except HandleError as error:
                got.append("lost" if "RLIMIT_NOFILE" in str(error) else error)
            assert open_descriptors() == before
        assert got == ["lost", b"next", b"last"]

    with forked(send), forked(receive):
        pass


def test_no_descriptor_left_for_a_large_message_costs_no_other(pair: Channels) -> None:
    a, b = pair

    def send() -> None:
        a.send(Message([b"first"], pickled=False))
        a.send(raw(8 << 20))

    def receive() -> None:
        assert content(b.recv()) == b"first"
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit_descriptors(0)
        with pytest.raises(HandleError):
            b.recv()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(content(b.recv())) == 8 << 20  # it was sent again

    with forked(send):
        in_child(receive)


def become_nobody(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@pytest.mark.skipif(os.getuid() != 0, reason="cannot become another user")
def test_too_many_descriptors_in_flight_wait_for_room(pair: Channels) -> None:
    a, b = pair
    limit, count, per_message = 64, 60, 10
    full_read, full_write = os.pipe()

    def fill() -> None:
        become_nobody(limit)
        handles = [a.fileno()] * per_message
        sender = Sender(a.sock)
        sender.push(Message([b"probe"], handles))
        while sender.flush(DONTWAIT):
            sender.push(Message([b"probe"], handles))
        with pytest.raises(InFlightError):
            send_packet(a.sock, [b"x"], handles, DONTWAIT)
        os.write(full_write, b"x")
        for _ in range(count):
            a.send(Message([b"late"], handles))

    def other() -> None:
        # The limit is the user's: a second process waits as well.
        become_nobody(limit)
        for _ in range(count):
            a.send(Message([b"other"], [a.fileno()] * per_message))

    with forked(fill):
        assert os.read(full_read, 1)
        with forked(other):
            got = {b"probe": 0, b"late": 0, b"other": 0}
            while got[b"late"] < count or got[b"other"] < count:
                received = b.recv()
                assert len(received.handles) == per_message
                got[bytes(received.parts[0])] += 1
                received.close()
    assert got[b"probe"] > 3
    for fd in (full_read, full_write):
        os.close(fd)


# ------------------------------------------------------------------------- the idiom


def test_a_packet_is_stored_before_a_signal_handler_runs() -> None:
    """What everything above rests on: see `packets`."""
    a, b = packet_pair(False)

    def receive() -> None:
        interrupted = 0

        def interrupt(*_: object) -> None:
            raise Interruption

        signal.signal(signal.SIGUSR1, interrupt)
        for number in range(3000):
            packet: tuple[bytes, object, int, object] | None = None
            a.send(array.array("i", [number]))
            try:
                # The signal arrives in the call before, and its handler runs after.
                if number % 2:
                    os.kill(os.getpid(), signal.SIGUSR1)
                for packet in packets(b, 0):  # noqa: B007
                    if number % 3 == 0:
                        signal.raise_signal(signal.SIGUSR1)
            except Interruption:
                interrupted += 1
            if packet is None:
                (packet,) = packets(b, 0)
            assert packet[0] == array.array("i", [number]).tobytes()
        assert interrupted > 1500

    in_child(receive)
    a.close()
    b.close()
