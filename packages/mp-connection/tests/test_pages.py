"""Large messages whose pages are lent to a pipe: whole, or not there."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import ctypes
import fcntl
import os
import platform
import signal
import struct
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from types import FrameType

import pytest
from mp_connection_channels import Channels, begun_by, received_by, some_bytes
from mp_connection_forks import doomed, forked, in_child, open_descriptors

from mp_connection import ChannelClosedError, FramingError, Pipe, _alone_linux, _backend
from mp_connection._alone_linux import PIPE_FROM, is_through, pages_for
from mp_connection._framing import PIPE, PRIVATE, Head, Message
from mp_connection._packets_linux import (
    ancillary,
    close_handles,
    forget_private,
    handles_of,
    send_packet,
)
from mp_connection._receiver_linux import Receiver
from mp_connection.channel import PacketChannel, ready_to_read
from mp_testing import until

native = _backend.native
pytestmark = pytest.mark.skipif(native is None, reason="there is no extension")

#: One that fits into a pipe, and one that does not.
SIZES = [PIPE_FROM + 1000, (3 << 20) + 1]
DATA = os.urandom(1000) * 600


def message(data: bytes | bytearray) -> Message:
    return Message([data], pickled=False)


# ----------------------------------------------------------------------- the pipe alone


class TestPages:
    def test_what_is_lent_is_received(self) -> None:
        pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
        assert pages.room() >= len(DATA)
        assert pages.send(DATA, 1000, 0, True) == len(DATA)
        assert pages.taken(0) is None
        assert os.read(pages.far(), len(DATA)) == DATA[1000:]
        assert pages.taken(0) is None
        pages.let_go()
        assert pages.taken(0) == 0
        assert pages.close() is True
        assert (pages.fileno(), pages.far()) == (-1, -1)

    def test_what_finds_no_room_is_not_lent(self) -> None:
        pages = native.Pages(1 << 16)  # type: ignore[union-attr]
        place = pages.send(DATA, 0, 0, True)
        assert 0 < place < len(DATA)
        with pytest.raises(BlockingIOError):
            pages.send(DATA, place, 1, True)
        got = os.read(pages.far(), len(DATA))
        assert got == DATA[:place]
        assert pages.send(DATA, place, 1000, True) > place
        pages.close()

    @pytest.mark.parametrize("lend", [True, False])
    def test_what_nobody_has_received_is_taken_back(self, lend: bool) -> None:
        pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
        pages.send(DATA, 0, 0, lend)
        assert os.read(pages.far(), 5000) == DATA[:5000]
        assert pages.withdraw() == len(DATA) - 5000
        assert pages.withdraw() == 0
        with pytest.raises(BlockingIOError):
            os.read(pages.far(), 5000)
        pages.send(DATA, 5000, 0, False)
        assert os.read(pages.far(), len(DATA)) == DATA[5000:]
        pages.close()

    def test_closing_takes_back_what_was_lent(self) -> None:
        pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
        far = os.dup(pages.far())
        pages.send(bytearray(DATA), 0, 0, True)
        assert pages.close() is True
        assert os.read(far, 5000) == b""
        os.close(far)

    def test_a_pipe_that_still_waits_takes_no_room(self) -> None:
        """What the pipes of a user may have in all is bounded (pipe(7))."""
        pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
        far = os.dup(pages.far())
        pages.send(DATA, 0, 0, True)
        assert fcntl.fcntl(far, fcntl.F_GETPIPE_SZ) >= len(DATA)
        pages.close()
        assert fcntl.fcntl(far, fcntl.F_GETPIPE_SZ) == os.sysconf("SC_PAGESIZE")
        os.close(far)

    def test_the_end_of_the_object_takes_back_as_well(self) -> None:
        before = open_descriptors()
        pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
        far = os.dup(pages.far())
        pages.send(DATA, 0, 0, True)
        del pages
        assert os.read(far, 5000) == b""
        os.close(far)
        assert open_descriptors() == before

    def test_what_is_kept_is_received_after_closing(self) -> None:
        pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
        far = os.dup(pages.far())
        pages.send(DATA, 0, 0, True)
        pages.keep()
        assert pages.close() is True
        assert os.read(far, len(DATA)) == DATA
        os.close(far)

    def test_a_forked_child_takes_nothing_back(self) -> None:
        pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
        pages.send(DATA, 0, 0, True)
        in_child(pages.close)
        assert os.read(pages.far(), len(DATA)) == DATA
        pages.close()

    @pytest.mark.parametrize("lend", [True, False])
    def test_a_receiver_that_is_gone_is_no_signal(self, lend: bool) -> None:
        pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
        pages.send(DATA, 0, 0, lend)
        pages.let_go()

        def child() -> None:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            with pytest.raises(BrokenPipeError):
                pages.send(DATA, 0, 0, lend)
            assert signal.sigpending() == set()
            assert signal.SIGPIPE not in signal.pthread_sigmask(signal.SIG_BLOCK, ())

        in_child(child)
        assert pages.taken(0) == len(DATA)
        pages.close()

    def test_a_signal_that_waits_already_is_left(self) -> None:
        pages = native.Pages(4096)  # type: ignore[union-attr]
        pages.let_go()

        def child() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
            os.kill(os.getpid(), signal.SIGPIPE)
            with pytest.raises(BrokenPipeError):
                pages.send(b"x", 0, 0, True)
            assert signal.sigpending() == {signal.SIGPIPE}

        in_child(child)
        pages.close()

    def test_what_is_closed_says_so(self) -> None:
        pages = native.Pages(4096)  # type: ignore[union-attr]
        pages.close()
        assert pages.close() is True
        pages.let_go()
        for call in (
            pages.withdraw,
            pages.room,
            lambda: pages.taken(0),
            lambda: pages.send(b"x", 0, 0, True),
        ):
            with pytest.raises(OSError, match="Bad file descriptor"):
                call()

    def test_places_are_checked(self) -> None:
        pages = native.Pages(4096)  # type: ignore[union-attr]
        for place in (-1, 2):
            with pytest.raises(ValueError, match="not in the buffer"):
                pages.send(b"x", place, 0, True)
        pages.close()

    def test_waiting_is_interrupted_by_a_handler(self) -> None:
        pages = native.Pages(4096)  # type: ignore[union-attr]

        def ring(signum: int, frame: FrameType | None) -> None:
            raise InterruptedError("by a handler")

        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(InterruptedError, match="by a handler"):
                pages.taken(20_000)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            pages.close()


# -------------------------------------------------------------------- which way they go


def test_only_large_messages_without_descriptors_go_so() -> None:
    before = open_descriptors()
    assert pages_for(message(bytes(PIPE_FROM - 1))) is None
    assert pages_for(Message([bytes(PIPE_FROM)], [0], pickled=False)) is None
    pages = pages_for(message(bytes(PIPE_FROM)))
    assert pages is not None
    forget_private(pages)
    assert open_descriptors() == before


def test_where_nothing_can_be_taken_back_they_go_another_way(
    monkeypatch: pytest.MonkeyPatch, pair: Channels
) -> None:
    class Blind:
        """Pages where there is no /proc."""

        closed = 0

        def __init__(self, room: int) -> None: ...

        def room(self) -> int:
            return 1 << 20

        withdraw = staticmethod(partial(os.stat, "/there/is/no/such/file"))

        def close(self) -> bool:
            Blind.closed += 1
            return True

    class Extension:
        Pages = Blind
        send_fragments = native.send_fragments  # type: ignore[union-attr]

    monkeypatch.setattr(_alone_linux, "native", Extension)
    monkeypatch.setattr(_alone_linux, "_revocable", None)
    assert pages_for(message(DATA)) is None
    assert Blind.closed == 1
    with forked(lambda: pair[0].send(message(DATA))):
        assert received_by(pair[1]) == DATA


def test_descriptors_that_run_out_are_found_out_by_the_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Extension:
        Pages = staticmethod(os.stat)  # of a descriptor that is not open

    monkeypatch.setattr(_alone_linux, "native", Extension)
    assert pages_for(message(DATA)) is None


def test_where_pipes_hold_too_little_they_go_another_way(
    monkeypatch: pytest.MonkeyPatch, pair: Channels
) -> None:
    """As those of a user do who has many (pipe(7), pipe-user-pages-soft)."""

    class Extension:
        Pages = staticmethod(lambda room: native.Pages(4096))  # type: ignore[union-attr]
        send_fragments = native.send_fragments  # type: ignore[union-attr]

    monkeypatch.setattr(_alone_linux, "native", Extension)
    before = open_descriptors()
    assert pages_for(message(DATA)) is None
    assert open_descriptors() == before
    with forked(lambda: pair[0].send(message(DATA))):
        assert received_by(pair[1]) == DATA


VMSPLICE = {"x86_64": 278, "aarch64": 75}.get(platform.machine())


def forbid(number: int) -> None:
    """Let a system call fail in this process, as containers do (seccomp(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),  # load the number of the call
            (0x15, 0, 1, number),  # if it is that one
            (0x06, 0, 0, 0x00050000 | 38),  # ENOSYS
            (0x06, 0, 0, 0x7FFF0000),  # otherwise let it pass
        )
    )
    memory = ctypes.create_string_buffer(program)
    filters = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(memory))
    )
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, filters, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        pytest.skip("no filters here")


