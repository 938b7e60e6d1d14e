"""`Pipe`: two connections that belong together."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import resource
import subprocess

import pytest
from mp_connection_forks import forked, in_child, open_descriptors

from mp_connection import Connection, Pipe

# Whatever carries the packets.
pytestmark = pytest.mark.usefixtures("backend")


def test_both_ends_send_and_receive_unless_told_otherwise() -> None:
    a, b = Pipe()
    with a, b:
        assert type(a) is type(b) is Connection
        assert a.readable
        assert a.writable
        assert b.readable
        assert b.writable
        a.send("there")
        b.send("back")
        assert (b.recv(), a.recv()) == ("there", "back")


@pytest.mark.parametrize("duplex", [False, 0])
def test_one_way_the_first_end_receives_and_the_second_sends(duplex: bool) -> None:
    reader, writer = Pipe(duplex=duplex)
    with reader, writer:
        assert (reader.readable, reader.writable) == (True, False)
        assert (writer.readable, writer.writable) == (False, True)


def test_ends_block_and_are_not_inherited_by_other_programs() -> None:
    a, b = Pipe()
    with a, b:
        for end in (a, b):
            assert os.get_blocking(end.fileno())
            assert not os.get_inheritable(end.fileno())
        listing = subprocess.run(
            ["ls", "-l", "/proc/self/fd"], capture_output=True, timeout=20, check=True
        )
        assert b"socket" not in listing.stdout


def test_a_pipe_joins_a_process_and_its_forked_child() -> None:
    a, b = Pipe()

    def child() -> None:
        a.close()
        while True:
            try:
                b.send(b.recv() * 2)
            except EOFError:
                return

    with forked(child):
        b.close()
        for number in range(10):
            a.send(number)
            assert a.recv() == 2 * number
        a.close()


def test_the_end_comes_when_every_process_has_closed_it() -> None:
    a, b = Pipe(False)
    go, tell = os.pipe()

    def child() -> None:
        os.read(go, 1)

    with forked(child):
        b.close()
        assert not a.poll(0.1)  # the child holds the other end
        os.write(tell, b"x")
        assert a.poll(10)
        with pytest.raises(EOFError):
            a.recv()
    for fd in (go, tell):
        os.close(fd)
    a.close()


def test_no_more_descriptors_is_the_systems_error_and_leaks_nothing() -> None:
    def child() -> None:
        before = open_descriptors()
        used = max(map(int, before)) + 1
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
        pairs = [Pipe() for _ in range((used + 1 - len(before)) // 2)]
        with pytest.raises(OSError, match="Too many open files"):
            Pipe()
        pairs.clear()
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 100, hard))
        assert open_descriptors() == before

    in_child(child)
