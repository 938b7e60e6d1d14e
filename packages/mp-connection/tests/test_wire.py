"""Packets in one call of C, by the extension and by sockets: they do the same."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket
import contextlib
import errno
import os
import pickle
import signal
import socket
import subprocess
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from mp_connection_forks import open_descriptors

from mp_connection import _backend
from mp_connection._framing import MAX_HANDLES
from mp_connection._packets_linux import (
    CLOEXEC,
    CTRUNC,
    DONTWAIT,
    NOSIGNAL,
    PACKET_SIZE,
    TRUNC,
    ancillary,
    close_handles,
    handles_of,
    slice_reads,
)
from mp_connection._wire_linux import arrivals, peeker, receiver, senders

pytestmark = pytest.mark.usefixtures("backend")

PICKLE = pickle.dumps(("some", 1))
CLOSED = os.strerror(errno.EBADF)
Pair = tuple[_socket.socket, _socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def fill(send: Callable[[bytes, int], object], data: bytes) -> int:
    """Send the data until there is no room; how often that was."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            send(data, DONTWAIT | NOSIGNAL)
            count += 1
    return count


def test_it_is_the_one_that_was_asked_for(backend: str, pair: Pair) -> None:
    module = type(arrivals(pair[0])).__module__
    modules = {"native": "mp_connection._native", "portable": "builtins"}
    assert module == modules[backend]