@pytest.mark.skipif(VMSPLICE is None, reason="the number of the call is not known")
@pytest.mark.parametrize("size", SIZES)
def test_where_pages_cannot_be_lent_they_are_copied(size: int, pair: Channels) -> None:
    data = some_bytes(size)

    def child() -> None:
        assert VMSPLICE is not None
        forbid(VMSPLICE)
        pair[0].send(message(data))
        assert pages_for(message(data)) is None  # sockets are faster then
        pair[0].send(message(data))

    with forked(child):
        assert received_by(pair[1]) == data
        assert received_by(pair[1]) == data


# ---------------------------------------------------------------------- on the way


@pytest.mark.parametrize("size", SIZES)
def test_sending_ends_when_the_message_is_received(size: int, pair: Channels) -> None:
    """So its memory may change at once, whoever it is."""
    a, b = pair
    data = some_bytes(size)
    original = bytes(data)
    done = threading.Event()

    def send() -> None:
        for _ in range(3):
            a.send(message(data))
            data[:] = bytes(size)
            done.set()
            data[:] = original

    thread = threading.Thread(target=send)
    thread.start()
    assert not done.wait(0.05)
    for _ in range(3):
        assert received_by(b) == original
    assert done.wait(20)
    thread.join()


@pytest.mark.parametrize("size", SIZES)
def test_many_parts_keep_their_places(size: int) -> None:
    a, b = Pipe(False)
    value = [
        some_bytes(size),
        b"",
        some_bytes(10),
        bytearray(),
        bytes(some_bytes(size)),
    ]
    with forked(lambda: b.send(value)):
        assert a.recv() == value
    a.close()
    b.close()


