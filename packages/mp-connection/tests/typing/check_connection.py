"""What type checkers make of connections.  Checked, never run."""

from __future__ import annotations

import socket
from typing import Any, assert_type

from mp_connection import Connection, Pipe, wait
from mp_connection.channel import Message, PacketChannel, Received, pickle_message
from mp_connection.lifecycle import at_exit


def typed(connection: Connection[int, str]) -> None:
    assert_type(connection.recv(), str)
    connection.send(1)
    connection.send(True)
    connection.send("x")  # type: ignore[arg-type]
    connection.send(None)  # type: ignore[arg-type]
    assert_type(connection.recv_bytes(), bytes)
    assert_type(connection.recv_bytes(10), bytes)
    assert_type(connection.recv_bytes_into(bytearray(3), 1), int)
    connection.recv_bytes_into("text")  # type: ignore[arg-type]
    connection.send_bytes(b"x", 1, None)
    connection.send_bytes("text")  # type: ignore[arg-type]
    assert_type(connection.poll(), bool)
    assert_type(connection.poll(None), bool)
    connection.poll("1")  # type: ignore[arg-type]
    assert_type(connection.fileno(), int)
    assert_type(connection.closed, bool)
    connection.closed = True  # type: ignore[misc]
    connection.other = 1  # type: ignore[attr-defined]
    with connection as same:
        assert_type(same, Connection[int, str])


def readers(connection: Connection[Any, int]) -> int:
    return connection.recv()


def writers(connection: Connection[bool, Any]) -> None:
    connection.send(True)


def passing(connection: Connection[int, bool]) -> None:
    assert_type(readers(connection), int)
    writers(connection)
    typed(connection)  # type: ignore[arg-type]


def variance(connection: Connection[object, bool]) -> None:
    # What is sent may be narrower, what is received wider.
    narrower: Connection[str, int] = connection
    wider: Connection[object, str] = connection  # type: ignore[assignment]
    del narrower, wider


def sends_objects(connection: Connection[int, Any]) -> None:
    wrong: Connection[object, Any] = connection  # type: ignore[assignment]
    del wrong


def pipes() -> None:
    a, b = Pipe()
    assert_type(a, Connection[Any, Any])
    c: Connection[int, str]
    d: Connection[str, int]
    c, d = Pipe(duplex=False)
    assert_type(c.recv(), str)
    assert_type(d.recv(), int)
    c.send("x")  # type: ignore[arg-type]
    d.send(1)  # type: ignore[arg-type]
    both: tuple[Connection[int, str], Connection[str, int]] = Pipe()
    assert_type(both[1].recv(), int)
    typed(Pipe()[0])
    e: int = Pipe()  # type: ignore[assignment]
    del e
    Pipe("both")  # type: ignore[arg-type]
    a.close()
    b.close()


def waiting(connections: list[Connection[int, str]], sock: socket.socket) -> None:
    assert_type(wait(connections), list[Connection[int, str]])
    assert_type(wait([1, 2], 0.5), list[int])
    assert_type(wait({sock}), list[socket.socket])
    mixed = wait([sock, *connections, 3])
    mixed.append(5)
    wait(["not waitable"])  # type: ignore[type-var]
    for ready in wait(connections, timeout=0):
        ready.send("x")  # type: ignore[arg-type]
        assert_type(ready.recv(), str)
    wait(tuple(connections))[0].send(1)
    wait(connections, "1")  # type: ignore[call-overload]


def channels(channel: PacketChannel) -> None:
    assert_type(channel.recv(), Received)
    assert_type(channel.recv(1.5), Received)
    assert_type(channel.try_recv(), Received | None)
    assert_type(channel.flush(), bool)
    assert_type(pickle_message([1]), Message)
    channel.send(b"bytes")  # type: ignore[arg-type]


def lifecycle() -> None:
    cancel = at_exit(print, 3)
    cancel()
    at_exit(lambda x: x)  # type: ignore[arg-type, misc]


async def tasks(connection: Connection[int, str]) -> None:
    await connection.asend(1)
    await connection.asend("x")  # type: ignore[arg-type]
    assert_type(await connection.arecv(), str)
    await connection.asend_bytes(b"x", 1, None)
    assert_type(await connection.arecv_bytes(3), bytes)
