"""`Listener` and `Client`: addresses, files, handshakes with all sorts of peers."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import gc
import os
import socket
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mp_connection
from mp_connection import (
    AuthenticationError,
    ChannelClosedError,
    Client,
    Connection,
    Listener,
    Pipe,
    TimeoutError,
    answer_challenge,
    deliver_challenge,
    wait,
)

KEY = b"the key"
FAMILIES = ["AF_UNIX", "AF_INET"]


class Started:
    """A function that runs in a thread."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._result: list[Any] = []
        self._errors: list[BaseException] = []

        def run() -> None:
            try:
                self._result.append(function())
            except BaseException as error:
                self._errors.append(error)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def result(self) -> Any:
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._errors:
            raise self._errors[0]
        return self._result[0]


def connect_raw(listener: Listener[Any, Any]) -> socket.socket:
    """A stranger who does not know the protocol."""
    family = socket.AF_UNIX if isinstance(listener.address, str) else socket.AF_INET
    stranger = socket.socket(family)
    stranger.connect(listener.address)
    stranger.settimeout(10)
    return stranger


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def meet(
    listener: Listener[Any, Any], key: bytes | None = None
) -> tuple[Connection[Any, Any], Connection[Any, Any]]:
    client = Started(lambda: Client(listener.address, authkey=key, timeout=20))
    accepted = listener.accept(timeout=20)
    return accepted, client.result()


# ----------------------------------------------------------------------- addresses


@pytest.mark.parametrize("family", [*FAMILIES, "AF_INET6", None])
@pytest.mark.parametrize("key", [None, KEY, b"", b"k" * 1000])
def test_a_client_and_a_listener(family: str | None, key: bytes | None) -> None:
    if family == "AF_INET6" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this host has no IPv6")
    with Listener[Any, Any](family=family, authkey=key) as listener:
        before = listener.last_accepted
        assert before is None
        ours, theirs = meet(listener, key)
        with ours, theirs:
            ours.send(["x"])
            assert theirs.recv() == ["x"]
            theirs.send_bytes(b"y")
            assert ours.recv_bytes() == b"y"
            if family in ("AF_INET", "AF_INET6"):
                assert listener.last_accepted[1] > 0
                sock = socket.socket(fileno=os.dup(ours.fileno()))
                assert sock.getsockname()[:2] == listener.address[:2]
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                sock.close()
            else:
                assert listener.last_accepted is None


def test_the_default_is_a_unix_socket_in_a_private_directory() -> None:
    with Listener[Any, Any]() as listener:
        path = Path(listener.address)
        assert stat.S_ISSOCK(path.lstat().st_mode)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def test_a_path(tmp_path: Path) -> None:
    for address in (str(tmp_path / "a"), tmp_path / "b"):
        with Listener[Any, Any](address) as listener:
            assert listener.address == str(address)
            for connection in meet(listener):
                connection.close()
        assert list(tmp_path.iterdir()) == []


def test_an_address_in_use(tmp_path: Path) -> None:
    address = str(tmp_path / "socket")
    before = open_descriptors()
    with Listener[Any, Any](address):
        with pytest.raises(OSError, match="in use"):
            Listener(address)
        assert Path(address).exists()
    assert open_descriptors() == before


def test_an_abstract_name() -> None:
    name = f"\0mp-connection-test-{os.getpid()}"
    with Listener[Any, Any](name) as listener:
        assert listener.address == name.encode()
        for address in (name, name.encode()):
            client = Started(lambda a=address: Client(a))  # type: ignore[misc]
            listener.accept(timeout=20).close()
            client.result().close()


@pytest.mark.parametrize("size", [90, 150, 250])
def test_a_long_path(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / ("d" * size)
    directory.mkdir()
    before = open_descriptors()
    with Listener[Any, Any](str(directory / "socket"), authkey=KEY) as listener:
        assert listener.address == str(directory / "socket")
        assert (directory / "socket").is_socket()
        for connection in meet(listener, KEY):
            connection.close()
    assert list(directory.iterdir()) == []
    monkeypatch.setenv("TMPDIR", str(directory))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    with Listener[Any, Any]() as listener:
        assert len(listener.address) < 104  # a standard client can use it
        for connection in meet(listener):
            connection.close()
    assert list(directory.iterdir()) == []
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("address", "family"),
    [
        (None, "AF_PIPE"), (r"\\.\pipe\x", None), (None, "AF_BLUETOOTH"),
        (None, "SOCK_STREAM"), (5, None), ((1, 2, 3), None), (object(), None),
    ],
)  # fmt: skip
def test_unknown_families(address: Any, family: str | None) -> None:
    before = open_descriptors()
    with pytest.raises(ValueError, match=r"family"):
        Listener(address, family)
    with pytest.raises(ValueError, match=r"family"):
        Client(address, family)
    assert open_descriptors() == before