def test_what_just_fits_is_read_at_one_go(pair: Channels) -> None:
    """Though it lies on a page more than there is room for."""
    a, b = pair
    data = bytes(1 << 20)
    parts = [b"few", data[:0], data]
    with forked(lambda: a.send(Message(parts, pickled=False))):
        receiver = Receiver(b.sock, True)
        until(lambda: begun_by(receiver))
        received = receiver.step()
        assert received is not None
        assert b"".join(received.parts) == b"few" + data


def test_an_end_that_somebody_else_has_too_is_not_waited_for() -> None:
    """As a child that was forked when it had just arrived."""
    pages = native.Pages(len(DATA) + 8192)  # type: ignore[union-attr]
    pages.send(DATA, 0, 0, True)
    far, child = os.dup(pages.far()), os.dup(pages.far())
    pages.let_go()
    assert not is_through(pages, 1)
    assert os.read(far, 1 << 20) == DATA
    assert is_through(pages, 1)
    os.close(far)
    assert is_through(pages, 1)
    os.close(child)
    assert is_through(pages, 1)
    pages.close()


class Interruption(BaseException):
    """What a handler raises."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("begun", [False, True])
def test_what_is_interrupted_is_as_if_it_was_never_sent(
    size: int, begun: bool, pair: Channels
) -> None:
    """Memory that changes afterwards is nobody's message."""
    a, b = pair
    data = some_bytes(size)

    def ring(signum: int, frame: FrameType | None) -> None:
        raise Interruption

    receiver = Receiver(b.sock, True)
    this = threading.get_ident()
    before = signal.signal(signal.SIGALRM, ring)
    descriptors = open_descriptors()

    def interrupt() -> None:
        if begun:
            until(lambda: begun_by(receiver))
        else:
            until(lambda: ready_to_read(b.fileno(), 0))
        signal.pthread_kill(this, signal.SIGALRM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Interruption):
            a.send(message(data))
    finally:
        thread.join()
        signal.signal(signal.SIGALRM, before)
    data[:] = bytes(size)
    if begun:
        while receiver.started:
            assert receiver.step() is None
    assert open_descriptors() == descriptors
    a.send(message(b"next"))
    assert received_by(b) == b"next"


