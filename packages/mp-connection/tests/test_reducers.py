"""Reducers that programs register for types of others."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import pickle
import re
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from mp_connection_forks import in_child, open_descriptors

from mp_connection import Connection, HandleError, Pipe, UnpicklableError
from mp_connection._cpickle import dumps
from mp_connection._reducers import _registered
from mp_connection.handles import (
    Handle,
    ReceivedHandle,
    register_reducer,
    unregister_reducer,
)
from mp_connection.lean import follow_reducers

Ends = tuple["Connection[Any, Any]", "Connection[Any, Any]"]


class Point:
    """Can be pickled without a reducer, too."""

    def __init__(self, x: object, how: str = "made") -> None:
        self.x = x
        self.how = how


class Pixel(Point):
    pass


class Locked:
    """Cannot be pickled without a reducer."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        raise TypeError("locked")


class File:
    """Owns a descriptor, and closes it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class View:
    """Stands for a file that is made when it is sent."""


def reduce_point(point: Point) -> tuple[Any, ...]:
    return Point, (point.x, "reduced")


def reduce_locked(locked: Locked) -> tuple[Any, ...]:
    return Locked, (locked.name,)


def reduce_file(file: File) -> tuple[Any, ...]:
    return rebuild_file, (Handle(file.fd),)


def rebuild_file(handle: ReceivedHandle) -> File:
    return File(handle.take())


def reduce_view(view: View) -> tuple[Any, ...]:
    fd = os.memfd_create("view")
    os.write(fd, b"view")
    return list, ([File(fd)],)


@pytest.fixture
def registered() -> Iterator[None]:
    register_reducer(Point, reduce_point)
    register_reducer(Locked, reduce_locked)
    register_reducer(File, reduce_file)
    register_reducer(View, reduce_view)
    yield
    for cls in (Point, Locked, File, View):
        unregister_reducer(cls)


def unix_ends() -> Ends:
    one, other = socket.socketpair()
    return Connection(one.detach()), Connection(other.detach())


def tcp_ends() -> Ends:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return Connection(one.detach()), Connection(other.detach())


@pytest.fixture(params=[Pipe, unix_ends, tcp_ends])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    one, other = request.param()
    with one, other:
        yield one, other


@pytest.fixture(params=[Pipe, unix_ends])
def local(request: pytest.FixtureRequest) -> Iterator[Ends]:
    one, other = request.param()
    with one, other:
        yield one, other


@pytest.mark.usefixtures("registered")
def test_a_reducer_is_used_for_what_can_be_pickled_without(ends: Ends) -> None:
    a, b = ends
    a.send([Point(1), {"x": Point(Point(2))}])
    first, rest = b.recv()
    assert (first.x, first.how) == (1, "reduced")
    assert (rest["x"].how, rest["x"].x.how) == ("reduced", "reduced")


@pytest.mark.usefixtures("registered")
def test_a_reducer_is_used_for_what_cannot_be_pickled_otherwise(ends: Ends) -> None:
    a, b = ends
    a.send([Locked("name")] * 2)
    first, second = b.recv()
    assert first is second
    assert first.name == "name"


@pytest.mark.usefixtures("registered")
def test_subclasses_are_pickled_as_before(ends: Ends) -> None:
    a, b = ends
    a.send(Pixel(1))
    assert b.recv().how == "made"


@pytest.mark.usefixtures("registered")
def test_plain_pickles_are_as_before() -> None:
    assert pickle.loads(pickle.dumps(Point(1))).how == "made"
    with pytest.raises(TypeError, match="locked"):
        pickle.dumps(Locked(""))


@pytest.mark.usefixtures("registered")
def test_descriptors_travel_with_types_of_others(local: Ends) -> None:
    a, b = local
    before = open_descriptors()
    fd = os.memfd_create("file")
    os.write(fd, b"content")
    file = File(fd)
    a.send([file, Point(file), a])
    first, point, connection = b.recv()
    assert point.x is first
    assert point.how == "reduced"
    assert os.pread(first.fd, 10, 0) == b"content"
    connection.close()
    del file, first, point
    assert open_descriptors() == before


@pytest.mark.usefixtures("registered")
def test_what_a_reducer_makes_for_the_occasion_lives_until_it_is_sent(
    local: Ends,
) -> None:
    a, b = local
    before = open_descriptors()
    a.send({"view": View()})
    (file,) = b.recv()["view"]
    assert os.pread(file.fd, 10, 0) == b"view"
    del file
    assert open_descriptors() == before


@pytest.mark.usefixtures("registered")
def test_descriptors_still_do_not_travel_over_tcp() -> None:
    a, b = tcp_ends()
    with a, b, pytest.raises(HandleError, match="TCP"):
        a.send(View())


@pytest.mark.usefixtures("registered")
def test_large_buffers_leave_out_of_band_all_the_same(ends: Ends) -> None:
    a, b = ends
    a.send(Point(pickle.PickleBuffer(bytearray(b"x" * 1000))))
    arrived = b.recv()
    assert (arrived.how, type(arrived.x), len(arrived.x)) == (
        "reduced", bytearray, 1000
    )  # fmt: skip


@pytest.mark.usefixtures("registered")
def test_the_culprit_is_looked_for_in_what_the_reducer_returns(ends: Ends) -> None:
    with pytest.raises(UnpicklableError) as caught:
        ends[0].send([Point({"f": lambda: None})])
    assert caught.value.path == "object[0] (argument 0 of its constructor)['f']"


def test_a_reducer_of_sockets_replaces_ours(local: Ends) -> None:
    a, b = local
    register_reducer(socket.socket, lambda sock: (int, (sock.fileno(),)))
    try:
        with socket.socket() as sock:
            a.send([sock, a])
            number, connection = b.recv()
            assert number == sock.fileno()
            connection.close()
    finally:
        unregister_reducer(socket.socket)


def test_a_second_registration_replaces_the_first(ends: Ends) -> None:
    a, b = ends
    register_reducer(Point, reduce_point)
    try:
        register_reducer(Point, lambda point: (str, (point.x,)))
        a.send(Point(5))
        assert b.recv() == "5"
    finally:
        unregister_reducer(Point)
    a.send(Point(5))
    assert b.recv().how == "made"


def test_reducers_of_copyreg_hold_too(registered: None, ends: Ends) -> None:
    a, b = ends
    a.send([1j, re.compile("a+"), Point(1)])
    number, pattern, point = b.recv()
    assert (number, pattern.pattern, point.how) == (1j, "a+", "reduced")


@pytest.mark.parametrize(
    ("cls", "reduce", "error"),
    [
        ("str", reduce_point, "not a class"),
        (Point, "function", "called with"),
        (int, reduce_point, "a int is pickled"),
        (type(reduce_point), reduce_point, "function is pickled"),
        (type, reduce_point, "type is pickled"),
    ],
)
def test_what_cannot_be_registered(cls: Any, reduce: Any, error: str) -> None:
    before = dict(_registered)  # other layers may have registered theirs
    with pytest.raises(TypeError, match=error):
        register_reducer(cls, reduce)
    assert _registered == before
    with pytest.raises(KeyError):
        unregister_reducer(Point)


def test_nobody_pays_while_nothing_is_registered() -> None:
    program = (
        "from mp_connection import _cpickle, _connection, _pickling\n"
        "from mp_connection import _stream_connection as stream\n"
        "from mp_connection.handles import register_reducer, unregister_reducer\n"
        "def unchanged():\n"
        "    return [_connection.dumps is _cpickle.dumps,"
        " _pickling.dumps is _cpickle.dumps, stream.Pickler is _cpickle.Pickler]\n"
        "print(unchanged())\n"
        "class Point: pass\n"
        "register_reducer(Point, lambda point: (Point, ()))\n"
        "print(unchanged())\n"
        "unregister_reducer(Point)\n"
        "print(unchanged())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.splitlines() == [
        str([True] * 3), str([False] * 3), str([True] * 3)
    ]  # fmt: skip


def test_a_module_that_comes_later_follows_too() -> None:
    def late() -> None:
        register_reducer(Point, reduce_point)
        namespace: dict[str, Any] = {"dumps": dumps}
        follow_reducers(namespace)
        assert pickle.loads(namespace["dumps"](Point(1), 5)).how == "reduced"
        assert "Pickler" not in namespace

    in_child(late)


def test_forked_children_inherit_reducers(registered: None) -> None:
    a, b = Pipe()
    with a, b:
        in_child(lambda: a.send(Point(1)))
        assert b.recv().how == "reduced"