class TestArrivals:
    def test_a_pickle_arrives_whole(self, pair: Pair, backend: str) -> None:
        pair[0].send(PICKLE)
        arrival = next(arrivals(pair[1]))
        wanted: object = (PICKLE, [], CLOEXEC, None)
        assert arrival == (PICKLE if backend == "native" else wanted)

    @pytest.mark.parametrize("size", [0, 1, 4096, 4097, 65536])
    def test_bytes_arrive_without_their_tag(
        self, pair: Pair, backend: str, size: int
    ) -> None:
        data = os.urandom(size)
        pair[0].send(b"\0" + data)
        arrival = next(arrivals(pair[1], bare=True))
        wanted: object = (b"\0" + data, [], CLOEXEC, None)
        assert arrival == (data if backend == "native" else wanted)

    @pytest.mark.parametrize("packet", [b"\0bytes", b"\1head", b"\2", b"other"])
    def test_anything_else_arrives_as_it_came(self, pair: Pair, packet: bytes) -> None:
        pair[0].send(packet)
        arrival = next(arrivals(pair[1]))
        assert isinstance(arrival, tuple)
        assert arrival[0] == packet
        assert (list(arrival[1]), *arrival[2:]) == ([], CLOEXEC, None)

    def test_so_does_the_end(self, pair: Pair) -> None:
        pair[0].close()
        arrival = next(arrivals(pair[1], bare=True))
        assert isinstance(arrival, tuple)
        assert arrival[0] == b""

    @pytest.mark.parametrize("count", [1, MAX_HANDLES])
    def test_descriptors_arrive_closed_at_exec(self, pair: Pair, count: int) -> None:
        pair[0].sendmsg([PICKLE], ancillary([0] * count))
        arrival = next(arrivals(pair[1], bare=True))
        assert isinstance(arrival, tuple)
        packet, control, flags, _ = arrival
        handles = handles_of(control)
        try:
            assert (packet, len(handles), flags) == (PICKLE, count, CLOEXEC)
            assert not any(map(os.get_inheritable, handles))
            assert os.path.sameopenfile(handles[-1], 0)
        finally:
            close_handles(handles)

    def test_other_ancillary_data_arrives(self, pair: Pair) -> None:
        pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        pair[0].sendmsg([PICKLE], ancillary([0]))
        arrival = next(arrivals(pair[1]))
        assert isinstance(arrival, tuple)
        close_handles(handles_of(arrival[1]))
        kinds = {(level, kind): data for level, kind, data in arrival[1]}
        credentials = kinds[socket.SOL_SOCKET, socket.SCM_CREDENTIALS]
        assert array("i", credentials)[0] == os.getpid()

    def test_descriptors_for_which_there_is_no_room_are_said_to_be_lost(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import resource

        pair[0].sendmsg([PICKLE], ancillary([0]))
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            arrival = next(arrivals(pair[1]))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert isinstance(arrival, tuple)
        assert arrival[0] == PICKLE
        assert arrival[2] & CTRUNC

    def test_a_packet_that_is_too_long_says_so(self, pair: Pair) -> None:
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PACKET_SIZE)
        pair[0].send(b"\x80" * (PACKET_SIZE + 1))
        arrival = next(arrivals(pair[1]))
        assert isinstance(arrival, tuple)
        assert len(arrival[0]) == PACKET_SIZE
        assert arrival[2] & TRUNC

    def test_it_does_not_wait_where_it_must_not(self, pair: Pair) -> None:
        arriving = arrivals(pair[1], DONTWAIT)
        with pytest.raises(BlockingIOError):
            next(arriving)
        pair[0].send(PICKLE)
        assert PICKLE in (arrival := next(arriving)) or arrival == PICKLE

    def test_the_end_of_a_slice_is_an_error(self, pair: Pair) -> None:
        slice_reads(pair[1])
        with pytest.raises(BlockingIOError):
            next(arrivals(pair[1]))

    def test_other_threads_run_while_it_waits(self, pair: Pair) -> None:
        timer = threading.Timer(0.05, pair[0].send, (PICKLE,))
        timer.start()
        assert next(arrivals(pair[1]))
        timer.join()

    def test_each_thread_gets_its_own(self, pair: Pair) -> None:
        got: list[list[bytes]] = [[], []]

        def take(place: list[bytes]) -> None:
            for arrival in arrivals(pair[1]):
                packet = arrival if isinstance(arrival, bytes) else arrival[0]
                if not packet:
                    return
                place.append(packet)

        threads = [threading.Thread(target=take, args=(place,)) for place in got]
        for thread in threads:
            thread.start()
        sent = [pickle.dumps(number) * (1 + number % 50) for number in range(5000)]
        for packet in sent:
            pair[0].send(packet)
        pair[0].shutdown(socket.SHUT_WR)
        for thread in threads:
            thread.join()
        assert sorted(got[0] + got[1]) == sorted(sent)

    def test_after_closing_no_other_descriptor_is_read(self, pair: Pair) -> None:
        arriving = arrivals(pair[1])
        number = pair[1].fileno()
        pair[1].close()
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with one, other:
            assert number in (one.fileno(), other.fileno())  # it is used again
            one.send(PICKLE)
            other.send(PICKLE)
            with pytest.raises(OSError, match=CLOSED):
                next(arriving)

    def test_descriptors_are_not_lost_to_what_is_received_later(
        self, pair: Pair
    ) -> None:
        before = open_descriptors()
        arriving = arrivals(pair[1])
        for _ in range(3):
            pair[0].sendmsg([b"\1"], ancillary([0, 1]))
            arrival = next(arriving)
            assert isinstance(arrival, tuple)
            close_handles(handles_of(arrival[1]))
        assert open_descriptors() == before


class TestPeeker:
    def test_it_says_whether_there_is_something_or_the_end(
        self, pair: Pair, backend: str
    ) -> None:
        ready = peeker(pair[1].fileno)
        if backend == "portable":
            assert ready is None
            return
        assert ready is not None
        assert ready() is False
        pair[0].send(PICKLE)
        assert ready() is True
        assert ready() is True
        assert pair[1].recv(100) == PICKLE
        assert ready() is False
        pair[0].close()
        assert ready() is True
        pair[1].close()
        with pytest.raises(OSError, match=CLOSED):
            ready()


