"""What type checkers make of listeners.  Checked, never run."""

from __future__ import annotations

import ssl
from typing import Any, assert_type

from mp_connection import (
    Client,
    Connection,
    Listener,
    Pipe,
    answer_challenge,
    deliver_challenge,
)
from mp_connection.connection import Listener as Same


def listeners() -> None:
    listener = Listener[int, str](("localhost", 0), authkey=b"key")
    assert_type(listener.accept(), Connection[int, str])
    assert_type(listener.accept(timeout=1.5).recv(), str)
    listener.accept().send("x")  # type: ignore[arg-type]
    with listener as same:
        assert_type(same, Listener[int, str])
    Listener[Any, Any](authkey="key")  # type: ignore[arg-type]
    Listener[Any, Any](address=5)  # type: ignore[arg-type]
    listener.address = "x"  # type: ignore[misc]
    another: Same[int, str] = listener
    del another


def clients() -> None:
    assert_type(Client("/a/path"), Connection[Any, Any])
    connection: Connection[int, str] = Client(("localhost", 1), "AF_INET", b"key")
    assert_type(connection.recv(timeout=1), str)
    connection.send("x")  # type: ignore[arg-type]
    with Client("/a/path") as plain:
        assert_type(plain, Connection[Any, Any])
        plain.send(plain.recv())
    several = [Client("/a/path") for _ in range(3)]
    assert_type(several, list[Connection[Any, Any]])
    text: str = Client("/a/path")  # type: ignore[assignment]
    del text


def made() -> Connection[int, str]:
    return Client("/a/path")


def taken(connection: Connection[int, str]) -> None:
    taken(Client("/a/path"))
    taken(Listener[int, str]().accept())
    taken(Listener[str, str]().accept())  # type: ignore[arg-type]
    Client()  # type: ignore[call-arg]
    Client("/a/path", authkey="key")  # type: ignore[arg-type]


def challenges() -> None:
    a, _ = Pipe()
    deliver_challenge(a, b"key", digest_name="sha256")
    answer_challenge(a, b"key")
    answer_challenge(a, "key")  # type: ignore[arg-type]
    answer_challenge(5, b"key")  # type: ignore[arg-type]


def allowed(module: str, name: str) -> bool:
    return module == "x" and name == "y"


def allow_lists() -> None:
    Connection[int, str](5, allow=[int, allowed, Connection])
    Connection[int, str](5, allow=allowed)
    Connection[int, str](5, allow=["x"])  # type: ignore[list-item]
    Connection[int, str](5, allow=5)  # type: ignore[arg-type]
    Connection[int, str](5, True, True, allowed)  # type: ignore[call-arg]
    Listener[int, str](allow={int})
    Client("/a/path", allow=(int, str))
    Client("/a/path", allow=len)  # type: ignore[arg-type]


async def tasks(listener: Listener[int, str]) -> None:
    assert_type(await listener.aaccept(), Connection[int, str])


def tls(context: ssl.SSLContext) -> None:
    Listener[int, str](("", 0), ssl_context=context)
    Client(("", 1), ssl_context=context, server_hostname="x")
    Client(("", 1), ssl_context=True)  # type: ignore[arg-type]