@pytest.mark.parametrize("key", ["key", 5, bytearray(b"key")])
def test_a_key_is_bytes(key: Any) -> None:
    with pytest.raises(TypeError, match="authkey is bytes"):
        Listener(authkey=key)
    with pytest.raises(TypeError, match="authkey is bytes"):
        Client("/nowhere", authkey=key)


def test_nobody_listens(tmp_path: Path) -> None:
    before = open_descriptors()
    with pytest.raises(FileNotFoundError):
        Client(str(tmp_path / "nothing"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    with pytest.raises(ConnectionRefusedError):
        Client(address, timeout=5)
    assert open_descriptors() == before


# ------------------------------------------------------------------ life of a file


def test_close_removes_the_file_only_in_the_owner(tmp_path: Path) -> None:
    address = tmp_path / "socket"
    listener = Listener[Any, Any](str(address))
    pid = os.fork()
    if not pid:
        listener.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert address.is_socket()
    listener.close()
    listener.close()
    assert not address.exists()


def test_close_leaves_the_file_of_another(tmp_path: Path) -> None:
    address = tmp_path / "socket"
    listener = Listener[Any, Any](str(address))
    address.unlink()
    with Listener[Any, Any](str(address)):
        listener.close()
        assert address.is_socket()


def test_a_listener_that_is_dropped_is_closed() -> None:
    before = open_descriptors()
    listener = Listener[Any, Any]()
    address = Path(listener.address)
    del listener
    assert not address.parent.exists()
    cycle: list[object] = [Listener[Any, Any]()]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert open_descriptors() == before


def test_the_file_is_removed_at_exit() -> None:
    code = (
        "import mp_connection; l = mp_connection.Listener(); print(l.address);"
        "import builtins; builtins.kept = l"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert not Path(done.stdout.strip()).parent.exists()


def test_a_closed_listener_refuses() -> None:
    listener = Listener[Any, Any]()
    listener.close()
    assert listener.fileno() == -1
    with pytest.raises(ChannelClosedError, match="closed"):
        listener.accept()
    assert "closed" in repr(listener)


def test_close_ends_an_accept_in_another_thread() -> None:
    for key in (None, KEY):
        listener = Listener[Any, Any](authkey=key)
        accepting = Started(listener.accept)
        time.sleep(0.05)
        listener.close()
        with pytest.raises(ChannelClosedError):
            accepting.result()


def test_accept_with_a_deadline() -> None:
    for key in (None, KEY):
        with Listener[Any, Any](authkey=key) as listener:
            begun = time.monotonic()
            for timeout in (0, -1, 0.05):
                with pytest.raises(TimeoutError):
                    listener.accept(timeout=timeout)
            assert time.monotonic() - begun < 5


def test_wait_takes_listeners() -> None:
    with Listener[Any, Any]() as listener:
        assert wait([listener], 0) == []
        client = Client(listener.address)
        assert wait([listener], 5) == [listener]
        listener.accept().close()
        client.close()


def test_a_client_with_a_deadline() -> None:
    for family in FAMILIES:
        with Listener[Any, Any](family=family, authkey=KEY) as listener:
            before = open_descriptors()
            with pytest.raises(TimeoutError):
                Client(listener.address, authkey=KEY, timeout=0.1)
            assert open_descriptors() == before


def test_a_full_queue_and_a_deadline() -> None:
    with Listener[Any, Any](backlog=0) as listener:
        first = Client(listener.address)
        with pytest.raises(TimeoutError):
            Client(listener.address, timeout=0.1)
        first.close()


# ---------------------------------------------------------------------- handshakes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("ours", "theirs"), [(KEY, b"wrong"), (KEY, None), (None, KEY), (b"", KEY)]
)
def test_keys_that_differ(
    family: str, ours: bytes | None, theirs: bytes | None
) -> None:
    before = open_descriptors()
    with Listener[Any, Any](family=family, authkey=ours) as listener:

        def listen() -> None:
            with listener.accept(timeout=20) as connection:
                connection.send("hello")
                connection.recv()

        def call() -> None:
            with Client(listener.address, authkey=theirs, timeout=20) as connection:
                connection.send("hello")
                connection.recv()

        listening, calling = Started(listen), Started(call)
        for started in (listening, calling):
            with pytest.raises((AuthenticationError, EOFError, OSError)) as caught:
                started.result()
            # Without a key one end cannot tell this from any other failure.
            if ours is not None and theirs is not None:
                assert isinstance(caught.value, AuthenticationError)
        if ours is not None:
            for connection in meet(listener, ours):
                connection.close()
    assert open_descriptors() == before


def test_a_client_without_a_key_learns_that_it_needs_one() -> None:
    with Listener[Any, Any](authkey=KEY) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        client = Client(listener.address)
        with client, pytest.raises(AuthenticationError, match="demands a key"):
            client.recv()
        with pytest.raises(AuthenticationError):
            accepting.result()


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(1000), b"\xff" * 1000,
    struct.pack(">i", 257) + bytes(257), struct.pack(">i", 5) + b"hello",
    struct.pack(">i", -1) + bytes([255] * 8), struct.pack(">i", 0),
    struct.pack(">i", 10_000_000),
]  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_instead_of_an_answer(family: str, garbage: bytes) -> None:
    before = open_descriptors()
    with Listener[Any, Any](family=family, authkey=KEY) as listener:
        with connect_raw(listener) as stranger:
            stranger.sendall(garbage)
            with pytest.raises(AuthenticationError):
                listener.accept(timeout=20)
        for connection in meet(listener, KEY):
            connection.close()
    assert open_descriptors() == before


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_instead_of_a_challenge(garbage: bytes) -> None:
    before = open_descriptors()
    with socket.create_server(("127.0.0.1", 0)) as server:
        calling = Started(lambda: Client(server.getsockname(), authkey=KEY, timeout=20))
        stranger, _ = server.accept()
        stranger.sendall(garbage)
        with pytest.raises(AuthenticationError):
            calling.result()
        stranger.close()
    assert open_descriptors() == before


@pytest.mark.parametrize("family", FAMILIES)
def test_a_client_that_goes_away(family: str) -> None:
    with Listener[Any, Any](family=family, authkey=KEY) as listener:
        connect_raw(listener).close()
        with pytest.raises(AuthenticationError, match="gave up"):
            listener.accept(timeout=20)
        for connection in meet(listener, KEY):
            connection.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_silent_client_keeps_nobody_waiting(family: str) -> None:
    with Listener[Any, Any](family=family, authkey=KEY, backlog=20) as listener:
        silent = [connect_raw(listener) for _ in range(10)]
        begun = time.monotonic()
        for connection in meet(listener, KEY):
            connection.close()
        assert time.monotonic() - begun < 5
        for stranger in silent:
            stranger.close()


def test_a_silent_client_does_not_block_accept_for_ever() -> None:
    before = open_descriptors()
    listener = Listener[Any, Any](authkey=KEY, handshake_timeout=0.1)
    with listener, connect_raw(listener) as stranger:
        with pytest.raises(AuthenticationError, match="in time"):
            listener.accept()
        assert stranger.recv(4 + 256)[4:15] == b"#CHALLENGE#"
        assert stranger.recv(100) == b""
    assert open_descriptors() == before


@pytest.mark.parametrize("family", FAMILIES)
def test_many_half_open_connections(family: str) -> None:
    before = open_descriptors()
    # TCP drops what does not fit the queue, and tries again after a second.
    with Listener[Any, Any](family=family, authkey=KEY, backlog=512) as listener:
        strangers: list[socket.socket] = []
        refused = 0

        def accept() -> Connection[Any, Any]:
            nonlocal refused
            while True:
                try:
                    return listener.accept(timeout=20)
                except AuthenticationError:
                    refused += 1

        accepting = Started(accept)
        for _ in range(300):
            strangers.append(connect_raw(listener))
        client = Client(listener.address, authkey=KEY, timeout=20)
        with client, accepting.result() as connection:
            connection.send("served")
            assert client.recv() == "served"
        assert refused >= 200
        for stranger in strangers:
            stranger.close()
    assert open_descriptors() == before


STRANGERS = """
import socket, sys
family, count = getattr(socket, sys.argv[1]), int(sys.argv[2])
address = sys.argv[3] if sys.argv[1] == "AF_UNIX" else ("127.0.0.1", int(sys.argv[3]))
kept = []
for _ in range(count):
    kept.append(socket.socket(family))
    kept[-1].connect(address)
print(len(kept), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_ten_thousand_half_open_connections(family: str) -> None:
    # In batches, as a process may usually have 1024 descriptors.
    batches, size = 20, 500

    def memory() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = open_descriptors()
    with Listener[Any, Any](family=family, authkey=KEY, backlog=4096) as listener:
        place = listener.address if family == "AF_UNIX" else str(listener.address[1])
        refused = 0

        def accept() -> Connection[Any, Any]:
            nonlocal refused
            while True:
                try:
                    return listener.accept(timeout=40)
                except AuthenticationError:
                    refused += 1

        pages = 0
        strangers: list[subprocess.Popen[str]] = []
        accepting = Started(accept)
        try:
            for batch in range(batches):
                command = [sys.executable, "-S", "-c", STRANGERS, family, str(size)]
                stranger = subprocess.Popen(
                    [*command, place],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                strangers.append(stranger)
                assert stranger.stdout is not None
                assert stranger.stdout.readline().strip() == str(size)
                if batch == 1:
                    pages = memory()
            client = Client(listener.address, authkey=KEY, timeout=20)
            with client, accepting.result() as connection:
                connection.send("served")
                assert client.recv() == "served"
            # They had come before, and there is room for 64.
            assert refused >= batches * size - 64 - 1
            assert (memory() - pages) * os.sysconf("SC_PAGESIZE") < 8_000_000
            assert open_descriptors() <= before + 1 + 64 + 2 * batches
        finally:
            for stranger in strangers:
                stranger.communicate(timeout=20)
    assert open_descriptors() == before


def test_several_clients_at_once() -> None:
    with Listener[Any, Any](authkey=KEY, backlog=16) as listener:
        clients = [
            Started(lambda: Client(listener.address, authkey=KEY, timeout=20))
            for _ in range(8)
        ]
        accepting = [Started(lambda: listener.accept(timeout=20)) for _ in clients]
        accepted = [each.result() for each in accepting]
        called = [each.result() for each in clients]
        for index, connection in enumerate(accepted):
            connection.send(index)
        assert sorted(connection.recv() for connection in called) == list(range(8))
        for connection in [*accepted, *called]:
            connection.close()


def test_forked_processes_accept_at_the_same_listener() -> None:
    with Listener[Any, Any](authkey=KEY, backlog=16) as listener:
        pids = []
        for _ in range(2):
            pid = os.fork()
            if not pid:
                try:
                    with listener.accept(timeout=20) as connection:
                        connection.send(os.getpid())
                finally:
                    os._exit(0)
            pids.append(pid)
        answers = []
        for _ in pids:
            with Client(listener.address, authkey=KEY, timeout=20) as client:
                answers.append(client.recv(timeout=20))
        for pid in pids:
            os.waitpid(pid, 0)
        assert sorted(answers) == sorted(pids)


def test_a_forked_child_does_not_keep_a_guest_open() -> None:
    listener = Listener[Any, Any](authkey=KEY)
    with listener, connect_raw(listener) as stranger:
        with pytest.raises(TimeoutError):
            listener.accept(timeout=0.05)
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        listener.close()
        while stranger.recv(1000):  # end-of-file, although the child lives
            pass
        os.close(write)
        os.close(read)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("digest", ["md5", "sha256", "sha384", "sha3_256"])
def test_challenges_over_any_connection(digest: str) -> None:
    one, other = Pipe()
    with one, other:
        answering = Started(lambda: answer_challenge(other, KEY))
        deliver_challenge(one, KEY, digest)
        answering.result()
        answering = Started(lambda: answer_challenge(other, b"wrong"))
        with pytest.raises(AuthenticationError, match="another key"):
            deliver_challenge(one, KEY, digest_name=digest)
        with pytest.raises(AuthenticationError, match="refused"):
            answering.result()


def test_challenges_that_cannot_be() -> None:
    one, other = Pipe()
    with one, other:
        with pytest.raises(TypeError):
            deliver_challenge(one, "key")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            answer_challenge(one, "key")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="digest"):
            deliver_challenge(one, KEY, "crc32")
        other.send_bytes(bytes(300))
        with pytest.raises(AuthenticationError):
            answer_challenge(one, KEY)


def test_the_far_end_of_a_challenge_goes_away() -> None:
    one, other = Pipe()
    with one:
        other.close()
        with pytest.raises(AuthenticationError, match="gave up"):
            answer_challenge(one, KEY)
        with pytest.raises(AuthenticationError, match="gave up"):
            deliver_challenge(one, KEY)


# -------------------------------------------------------------------------- import


def test_the_listener_half_is_loaded_when_it_is_asked_for() -> None:
    code = (
        "import sys, mp_connection\n"
        "unwanted = {'socket', 'hmac', 'hashlib', 'tempfile', 'ssl', 'typing', 're',"
        " 'weakref', 'threading', 'mp_connection._listener'}\n"
        "assert not unwanted & sys.modules.keys(), unwanted & sys.modules.keys()\n"
        "mp_connection.Listener\n"
        "left = unwanted & sys.modules.keys()\n"
        "assert not left & {'socket', 'tempfile', 'ssl', 'typing', 'threading'}, left\n"
    )
    subprocess.run([sys.executable, "-S", "-c", PATHS + code], check=True)


PATHS = (
    f"import sys; sys.path[:0] = [{str(Path(mp_connection.__file__).parents[1])!r}]\n"
)


def test_the_names_are_public() -> None:
    from mp_connection import connection, listener

    assert connection.Listener is listener.Listener is mp_connection.Listener
    for name in ("Client", "Listener", "answer_challenge", "deliver_challenge"):
        assert getattr(mp_connection, name).__module__ == "mp_connection"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mp_connection.nothing  # type: ignore[attr-defined]  # noqa: B018
