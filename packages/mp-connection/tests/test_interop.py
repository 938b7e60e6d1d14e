"""Connections to and from the standard library of other Pythons.

`MP_INTEROP_PYTHONS` lists interpreters to use instead of those that are found,
separated by colons; `MP_INTEROP_MINIMUM` says how many there have to be (2, and none
if it is empty).
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mp_connection import (
    AuthenticationError,
    Client,
    Connection,
    Listener,
    TimeoutError,
)

KEY = b"the key"
SUPPORTED = [(3, minor) for minor in range(8, 16)]

# Both run in the other Python: a peer sends back what it receives, until it is told to
# stop, and prints how that ended.
COMMON = """
import sys
from multiprocessing.connection import Client, Listener
key = None if sys.argv[2] == "-" else sys.argv[2].encode()
def serve(connection):
    while True:
        kind = connection.recv()
        if kind == "stop":
            break
        if kind == "object":
            connection.send(connection.recv())
        else:
            connection.send_bytes(connection.recv_bytes())
    connection.close()
def run():
    try:
        main()
    except Exception as error:
        print(type(error).__name__)
    else:
        print("done")
"""
LISTENER = """
def main():
    listener = Listener(family=sys.argv[1], authkey=key)
    print(repr(listener.address), flush=True)
    with listener:
        serve(listener.accept())
run()
"""
CLIENT = """
def main():
    serve(Client(eval(sys.argv[1]), authkey=key))
run()
"""


def pythons() -> dict[str, str]:
    """The interpreters of other versions, by version."""
    given = os.environ.get("MP_INTEROP_PYTHONS")
    if given is not None:
        candidates = [Path(path) for path in given.split(":") if path]
    else:
        candidates = sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))
        for minor in range(8, 16):
            candidates.append(Path(f"/usr/bin/python3.{minor}"))
            candidates.append(Path(f"/usr/local/bin/python3.{minor}"))
    found: dict[str, str] = {}
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in candidates:
        if not path.exists():
            continue
        done = subprocess.run(
            [path, "-c", code], capture_output=True, text=True, check=False
        )
        version = done.stdout.strip()
        if tuple(map(int, version.split("."))) in SUPPORTED:
            found.setdefault(version, str(path))
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))


PYTHONS = pythons()


@pytest.fixture(params=PYTHONS or [pytest.param("", marks=pytest.mark.skip)])
def python(request: pytest.FixtureRequest) -> str:
    return PYTHONS[request.param]


class Peer:
    """Another Python at work."""

    def __init__(self, python: str, code: str, place: str, key: bytes | None) -> None:
        text = "-" if key is None else key.decode()
        environment = {k: v for k, v in os.environ.items() if "PYTHON" not in k}
        self._process = subprocess.Popen(
            [python, "-c", COMMON + code, place, text],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(params=["AF_UNIX", "AF_INET"])
def family(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def exchange(connection: Connection[Any, Any]) -> None:
    connection.send("bytes")
    connection.send_bytes(b"")
    assert connection.recv_bytes() == b""
    objects = [None, -1, "text" * 1000, b"x" * 100_000, {"a": [1.5, (True,)]}, range(3)]
    for obj in [*objects, objects, bytearray(200_000)]:
        connection.send("object")
        connection.send(obj)
        assert connection.recv(timeout=30) == obj


def test_enough_pythons_were_found(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\ninterop with {', '.join(PYTHONS) or 'nothing'}", end=" ")
    minimum = os.environ.get("MP_INTEROP_MINIMUM", "2")
    assert len(PYTHONS) >= int(minimum or 0), "MP_INTEROP_MINIMUM asks for more"


@pytest.mark.parametrize("key", [None, KEY])
def test_our_client(python: str, family: str, key: bytes | None) -> None:
    with Peer(python, LISTENER, family, key) as peer:
        address = eval(peer.line())
        with Client(address, authkey=key, timeout=30) as connection:
            exchange(connection)
            connection.send("stop")
        assert peer.line() == "done"


@pytest.mark.parametrize("key", [None, KEY])
def test_our_listener(python: str, family: str, key: bytes | None) -> None:
    with (
        Listener[Any, Any](family=family, authkey=key) as listener,
        Peer(python, CLIENT, repr(listener.address), key) as peer,
        listener.accept(timeout=30) as connection,
    ):
        exchange(connection)
        connection.send("stop")
        assert peer.line() == "done"


@pytest.mark.parametrize("key", [None, KEY])
def test_64_mib(python: str, key: bytes | None) -> None:
    data = os.urandom(1 << 20) * 64
    with Peer(python, LISTENER, "AF_UNIX", key) as peer:
        with Client(eval(peer.line()), authkey=key, timeout=30) as connection:
            connection.send("bytes")
            connection.send_bytes(data)
            assert connection.recv_bytes() == data
            connection.send("stop")
        assert peer.line() == "done"


def test_our_client_with_another_key(python: str, family: str) -> None:
    with Peer(python, LISTENER, family, KEY) as peer:
        with pytest.raises(AuthenticationError):
            Client(eval(peer.line()), authkey=b"wrong", timeout=30)
        assert peer.line() == "AuthenticationError"


def test_our_listener_with_another_key(python: str, family: str) -> None:
    with (
        Listener[Any, Any](family=family, authkey=KEY) as listener,
        Peer(python, CLIENT, repr(listener.address), b"wrong") as peer,
    ):
        with pytest.raises(AuthenticationError):
            listener.accept(timeout=30)
        assert peer.line() == "AuthenticationError"


def test_our_client_has_a_key_and_the_listener_none(python: str) -> None:
    with Peer(python, LISTENER, "AF_UNIX", None) as peer:
        address = eval(peer.line())
        # The listener waits for a message, and the client for a challenge.
        with pytest.raises(TimeoutError):
            Client(address, authkey=KEY, timeout=0.3)
        assert peer.line() == "EOFError"


def test_the_client_has_no_key(python: str) -> None:
    with (
        Listener[Any, Any](authkey=KEY) as listener,
        Peer(python, CLIENT, repr(listener.address), None) as peer,
    ):
        with pytest.raises(AuthenticationError):
            listener.accept(timeout=30)
        assert peer.line() == "UnpicklingError"


def test_a_connection_does_not_travel_to_a_standard_peer(python: str) -> None:
    with (
        Peer(python, LISTENER, "AF_UNIX", KEY) as peer,
        Client(eval(peer.line()), authkey=KEY, timeout=30) as connection,
    ):
        connection.send([connection])
        # It has no `mp_connection`; if it had, there is no descriptor for it.
        assert peer.line() in ("ModuleNotFoundError", "UnpicklingError")
