"""`wait` for a list that was waited for before."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import gc
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from mp_connection_forks import in_child

from mp_connection import ChannelClosedError, Connection, Pipe, wait
from mp_connection._endpoint import sockets

COUNT = 20

End = Connection[Any, Any]


class Many:
    """Pipes whose readers have been waited for so often that they are known."""

    def __init__(self, stack: ExitStack) -> None:
        pairs = [Pipe(False) for _ in range(COUNT)]
        self.readers: list[End] = [reader for reader, _ in pairs]
        self.writers: list[End] = [writer for _, writer in pairs]
        for end in self.readers + self.writers:
            stack.enter_context(end)
        self.learn()

    def learn(self) -> None:
        for _ in range(3):
            assert wait(self.readers, 0) == []
        assert is_known(self.readers)


def is_known(readers: list[End]) -> bool:
    known = sockets[readers[0]._channel.sock]
    return known is not None and known._epoll is not None


def epolls() -> int:
    places = "/proc/self/fd"
    count = 0
    for fd in os.listdir(places):
        try:
            count += os.readlink(f"{places}/{fd}") == "anon_inode:[eventpoll]"
        except OSError:
            pass  # of the listing itself
    return count


@pytest.fixture
def many() -> Iterator[Many]:
    with ExitStack() as stack:
        yield Many(stack)


def test_what_is_ready_comes_in_the_order_given(many: Many) -> None:
    for index in (17, 3, 11):
        many.writers[index].send(index)
    assert wait(many.readers) == [many.readers[i] for i in (3, 11, 17)]
    for index in (3, 17):
        assert many.readers[index].recv() == index
    assert wait(many.readers, 10) == [many.readers[11]]
    many.readers[11].recv()
    assert wait(many.readers, -1) == []


def test_the_time_out_is_kept(many: Many) -> None:
    start = time.monotonic()
    assert wait(many.readers, 0.15) == []
    assert 0.15 <= time.monotonic() - start < 5


def test_a_message_wakes_a_waiting_thread(many: Many) -> None:
    found: list[list[End]] = []
    threads = [
        threading.Thread(target=lambda: found.append(wait(many.readers, 30)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    many.writers[5].send("x")
    for thread in threads:
        thread.join(30)
    assert found == [[many.readers[5]]] * 3


def test_the_end_of_a_connection_is_ready(many: Many) -> None:
    many.writers[2].close()
    assert wait(many.readers, 10) == [many.readers[2]]


def test_a_closed_connection_is_refused(many: Many) -> None:
    many.readers[7].close()
    with pytest.raises(ChannelClosedError):
        wait(many.readers, 0)


def test_a_new_connection_with_an_old_number_is_another_one(many: Many) -> None:
    fd = many.readers[7].fileno()
    # The description lives on: the kernel goes on telling of it.
    elsewhere = os.dup(fd)
    many.readers[7].close()
    many.writers[7].send("for nobody")
    assert elsewhere != fd
    reader, writer = Pipe(False)
    try:
        assert reader.fileno() == fd
        many.readers[7] = reader
        assert wait(many.readers, 0) == []
        many.learn()
        writer.send("x")
        assert wait(many.readers, 10) == [reader]
    finally:
        os.close(elsewhere)
        reader.close()
        writer.close()


def test_nothing_is_left_when_the_first_is_closed(many: Many) -> None:
    before = epolls()
    many.readers[0].close()
    assert epolls() == before - 1


def test_nothing_is_left_when_the_first_is_collected(many: Many) -> None:
    before = epolls()
    reader, writer = Pipe(False)
    some = [reader, *many.readers]
    for _ in range(3):
        assert wait(some, 0) == []
    assert epolls() == before + 1
    fd = reader.fileno()
    del reader, some
    gc.collect()
    assert epolls() == before
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    writer.close()


def test_a_changed_list_is_looked_at_anew(many: Many) -> None:
    many.writers[4].send("x")
    some = many.readers[:4] + many.readers[5:]
    for _ in range(4):
        assert wait(some, 0) == []
    assert wait([*some[::-1], many.readers[4]], 0) == [many.readers[4]]


def test_objects_given_twice_come_twice(many: Many) -> None:
    twice = many.readers * 2
    many.writers[1].send("x")
    for _ in range(4):
        assert wait(twice) == [many.readers[1]] * 2


def test_other_objects_and_classes_go_the_long_way(many: Many) -> None:
    class Elsewhere(Connection[Any, Any]):
        def fileno(self) -> int:
            return there.fileno()

    here, there = socket.socketpair()
    with here, there, Elsewhere(os.dup(here.fileno())) as odd:
        mixed: list[Any] = [*many.readers, odd, here]
        for _ in range(3):
            assert wait(mixed, 0) == []
        here.send(b"x")
        for _ in range(3):
            assert wait(mixed, 10) == [odd]


def test_streams_belong_to_it_and_regular_files_do_not(many: Many) -> None:
    end, other = socket.socketpair()
    with other, Connection[Any, Any](end.detach()) as stream:
        streams = [stream, *many.readers]
        for _ in range(3):
            assert wait(streams, 0) == []
        assert is_known(streams)
        other.send(b"\0\0\0\1x")
        assert wait(streams, 10) == [stream]
        file = os.open(__file__, os.O_RDONLY)
        with Connection[Any, Any](file, writable=False) as regular:
            for _ in range(4):
                assert wait([*many.readers, regular], 0) == [regular]


def test_kept_messages_are_seen(many: Many) -> None:
    many.writers[3].send([1])
    received = many.readers[3]._channel.recv()
    many.readers[3]._channel.put_back(received)
    assert wait(many.readers, 0) == [many.readers[3]]
    assert many.readers[3].recv() == [1]
    assert wait(many.readers, 0) == []


def test_a_forked_child_does_not_touch_what_its_parent_remembers(many: Many) -> None:
    before = epolls()

    def child() -> None:
        assert epolls() == before - 1
        assert not is_known(many.readers)
        many.readers[9].close()
        rest = many.readers[:9] + many.readers[10:]
        for _ in range(3):
            assert wait(rest, 0) == []
        assert is_known(rest)

    in_child(child)
    assert is_known(many.readers)
    many.writers[9].send("x")
    assert wait(many.readers, 10) == [many.readers[9]]


def test_without_descriptors_it_goes_the_long_way(
    many: Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(select, "epoll", none_left)
    readers = many.readers[1:]
    many.writers[1].send("x")
    for _ in range(4):
        assert wait(readers, 10) == [readers[0]]
    assert not is_known(readers)
