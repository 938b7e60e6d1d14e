"""Connections in event loops: many tasks, large messages, cancellation, closing."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import array
import asyncio
import gc
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from mp_connection_forks import forked, open_descriptors

import mp_connection
from mp_connection import (
    BufferTooShort,
    ChannelClosedError,
    Connection,
    FramingError,
    HandleError,
    Pipe,
    UnpicklableError,
)

Ends = tuple["Connection[Any, Any]", "Connection[Any, Any]"]
LARGE = 12_000_000


def fifo_ends() -> Ends:
    reading, writing = os.pipe()
    return (
        Connection[Any, Any](reading, writable=False),
        Connection[Any, Any](writing, readable=False),
    )


def unix_ends() -> Ends:
    one, other = socket.socketpair()
    return Connection[Any, Any](one.detach()), Connection[Any, Any](other.detach())


def tcp_ends() -> Ends:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return Connection[Any, Any](one.detach()), Connection[Any, Any](other.detach())


@pytest.fixture(params=[Pipe, unix_ends, tcp_ends, fifo_ends])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """The first can receive what the second sends."""
    one, other = request.param()
    with one, other:
        yield one, other


@pytest.fixture(params=[Pipe, unix_ends])
def local(request: pytest.FixtureRequest) -> Iterator[Ends]:
    one, other = request.param()
    with one, other:
        yield one, other


def run(work: Coroutine[Any, Any, Any], debug: bool = True) -> Any:
    """Run a coroutine in a loop of its own, within a time limit."""

    async def limited() -> Any:
        # Debug mode complains of what other threads do to the loop.
        asyncio.get_running_loop().slow_callback_duration = 60
        async with asyncio.timeout(40):
            return await work

    return asyncio.run(limited(), debug=debug)


async def settle() -> None:
    """Let the other tasks go on until they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds; the time limit is that of `run`."""
    while not condition():
        await asyncio.sleep(0.002)


class Beat:
    """A task that notes for how long it could not run."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.count = 0

    async def __aenter__(self) -> Beat:
        self._task = asyncio.create_task(self._run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0)
            now = time.monotonic()
            self.longest = max(self.longest, now - last)
            self.count += 1
            last = now


# ------------------------------------------------------------------------ messages


@pytest.mark.parametrize("debug", [False, True])
def test_objects_and_bytes(ends: Ends, debug: bool) -> None:
    one, other = ends

    async def work() -> None:
        for obj in (None, [1, "x"], b"y" * 100_000, {"k": (1, 2)}):
            sending = asyncio.create_task(other.asend(obj))
            assert await one.arecv() == obj
            await sending
        await other.asend_bytes(b"raw")
        assert await one.arecv_bytes() == b"raw"
        await other.asend_bytes(array.array("i", range(5)), 4, 8)
        assert await one.arecv_bytes(8) == array.array("i", [1, 2]).tobytes()
        await other.asend_bytes(b"")
        assert await one.arecv_bytes() == b""

    run(work(), debug)