@pytest.mark.parametrize("size", SIZES)
def test_a_receiver_that_gives_up_leaves_it_to_the_next(
    size: int, pair: Channels
) -> None:
    a, b = pair
    data = some_bytes(size)
    with forked(lambda: a.send(message(data))):
        for steps in (1, 2) if size > 1 << 20 else (1, 1):
            receiver = Receiver(b.sock, True)
            for _ in range(steps):
                until(lambda: begun_by(receiver))  # noqa: B023
            receiver.close()
        assert received_by(b) == data


def test_a_receiver_that_is_killed_leaves_it_to_the_next(pair: Channels) -> None:
    a, b = pair
    data = some_bytes(SIZES[1])

    def begin() -> None:
        receiver = Receiver(b.sock, True)
        until(lambda: begun_by(receiver))
        assert receiver.step() is None
        os.kill(os.getpid(), signal.SIGKILL)

    with forked(lambda: a.send(message(data))):
        with doomed(begin) as child:
            assert child.join() == -signal.SIGKILL
        assert received_by(b) == data


def test_what_a_killed_sender_has_lent_is_whole_or_dropped(pair: Channels) -> None:
    a, b = pair
    for size in SIZES:
        data = some_bytes(size)
        with doomed(lambda: a.send(message(data))) as sender:  # noqa: B023
            receiver = Receiver(b.sock, True)
            until(lambda: begun_by(receiver))  # noqa: B023
            sender.kill()
            sender.join()
        got = None
        while receiver.started:
            got = receiver.step()
        assert got is None or b"".join(got.parts) == data
        assert (got is not None) == (size == SIZES[0])
        a.send(message(b"next"))
        assert received_by(b) == b"next"


@pytest.mark.parametrize("size", SIZES)
def test_closing_the_connection_ends_a_send_that_waits(
    size: int, pair: Channels
) -> None:
    errors: list[BaseException] = []

    def send() -> None:
        try:
            pair[0].send(message(bytes(size)))
        except ChannelClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.05)
    pair[0].close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(errors) == 1


def test_a_far_end_that_closes_ends_a_send_that_waits(pair: Channels) -> None:
    a, b = pair
    before = open_descriptors()
    closer = threading.Timer(0.05, b.close)
    closer.start()
    with pytest.raises(BrokenPipeError):
        a.send(message(bytes(SIZES[1])))
    closer.join()
    assert len(open_descriptors()) == len(before) - 1