class TestReceiver:
    def test_it_says_everything_of_each_packet(self, pair: Pair) -> None:
        receive = receiver(pair[1])
        pair[0].send(PICKLE)
        packet, control, flags, _ = receive(CLOEXEC)
        assert (packet, list(control), flags) == (PICKLE, [], CLOEXEC)

    def test_flags_are_of_the_call(self, pair: Pair) -> None:
        receive = receiver(pair[1])
        with pytest.raises(BlockingIOError):
            receive(CLOEXEC | DONTWAIT)
        pair[0].send(PICKLE)
        for flags in (_socket.MSG_PEEK, DONTWAIT):
            assert receive(CLOEXEC | flags)[0] == PICKLE
        with pytest.raises(TypeError):
            receive("none")  # type: ignore[arg-type]


class TestSenders:
    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65536])
    @pytest.mark.parametrize("kind", [bytes, memoryview])
    def test_a_buffer_is_one_packet(
        self, pair: Pair, size: int, kind: Callable[[bytes], bytes | memoryview]
    ) -> None:
        send, send_bytes = senders(pair[0])
        data = os.urandom(size)
        send_bytes(kind(data), NOSIGNAL)
        assert pair[1].recv(2 * PACKET_SIZE) == b"\0" + data
        if size:
            send(kind(data), NOSIGNAL)
            assert pair[1].recv(2 * PACKET_SIZE) == data

    def test_it_does_not_wait_where_it_must_not(self, pair: Pair) -> None:
        for send in senders(pair[0]):
            fill(send, PICKLE)
            with pytest.raises(BlockingIOError):
                send(PICKLE, DONTWAIT | NOSIGNAL)

    @pytest.mark.parametrize("size", [1, 60000])
    @pytest.mark.parametrize("which", [0, 1])
    def test_it_waits_for_room_while_other_threads_run(
        self, pair: Pair, size: int, which: int
    ) -> None:
        send = senders(pair[0])[which]
        fill(send, bytes(size))
        begun = time.monotonic()

        def drain() -> None:
            try:
                while pair[1].recv(PACKET_SIZE, DONTWAIT):
                    pass
            except BlockingIOError:
                pass

        timer = threading.Timer(0.05, drain)
        timer.start()
        send(bytes(size), NOSIGNAL)
        assert time.monotonic() - begun > 0.04
        timer.join()

    def test_a_far_end_that_is_gone_is_an_error_and_no_signal(self, pair: Pair) -> None:
        pair[1].close()
        before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            for send in senders(pair[0]):
                with pytest.raises(BrokenPipeError):
                    send(PICKLE, NOSIGNAL)
        finally:
            signal.signal(signal.SIGPIPE, before)

    def test_after_closing_nothing_is_written_to_another_descriptor(
        self, pair: Pair
    ) -> None:
        both = senders(pair[0])
        pair[0].close()
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with one, other:
            for send in both:
                with pytest.raises(OSError, match=CLOSED):
                    send(PICKLE, NOSIGNAL)
            for end in (one, other):
                with pytest.raises(BlockingIOError):
                    end.recv(1, DONTWAIT)

    def test_what_cannot_be_sent_is_refused(self, pair: Pair) -> None:
        send, _ = senders(pair[0])
        with pytest.raises(TypeError):
            send("text", NOSIGNAL)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            send(b"", "none")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            send()  # type: ignore[call-arg]
        with pytest.raises(OSError, match=os.strerror(errno.EMSGSIZE)):
            send(bytes(1 << 20), NOSIGNAL)

    def test_a_buffer_is_let_go_of_after_an_error(self, pair: Pair) -> None:
        data = bytearray(10)
        pair[1].close()
        for send in senders(pair[0]):
            with pytest.raises(BrokenPipeError), memoryview(data) as view:
                send(view, NOSIGNAL)
        data.clear()  # refused while somebody looks at it

    def test_a_thread_that_computes_does_not_slow_it_down(
        self, pair: Pair, backend: str
    ) -> None:
        if backend == "portable":
            pytest.skip("a socket gives up the GIL for each packet")
        send, send_bytes = senders(pair[0])
        over = False

        def compute() -> None:
            while not over:
                pass

        thread = threading.Thread(target=compute)
        before = sys.getswitchinterval()
        sys.setswitchinterval(0.05)  # how long a thread that gave up the GIL is without
        thread.start()
        try:
            begun = time.monotonic()
            for _ in range(50):
                send(PICKLE, NOSIGNAL)
                send_bytes(PICKLE, NOSIGNAL)
            took = time.monotonic() - begun
        finally:
            over = True
            thread.join()
            sys.setswitchinterval(before)
        assert took < 2  # and not 5 at least