def test_a_task_waits_for_what_comes_later(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        receiving = asyncio.create_task(one.arecv())
        await settle()
        assert not receiving.done()
        other.send("later")
        assert await receiving == "later"

    run(work())


def test_a_message_sent_here_is_received_by_other_means(ends: Ends) -> None:
    one, other = ends
    run(other.asend([1]))
    assert one.recv() == [1]
    other.send([2])
    assert run(one.arecv()) == [2]


def test_large_messages_while_other_tasks_go_on(ends: Ends) -> None:
    one, other = ends
    data = os.urandom(1000) * (LARGE // 1000)

    async def work() -> None:
        async with Beat() as beat:
            sending = asyncio.create_task(other.asend_bytes(data))
            assert await one.arecv_bytes() == data
            await sending
            # Each task has its turn, of some milliseconds, several times.
            assert beat.count > 5
            sending = asyncio.create_task(other.asend([bytearray(data), "x"]))
            assert await one.arecv() == [data, "x"]
            await sending

    run(work(), debug=False)


def test_a_slow_sender_keeps_only_its_receiver_waiting() -> None:
    one, other = unix_ends()
    with one, other:
        raw = socket.socket(fileno=os.dup(other.fileno()))

        async def work() -> None:
            raw.sendall(struct.pack(">i", 1_000_000) + b"x" * 10)
            receiving = asyncio.create_task(one.arecv_bytes())
            await settle()
            async with Beat() as beat:
                await until(lambda: beat.count > 100)
            assert not receiving.done()
            rest = asyncio.create_task(asyncio.to_thread(raw.sendall, b"x" * 999_990))
            assert await receiving == b"x" * 1_000_000
            await rest

        run(work())
        raw.close()


def test_a_far_end_that_does_not_read_keeps_only_its_sender_waiting(
    ends: Ends,
) -> None:
    one, other = ends

    async def work() -> None:
        sending = asyncio.create_task(other.asend_bytes(b"z" * LARGE))
        async with Beat() as beat:
            await until(lambda: beat.count > 100)
        assert not sending.done()
        reading = asyncio.create_task(asyncio.to_thread(one.recv_bytes))
        await sending
        assert await reading == b"z" * LARGE

    run(work())


def test_the_buffer_is_full(ends: Ends) -> None:
    one, other = ends

    async def work() -> int:
        sent = 0

        async def fill() -> None:
            nonlocal sent
            while True:
                await other.asend_bytes(b"%d" % sent * 500)
                sent += 1

        filling = asyncio.create_task(fill())
        count = -1
        while count < sent:
            count = sent
            await asyncio.sleep(0.05)
        filling.cancel()
        await asyncio.wait([filling])
        return sent

    sent = run(work())
    assert sent > 0
    for number in range(sent):
        assert one.recv_bytes() == b"%d" % number * 500
    # What was cancelled has not left, or its rest leaves first.
    sending = threading.Thread(target=other.send_bytes, args=(b"end",))
    sending.start()
    if (data := one.recv_bytes()) != b"end":
        assert data == b"%d" % sent * 500
        assert one.recv_bytes() == b"end"
    sending.join(20)
    assert not sending.is_alive()


def test_both_ends_send_large_messages_at_once(local: Ends) -> None:
    # With blocking sends this is a deadlock.
    async def exchange(connection: Connection[Any, Any]) -> int:
        sending = asyncio.create_task(connection.asend(b"a" * LARGE))
        data = await connection.arecv()
        await sending
        return len(data)

    async def work() -> None:
        assert await asyncio.gather(*map(exchange, local)) == [LARGE, LARGE]

    run(work())


def test_handles_travel(local: Ends) -> None:
    one, other = local

    async def work() -> None:
        reader, writer = Pipe(duplex=False)
        await other.asend([reader, b"b" * 200_000])
        reader.close()
        arrived, data = await one.arecv()
        assert len(data) == 200_000
        with arrived, writer:
            await writer.asend("through")
            assert await arrived.arecv() == "through"

    run(work())


def test_more_handles_than_one_packet_carries(local: Ends) -> None:
    one, other = local
    fd = os.open("/dev/null", os.O_RDONLY)
    with Connection[Any, Any](fd, writable=False) as null:

        async def work() -> None:
            sending = asyncio.create_task(other.asend([[null] * 300, b"x" * LARGE]))
            arrived, data = await one.arecv()
            await sending
            assert len(data) == LARGE
            assert len(arrived) == 300
            for connection in set(arrived):
                connection.close()

        run(work())


def test_handles_do_not_go_over_tcp() -> None:
    one, other = tcp_ends()
    with one, other:
        with pytest.raises(HandleError, match="TCP"):
            run(one.asend(other))
        run(one.asend(1))
        assert other.recv() == 1


def test_tasks_share_the_messages_of_one_end(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        tasks = [asyncio.create_task(one.arecv()) for _ in range(20)]
        await settle()
        for number in range(20):
            await other.asend(number)
        assert sorted([await task for task in tasks]) == list(range(20))

    run(work())


def test_tasks_send_large_messages_over_one_end(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        messages = [bytes([n]) * (700_000 + n) for n in range(8)]
        tasks = [asyncio.create_task(other.asend_bytes(m)) for m in messages]
        arrived = [await one.arecv_bytes() for _ in messages]
        assert sorted(arrived) == messages
        await asyncio.gather(*tasks)

    run(work())


def test_a_task_beside_threads(ends: Ends) -> None:
    one, other = ends
    count = 300
    by_threads: list[int] = []

    def receive() -> None:
        while (message := one.recv()) is not None:
            by_threads.append(message[0])

    async def work() -> list[int]:
        threads = [threading.Thread(target=receive) for _ in range(2)]
        for thread in threads:
            thread.start()
        mine: list[int] = []

        async def receive_here() -> None:
            while (message := await one.arecv()) is not None:
                mine.append(message[0])

        receiving = asyncio.create_task(receive_here())
        for number in range(count):
            await other.asend((number, b"x" * (number % 7) * 30_000))
        for _ in range(3):
            await other.asend(None)
        await receiving
        for thread in threads:
            await asyncio.to_thread(thread.join, 20)
            assert not thread.is_alive()
        return mine

    mine = run(work())
    assert sorted(mine + by_threads) == list(range(count))


def test_loops_in_several_threads_share_one_end(ends: Ends) -> None:
    one, other = ends
    arrived: list[int] = []

    async def receive() -> None:
        while (message := await one.arecv()) is not None:
            arrived.append(message)

    threads = [threading.Thread(target=run, args=(receive(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(200):
        other.send(number)
    for _ in threads:
        other.send(None)
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert sorted(arrived) == list(range(200))


# -------------------------------------------------------------------------- errors


def test_the_far_end_is_closed(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        tasks = [asyncio.create_task(one.arecv()) for _ in range(3)]
        await settle()
        await other.asend("last")
        other.close()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, EOFError)] == ["last"]
        with pytest.raises(EOFError):
            await one.arecv_bytes()

    run(work())


def test_nobody_reads(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        sending = asyncio.create_task(other.asend_bytes(b"x" * LARGE))
        await asyncio.sleep(0.05)
        one.close()
        with pytest.raises(BrokenPipeError):
            await sending
        with pytest.raises(BrokenPipeError):
            await other.asend(1)

    run(work())


def test_directions_and_closed_connections() -> None:
    reader, writer = Pipe(duplex=False)
    in_, out = fifo_ends()
    with reader, writer, in_, out:
        for one, other in ((reader, writer), (in_, out)):
            with pytest.raises(ChannelClosedError, match="not writable"):
                run(one.asend(1))
            with pytest.raises(ChannelClosedError, match="not readable"):
                run(other.arecv())
    for one, other in ((reader, writer), (in_, out)):
        with pytest.raises(ChannelClosedError, match="closed"):
            run(other.asend(1))
        with pytest.raises(ChannelClosedError, match="closed"):
            run(one.arecv())


def test_bad_objects_and_bad_messages(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        with pytest.raises(UnpicklableError):
            await other.asend([lambda: 0])
        with pytest.raises(ValueError, match="negative"):
            await one.arecv_bytes(-1)
        with pytest.raises(ValueError, match="exceed"):
            await other.asend_bytes(b"abc", 2, 2)
        await other.asend("fine")
        assert await one.arecv() == "fine"
        await other.asend_bytes(b"xxxx")
        with pytest.raises(OSError, match="3 allowed"):
            await one.arecv_bytes(3)
        with pytest.raises(ChannelClosedError):
            await one.arecv_bytes()

    run(work())


def test_a_message_that_is_none_ends_all_waits_of_a_stream() -> None:
    one, other = unix_ends()
    with one, other:
        raw = socket.socket(fileno=os.dup(other.fileno()))

        async def work() -> None:
            tasks = [asyncio.create_task(one.arecv()) for _ in range(2)]
            await settle()
            raw.sendall(struct.pack(">i", -7))
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} == {FramingError, ChannelClosedError}

        run(work())
        raw.close()


def test_a_buffer_that_is_too_short_stays_a_matter_of_recv_bytes_into() -> None:
    one, other = Pipe()
    with one, other:
        run(other.asend_bytes(b"long"))
        with pytest.raises(BufferTooShort):
            one.recv_bytes_into(bytearray(2))


# -------------------------------------------------------------------- cancellation


def test_a_cancelled_receiver_leaves_the_message_to_the_next(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        first = asyncio.create_task(one.arecv())
        second = asyncio.create_task(one.arecv())
        await settle()
        await other.asend("x")
        first.cancel()
        assert await second == "x"
        with pytest.raises(asyncio.CancelledError):
            await first

    run(work())


def test_deadlines_lose_no_message(ends: Ends) -> None:
    one, other = ends
    count = 300

    async def receive() -> list[int]:
        arrived: list[int] = []
        while len(arrived) < count:
            try:
                async with asyncio.timeout(0.0005):
                    arrived.append((await one.arecv())[0])
            except TimeoutError:
                pass
            try:
                arrived.append((await asyncio.wait_for(one.arecv(), 0.0005))[0])
            except TimeoutError:
                pass
        return arrived

    async def work() -> None:
        receiving = asyncio.create_task(receive())
        for number in range(count):
            await other.asend((number, b"x" * 90_000 * (number % 3)))
            await asyncio.sleep(0.0003)
        assert await receiving == list(range(count))

    run(work(), debug=False)


def test_half_a_message_of_a_stream_is_kept() -> None:
    one, other = unix_ends()
    with one, other:
        raw = socket.socket(fileno=os.dup(other.fileno()))
        frame = struct.pack(">i", 1000) + b"x" * 1000
        for receive in (one.recv_bytes, lambda: run(one.arecv_bytes())):
            for size in (2, 4, 500):
                raw.sendall(frame[:size])
                with pytest.raises(TimeoutError):
                    run(asyncio.wait_for(one.arecv_bytes(), 0.02))
                raw.sendall(frame[size:])
                assert receive() == b"x" * 1000
        raw.close()


def test_half_a_message_of_packets_is_kept() -> None:
    one, other = Pipe()
    with one, other:

        async def work() -> None:
            sending = asyncio.create_task(other.asend_bytes(b"y" * LARGE))
            receiving = asyncio.create_task(one.arecv_bytes())
            await settle()
            receiving.cancel()
            await asyncio.wait([receiving])
            if receiving.cancelled():
                assert await one.arecv_bytes() == b"y" * LARGE
            await sending

        run(work())


@pytest.mark.parametrize("waiter", ["task", "thread"])
def test_who_waits_goes_on_with_what_a_cancelled_task_had_begun(waiter: str) -> None:
    one, other = Pipe()
    with one, other:

        async def work() -> None:
            # Nobody is there to receive all of it before the first task is cancelled.
            sending = asyncio.create_task(other.asend_bytes(b"y" * LARGE))
            first = asyncio.create_task(one.arecv_bytes())
            await settle()
            if waiter == "task":
                second = asyncio.create_task(one.arecv_bytes())
            else:
                second = asyncio.create_task(asyncio.to_thread(one.recv_bytes))
            await settle()
            first.cancel()
            await asyncio.wait([first])
            if first.cancelled():
                assert await second == b"y" * LARGE
            else:
                await other.asend_bytes(b"")
                await second
            await sending

        run(work())


def test_a_cancelled_sender_tears_nothing(ends: Ends) -> None:
    one, other = ends
    data = bytearray(b"z" * LARGE)

    async def work() -> None:
        sending = asyncio.create_task(other.asend_bytes(data))
        await asyncio.sleep(0.05)
        assert not sending.done()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    run(work())
    data[:] = b"changed"  # nothing of it is used any more
    for send in (other.send, lambda obj: run(other.asend(obj))):
        sender = threading.Thread(target=send, args=("next",))
        sender.start()
        first = one.recv_bytes()
        if len(first) == LARGE:
            assert first == b"z" * LARGE
            first = one.recv_bytes()
        assert b"next" in first
        sender.join(20)
        assert not sender.is_alive()


def test_a_thread_sends_the_rest_of_a_task() -> None:
    one, other = unix_ends()
    with one, other:

        async def work() -> None:
            sending = asyncio.create_task(other.asend_bytes(b"z" * LARGE))
            await asyncio.sleep(0.05)
            thread = asyncio.create_task(asyncio.to_thread(other.send_bytes, b"next"))
            assert await asyncio.to_thread(one.recv_bytes) == b"z" * LARGE
            assert await one.arecv_bytes() == b"next"
            await thread
            await sending

        run(work())


# ------------------------------------------------------------------------- closing


@pytest.mark.parametrize("by_thread", [False, True])
def test_close_ends_the_waits(ends: Ends, by_thread: bool) -> None:
    _, other = ends

    async def work() -> None:
        sending = asyncio.create_task(other.asend_bytes(b"z" * LARGE))
        await asyncio.sleep(0.02)
        waiting = [sending]
        if other.readable:
            waiting.append(asyncio.create_task(other.arecv()))
        await settle()
        if by_thread:
            await asyncio.to_thread(other.close)
        else:
            other.close()
        assert other.closed
        for task in waiting:
            with pytest.raises(ChannelClosedError, match="closed"):
                await task

    run(work())


@pytest.mark.parametrize("by_thread", [False, True])
def test_close_ends_many_waits(ends: Ends, by_thread: bool) -> None:
    one, _ = ends

    async def work() -> None:
        waiting = [asyncio.create_task(one.arecv()) for _ in range(5)]
        await settle()
        if by_thread:
            await asyncio.to_thread(one.close)
        else:
            one.close()
        for task in waiting:
            with pytest.raises(ChannelClosedError, match="closed"):
                await task

    run(work())


def test_the_far_end_sees_a_close_by_another_thread(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        waiting = asyncio.create_task(one.arecv())
        await settle()
        await asyncio.to_thread(one.close)
        await asyncio.wait([waiting])
        sending = asyncio.create_task(other.asend_bytes(b"x" * LARGE))
        with pytest.raises(BrokenPipeError):
            await sending

    run(work())


def test_the_number_of_a_closed_descriptor_is_used_again() -> None:
    async def work() -> None:
        for closing in ("here", "thread"):
            for _ in range(20):
                one, other = Pipe()
                waiting = asyncio.create_task(one.arecv())
                await settle()
                copy = os.dup(one.fileno())  # the description lives on
                if closing == "here":
                    one.close()
                else:
                    await asyncio.to_thread(one.close)
                third, fourth = Pipe()
                again = asyncio.create_task(third.arecv())
                await settle()
                other.send("for nobody")
                fourth.send("for the new one")
                assert await again == "for the new one"
                await asyncio.wait([waiting])
                assert isinstance(waiting.exception(), ChannelClosedError)
                os.close(copy)
                for connection in (other, third, fourth):
                    connection.close()

    before = open_descriptors()
    run(work())
    assert open_descriptors() == before


def test_a_loop_that_ended_is_forgotten(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        waiting = asyncio.create_task(one.arecv())
        await settle()
        del waiting

    run(work())  # cancels it
    loop = asyncio.new_event_loop()
    task = loop.create_task(one.arecv())
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()  # with the task waiting
    other.send("x")
    assert run(one.arecv()) == "x"
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task
    gc.collect()
    other.send("y")
    assert run(one.arecv()) == "y"


def test_a_forked_child_leaves_the_loop_of_its_parent_alone(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        waiting = asyncio.create_task(one.arecv())
        await settle()
        with forked(one.close):
            pass
        await asyncio.to_thread(other.send, "still here")
        assert await waiting == "still here"

    run(work())


def test_o_nonblock_is_never_set(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        sending = asyncio.create_task(other.asend_bytes(b"x" * LARGE))
        await settle()
        receiving = asyncio.create_task(one.arecv_bytes())
        await settle()
        assert os.get_blocking(one.fileno())
        assert os.get_blocking(other.fileno())
        await asyncio.gather(sending, receiving)

    run(work())


def test_a_fast_sender_does_not_starve_other_tasks(ends: Ends) -> None:
    one, other = ends

    async def work() -> None:
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                other.send_bytes(b"x" * 1000)
            other.send_bytes(b"")

        sending = asyncio.create_task(asyncio.to_thread(send))

        async def receive() -> None:
            while await one.arecv_bytes():
                pass

        receiving: Awaitable[None] = asyncio.create_task(receive())
        async with Beat() as beat:
            await until(lambda: beat.count > 50)
        stop.set()
        await receiving
        await sending

    run(work(), debug=False)


def test_importing_the_package_does_not_import_asyncio() -> None:
    path = str(Path(mp_connection.__file__).parents[1])
    code = (
        f"import sys; sys.path[:0] = [{path!r}]\n"
        "from mp_connection import Listener, Pipe\n"
        "a, b = Pipe(); a.send(1); b.recv(); a.close(); b.close(); Listener().close()\n"
        "assert 'asyncio' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-S", "-c", code], check=True, timeout=30)