def test_a_child_that_is_forked_meanwhile_has_none_of_it(pair: Channels) -> None:
    """It would hide the death of the sender, or of the receiver."""
    a, b = pair
    before = open_descriptors()
    thread = threading.Thread(target=lambda: a.send(message(bytes(SIZES[1]))))
    thread.start()
    receiver = Receiver(b.sock, True)
    until(lambda: begun_by(receiver))

    def child() -> None:
        assert open_descriptors() <= before

    in_child(child)
    b.put_back(receiver)
    assert received_by(b) == bytes(SIZES[1])
    thread.join()


# --------------------------------------------------------------- what a stranger sends


def announce(channel: PacketChannel, handles: list[int], head: Head) -> None:
    channel.sock.sendmsg([head.encode()], ancillary(handles))


def piped(size: int) -> Head:
    return Head(False, PIPE, 0, [size])


@pytest.mark.parametrize("count", [0, 3])
def test_another_number_of_descriptors_is_refused(count: int, pair: Channels) -> None:
    before = open_descriptors()
    reader, writer = os.pipe2(os.O_NONBLOCK)
    announce(pair[0], [reader] * count, piped(10))
    os.close(reader)
    os.close(writer)
    with pytest.raises(FramingError, match="is missing"):
        received_by(pair[1])
    assert open_descriptors() == before


def test_what_is_no_pipe_is_refused(pair: Channels) -> None:
    before = open_descriptors()
    directory = os.open("/", os.O_RDONLY)
    announce(pair[0], [directory], piped(10))
    os.close(directory)
    with pytest.raises(FramingError, match="is no pipe"):
        received_by(pair[1])
    reader, writer = os.pipe()
    announce(pair[0], [reader, writer], piped(10))
    os.close(reader)
    os.close(writer)
    with pytest.raises(FramingError, match="would block"):
        received_by(pair[1])
    assert open_descriptors() == before


