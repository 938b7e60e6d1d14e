"""Large messages whose sender does not wait: read half, left, and given on."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import signal
import time
from collections.abc import Callable

import pytest
from mp_connection_channels import Channels, begun_by, received_by, some_bytes
from mp_connection_forks import Child, doomed, open_descriptors

from mp_connection._alone_linux import PIPE_FROM
from mp_connection._framing import Message
from mp_connection._packets_linux import send_packet
from mp_connection._receiver_linux import Receiver
from mp_connection.channel import PacketChannel
from mp_connection.handover import Handover, hand_over
from mp_testing import until

pytestmark = pytest.mark.usefixtures("backend")

#: One that goes over a pair, one that a pipe holds, and one that it does not.
SIZES = [150_000, PIPE_FROM + 1000, (3 << 20) + 1]
STEP = 512


@pytest.fixture(params=SIZES)
def data(request: pytest.FixtureRequest) -> bytearray:
    size: int = request.param
    return some_bytes(size)


def make_file() -> int:
    return os.memfd_create("handover")


def begin(pair: Channels, *parts: bytes | bytearray, patient: bool = True) -> Handover:
    handover = hand_over(Message(parts, pickled=False), STEP, make_file, patient)
    assert sum(map(len, map(bytes, handover.announcement))) % STEP == 1
    handover.announce(pair[0].sock)
    return handover


def test_what_nobody_receives_is_left(pair: Channels, data: bytearray) -> None:
    before = open_descriptors()
    original = bytes(data)
    handover = begin(pair, data)
    start = time.monotonic()
    if not handover.send(0.02):
        assert len(data) > SIZES[0]
        handover.leave()
    assert time.monotonic() - start < 2
    handover.close()
    assert open_descriptors() == before
    data[:] = bytes(len(data))  # it is the caller's again
    assert received_by(pair[1]) == original
    assert open_descriptors() == before


@pytest.mark.parametrize("patient", [False, True])
def test_what_is_not_to_be_waited_for_is_left_at_once(
    patient: bool, pair: Channels, data: bytearray
) -> None:
    original = bytes(data)
    handover = begin(pair, data, b"", data[:10], patient=patient)
    if not handover.send(0):
        handover.leave()
    handover.close()
    data[:] = bytes(len(data))
    assert received_by(pair[1]) == original + original[:10]


def test_what_is_read_half_is_left_from_there(pair: Channels, data: bytearray) -> None:
    a, b = pair
    original = bytes(data)
    handover = begin(pair, data)
    receiver = Receiver(b.sock, True)
    through = handover.send(0)
    assert begun_by(receiver)
    if len(data) > 1 << 20:
        assert begun_by(receiver)  # as much as there was room for
    if not through:
        handover.leave()
    handover.close()
    data[:] = bytes(len(data))
    b.put_back(receiver)
    assert received_by(b) == original
    send_packet(a.sock, [b"\0next"])
    assert received_by(b) == b"next"


def test_it_is_through_when_it_is_received(pair: Channels, data: bytearray) -> None:
    handover = begin(pair, data)

    def receive() -> None:
        assert received_by(pair[1]) == data

    with doomed(receive) as child:
        assert handover.send(20)
        assert child.join() == 0
    handover.close()


def die_after(steps: int, channel: PacketChannel) -> Callable[[], None]:
    def die() -> None:
        receiver = Receiver(channel.sock, True)
        for _ in range(steps):
            until(lambda: begun_by(receiver))
        os.kill(os.getpid(), signal.SIGKILL)

    return die


@pytest.mark.parametrize("leave", [False, True])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_receiver_that_dies_is_found_out(
    steps: int, leave: bool, pair: Channels, data: bytearray
) -> None:
    handover = begin(pair, data)
    if handover.send(0):
        assert len(data) == SIZES[0]  # it is in the kernel's hands
    elif steps == 1 or len(data) > 1 << 20:  # with two steps it has all of a short one
        assert Child(die_after(steps, pair[1])).join() == -signal.SIGKILL
        with pytest.raises(BrokenPipeError):
            handover.leave() if leave else handover.send(0.02)
    handover.close()


def test_what_is_closed_too_early_is_passed_over(
    pair: Channels, data: bytearray
) -> None:
    before = open_descriptors()
    begin(pair, data).close()
    send_packet(pair[0].sock, [b"\0next"])
    got = received_by(pair[1])
    assert got == b"next"
    assert open_descriptors() == before
