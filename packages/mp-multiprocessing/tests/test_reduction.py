"""`reduction`: what third parties use of the standard module of this name."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import pickle
import socket
from io import BytesIO
from typing import Any, cast

import pytest

from mp_connection import HandleError, Pipe
from mp_connection.handles import unregister_reducer
from mp_multiprocessing import reduction
from mp_multiprocessing.reduction import (
    DupFd,
    ForkingPickler,
    dump,
    recv_handle,
    register,
    send_handle,
)


class Storage:
    """A third party's: it owns a descriptor, and knows nothing of us."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size


def reduce_storage(storage: Storage) -> tuple[Any, ...]:
    return rebuild_storage, (DupFd(storage.fd), storage.size)


def rebuild_storage(duplicate: DupFd, size: int) -> Storage:
    return Storage(duplicate.detach(), size)


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def reduce_point(point: Point) -> tuple[Any, ...]:
    return Point, (point.x + 1,)


@pytest.fixture(autouse=True)
def registered() -> Any:
    ForkingPickler.register(Storage, reduce_storage)
    register(Point, reduce_point)
    yield
    unregister_reducer(Storage)
    unregister_reducer(Point)


def test_a_registered_type_travels_with_its_descriptor() -> None:
    a, b = Pipe()
    fd = os.memfd_create("test")
    os.write(fd, b"content")
    with a, b:
        a.send(Storage(fd, 7))
        os.close(fd)
        arrived = b.recv()
    assert (os.pread(arrived.fd, 100, 0), arrived.size) == (b"content", 7)
    os.close(arrived.fd)


def test_a_duplicate_outlives_what_it_is_of_and_goes_once() -> None:
    a, b = Pipe()
    fd = os.memfd_create("test")
    duplicate = DupFd(fd)
    os.close(fd)
    with a, b:
        a.send(duplicate)
        arrived = b.recv()
        os.close(arrived.detach())
        with pytest.raises(HandleError, match="detached before"):
            arrived.detach()
        os.close(duplicate.detach())
        with pytest.raises(HandleError, match="detached"):
            a.send(duplicate)
    with pytest.raises(OSError, match="Bad file"):
        DupFd(fd)


@pytest.mark.parametrize("protocol", [None, 2, 4])
def test_pickles_are_plain_ones_that_use_the_registry(protocol: int | None) -> None:
    file = BytesIO()
    ForkingPickler(file, protocol).dump(Point(1))
    data = ForkingPickler.dumps(Point(1), protocol)
    assert bytes(data) == file.getvalue()
    assert pickle.loads(data).x == ForkingPickler.loads(data).x == 2
    assert pickle.loads(pickle.dumps(Point(1))).x == 1
    assert bytes(data)[1] == (5 if protocol is None else protocol)


def test_what_forking_pickler_made_can_be_sent_as_bytes() -> None:
    a, b = Pipe()
    with a, b:
        a.send_bytes(ForkingPickler.dumps([Point(1)]))
        assert b.recv()[0].x == 2


def test_descriptors_do_not_fit_into_bytes() -> None:
    fd = os.memfd_create("test")
    with pytest.raises(HandleError, match="through a connection"):
        ForkingPickler.dumps(Storage(fd, 1))
    os.close(fd)


def test_descriptors_are_sent_and_received() -> None:
    a, b = Pipe()
    fd = os.memfd_create("test")
    os.write(fd, b"content")
    with a, b:
        send_handle(a, fd, None)
        os.close(fd)
        arrived = recv_handle(b)
        assert os.pread(arrived, 100, 0) == b"content"
        os.close(arrived)
        a.send(7)
        with pytest.raises(RuntimeError, match="not a descriptor but int"):
            recv_handle(b)


def test_how_sockets_are_reduced_is_known() -> None:
    """dill imports the function by this name."""
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(3)
        rebuild, (handle, *rest) = cast(Any, reduction._reduce_socket(one))
        assert handle.fd == one.fileno()
        assert callable(rebuild)
        assert rest == [socket.AF_UNIX, socket.SOCK_STREAM, 0, 3]


def test_dump_writes_a_pickle() -> None:
    file = BytesIO()
    dump([Point(1)], file)
    assert ForkingPickler.loads(file.getvalue())[0].x == 2