class Interruption(BaseException):
    """What a handler raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[bool], list[int]]]:
    """Has a signal come every 10 ms; what its handler notes, which may raise."""
    noted: list[int] = []

    def start(raising: bool) -> list[int]:
        def handle(number: int, frame: FrameType | None) -> None:
            noted.append(number)
            if raising:
                raise Interruption

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        return noted

    before = signal.getsignal(signal.SIGALRM)
    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class TestSignals:
    def test_receiving_goes_on_after_a_handler(
        self, pair: Pair, alarm: Callable[[bool], list[int]]
    ) -> None:
        noted = alarm(False)
        timer = threading.Timer(0.1, pair[0].send, (PICKLE,))
        timer.start()
        assert next(arrivals(pair[1]))
        assert noted
        timer.join()

    def test_a_handler_ends_receiving_by_raising(
        self, pair: Pair, alarm: Callable[[bool], list[int]]
    ) -> None:
        arriving = arrivals(pair[1])
        alarm(True)
        with pytest.raises(Interruption):
            next(arriving)
        signal.setitimer(signal.ITIMER_REAL, 0)
        pair[0].send(PICKLE)
        assert next(arriving)

    @pytest.mark.parametrize("raising", [False, True])
    def test_sending(
        self, pair: Pair, alarm: Callable[[bool], list[int]], raising: bool
    ) -> None:
        send, _ = senders(pair[0])
        count = fill(send, PICKLE)
        if raising:
            alarm(True)
            with pytest.raises(Interruption):
                send(PICKLE, NOSIGNAL)
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            noted = alarm(False)
            timer = threading.Timer(0.1, pair[1].recv, (PACKET_SIZE,))
            timer.start()
            send(PICKLE, NOSIGNAL)
            assert noted
            timer.join()
        for _ in range(count):  # neither more nor less
            assert pair[1].recv(PACKET_SIZE, DONTWAIT) == PICKLE
        with pytest.raises(BlockingIOError):
            pair[1].recv(PACKET_SIZE, DONTWAIT)


SHOW = (
    "from mp_connection import Pipe, _wire_linux as wire\n"
    "ends = Pipe()\n"
    "ends[0].send(1), ends[1].send_bytes(b'2')\n"
    "print(wire.native is not None, ends[1].recv(), ends[0].recv_bytes())"
)


def run(code: str, backend: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MP_CONNECTION_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestChoice:
    """MP_CONNECTION_BACKEND, and what an installation without the extension does."""

    def test_it_is_a_variable(self, backend: str) -> None:
        done = run(SHOW, backend)
        assert done.stdout == f"{backend == 'native'} 1 b'2'\n", done.stderr

    def test_without_one_it_is_the_extension_if_there_is_one(
        self, backend: str
    ) -> None:
        code = SHOW
        if backend == "portable":
            code = f"import sys; sys.modules['mp_connection._native'] = None\n{SHOW}"
        done = run(code, "")
        assert done.stdout == f"{backend == 'native'} 1 b'2'\n", done.stderr
        assert done.stderr == ""

    def test_an_unknown_one_is_refused(self) -> None:
        done = run(SHOW, "fast")
        wanted = "MP_CONNECTION_BACKEND is native or portable, not 'fast'"
        assert wanted in done.stderr

    def test_an_extension_that_is_asked_for_and_missing_is_an_error(self) -> None:
        missing = "import sys; sys.modules['mp_connection._native'] = None\n"
        done = run(missing + SHOW, "native")
        assert "the extension is missing" in done.stderr


def test_both_know_the_longest_packet(backend: str) -> None:
    if backend == "native":
        assert _backend.native is not None
        assert _backend.native.PACKET_SIZE == PACKET_SIZE