class TestInOneCall:
    """What lies in its pipe already is received by the call that finds it announced."""

    @pytest.fixture
    def ends(self) -> Iterator[tuple[int, int]]:
        before = open_descriptors()
        reader, writer = os.pipe2(os.O_NONBLOCK)
        yield reader, writer
        for fd in (reader, writer):
            with contextlib.suppress(OSError):
                os.close(fd)
        assert open_descriptors() <= before

    @staticmethod
    def arrived(
        head: Head,
        fds: list[int],
        pair: Channels,
        bare: bool = True,
        ahead: bytes = b"",
    ) -> object:
        a, b = pair
        a.sock.sendmsg([head.encode(), ahead], ancillary(fds))
        (got,) = islice(native.Arrivals(b.sock.fileno, 0, bare), 1)  # type: ignore[union-attr]
        if isinstance(got, tuple):
            assert got[0].startswith(head.encode())
            close_handles(handles_of(got[1]))
        return got

    @pytest.mark.parametrize("count", [1, 2])
    def test_bytes(self, count: int, ends: tuple[int, int], pair: Channels) -> None:
        os.write(ends[1], b"4567")
        head = Head(False, PIPE, 3, [7])
        fds = [ends[0], 0][:count]
        assert self.arrived(head, fds, pair, ahead=b"123") == b"1234567"
        os.close(ends[0])
        with pytest.raises(BrokenPipeError):  # it is closed there
            os.write(ends[1], b"x")

    def test_pickles(self, ends: tuple[int, int], pair: Channels) -> None:
        os.write(ends[1], b"\x80456")
        head = Head(True, PIPE, 0, [4])
        assert self.arrived(head, [ends[0]], pair, False) == b"\x80456"

    @pytest.mark.parametrize("ahead", [0, 3, 6])
    @pytest.mark.parametrize(
        ("pickled", "parts", "bare"),
        [
            (True, [b"\x80123", b"4567", bytearray(b"89")], True),
            (True, [b"\x80123", b"", bytearray(b"89"), b"4"], False),
            (True, [b"1234567"], True),  # would be taken for something else
            (False, [b"1234567"], False),
        ],
    )
    def test_parts(
        self,
        pickled: bool,
        parts: list[bytes | bytearray],
        bare: bool,
        ahead: int,
        ends: tuple[int, int],
        pair: Channels,
    ) -> None:
        solid = [i for i, part in enumerate(parts) if i and isinstance(part, bytes)]
        head = Head(pickled, PIPE, ahead, [len(part) for part in parts], solid)
        data = b"".join(parts)
        os.write(ends[1], data[ahead:])
        arrived = self.arrived(head, [ends[0]], pair, bare, data[:ahead])
        assert isinstance(arrived, tuple)
        assert arrived[1] == ()
        assert arrived[3] == parts
        assert [type(part) for part in arrived[3]] == [type(part) for part in parts]
        pair[1].put_back(arrived)
        received = pair[1].recv(0)
        assert received.parts == parts
        assert received.pickled is pickled

    @pytest.mark.parametrize(
        "head",
        [
            Head(False, PIPE, 0, [5]),  # not all is there
            Head(False, PIPE, 0, [3]),  # more is there
            Head(False, PIPE, 0, [1] * 17),  # there are many parts
            Head(False, PIPE, 0, [2, 2, 1 << 40]),
            Head(False, PIPE, 4, [4]),  # it is not in the pipe
            Head(False, PIPE, 1, [5]),  # nothing went ahead
            Head(False, PRIVATE, 0, [4]),
        ],
    )
    def test_others_are_left_to_others(
        self, head: Head, ends: tuple[int, int], pair: Channels
    ) -> None:
        os.write(ends[1], b"1234")
        arrived = self.arrived(head, [ends[0]], pair)
        assert isinstance(arrived, tuple)
        assert not isinstance(arrived[3], list)
        assert os.read(ends[0], 10) == b"1234"

    @pytest.mark.parametrize("count", [0, 3])
    def test_so_are_other_descriptors(
        self, count: int, ends: tuple[int, int], pair: Channels
    ) -> None:
        os.write(ends[1], b"1234")
        head = Head(False, PIPE, 0, [4])
        assert isinstance(self.arrived(head, [ends[0]] * count, pair), tuple)

    def test_so_is_what_would_block(
        self, ends: tuple[int, int], pair: Channels
    ) -> None:
        os.write(ends[1], b"1234")
        os.set_blocking(ends[0], True)
        head = Head(False, PIPE, 0, [4])
        assert isinstance(self.arrived(head, [ends[0]], pair), tuple)


@pytest.mark.parametrize("ahead", [3, 10, 11])
def test_bytes_may_go_ahead(ahead: int, pair: Channels) -> None:
    """Behind the head; not more than there are, and may be of several parts."""
    a, b = pair
    data = b"0123456789"
    reader, writer = os.pipe2(os.O_NONBLOCK)
    head = Head(False, PIPE, ahead, [2, 0, 8])
    a.sock.sendmsg([head.encode(), data[:ahead]], ancillary([reader]))
    os.write(writer, data[ahead:])
    os.close(reader)
    os.close(writer)
    if ahead > len(data):
        with pytest.raises(FramingError, match="are missing"):
            received_by(b)
    else:
        assert received_by(b) == data


@pytest.mark.parametrize("left", [b"567890", b"5678", b""])
def test_what_is_missing_is_read_from_the_file(left: bytes, pair: Channels) -> None:
    """If that is all of it; its sender may have died before."""
    a, b = pair
    before = open_descriptors()
    reader, writer = os.pipe2(os.O_NONBLOCK)
    file = os.memfd_create("left")
    announce(a, [reader, file], piped(10))
    os.write(writer, b"1234")
    os.write(file, left)
    for fd in (reader, writer, file):
        os.close(fd)
    send_packet(a.sock, [b"\0next"])
    whole = [b"1234567890"] if len(left) == 6 else []
    assert [*whole, b"next"] == [received_by(b) for _ in range(len(whole) + 1)]
    assert open_descriptors() == before
