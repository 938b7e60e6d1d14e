"""Listeners and clients over TLS: certificates, keys, waiting, endings, strangers."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import asyncio
import contextlib
import functools
import os
import pickle
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from mp_connection_forks import forked, open_descriptors

import mp_connection
from mp_connection import (
    AuthenticationError,
    ChannelClosedError,
    Client,
    Connection,
    HandleError,
    Listener,
    NotAllowedError,
    Pipe,
    TimeoutError,
    wait,
)
from mp_testing import until

KEY = b"the key"
LARGE = 5_000_000
Ends = tuple["Connection[Any, Any]", "Connection[Any, Any]"]


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


class Contexts:
    """An authority, a server's context and a client's."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = self.authority.issue_cert("127.0.0.1", "::1", "localhost")
        certificate.configure_cert(self.server)
        self.client = self.new_client()

    def new_client(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def tls() -> Contexts:
    return Contexts()


def meet(
    tls: Contexts, key: bytes | None = None, client: ssl.SSLContext | None = None
) -> Ends:
    with Listener[Any, Any](
        ("127.0.0.1", 0), authkey=key, ssl_context=tls.server
    ) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        theirs = Client(
            listener.address,
            authkey=key,
            timeout=20,
            ssl_context=client or tls.client,
        )
        return accepting.result(), theirs


@pytest.fixture
def ends(tls: Contexts) -> Iterator[Ends]:
    one, other = meet(tls)
    with one, other:
        yield one, other


# ------------------------------------------------------------------------ messages


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_and_a_listener(
    tls: Contexts, key: bytes | None, family: str, version: str
) -> None:
    if family == "AF_INET6" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this host has no IPv6")
    client = tls.new_client()
    client.maximum_version = ssl.TLSVersion[version]
    address = ("127.0.0.1", 0) if family == "AF_INET" else ("::1", 0)
    before = open_descriptors()
    with Listener[Any, Any](
        address, family, authkey=key, ssl_context=tls.server
    ) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        theirs = Client(listener.address, family, key, timeout=20, ssl_context=client)
        with accepting.result() as ours, theirs:
            for one, other in ((ours, theirs), (theirs, ours)):
                one.send(["x", 1])
                assert other.recv() == ["x", 1]
                one.send_bytes(b"raw")
                assert other.recv_bytes(3) == b"raw"
                one.send_bytes(b"")
                assert other.recv_bytes() == b""
            assert os.get_blocking(ours.fileno())
            assert os.get_blocking(theirs.fileno())
    assert open_descriptors() == before


def test_nothing_travels_in_the_clear(tls: Contexts) -> None:
    secret = b"this is the secret that nobody reads"
    with (
        socket.create_server(("127.0.0.1", 0)) as relay,
        Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener,
    ):
        seen = bytearray()

        def copy(source: socket.socket, target: socket.socket) -> None:
            # Who closes while the other's close_notify is unread resets the connection.
            with contextlib.suppress(ConnectionError):
                while data := source.recv(65536):
                    seen.extend(data)
                    target.sendall(data)
            with contextlib.suppress(OSError):  # it is gone already
                target.shutdown(socket.SHUT_WR)

        def forward() -> None:
            inner, _ = relay.accept()
            outer = socket.create_connection(listener.address)
            with inner, outer:
                back = Started(lambda: copy(outer, inner))
                copy(inner, outer)
                back.result()

        forwarding = Started(forward)
        accepting = Started(lambda: listener.accept(timeout=20))
        client = Client(relay.getsockname(), ssl_context=tls.client, timeout=20)
        with accepting.result() as ours:
            client.send_bytes(secret)
            assert ours.recv_bytes() == secret
            client.close()
        forwarding.result()
    assert len(seen) > 500
    assert secret not in seen


def test_large_messages_in_both_directions(ends: Ends) -> None:
    data = os.urandom(1000) * (LARGE // 1000)
    for one, other in (ends, ends[::-1]):
        sending = Started(lambda one=one: one.send([data, bytearray(data)]))  # type: ignore[misc]
        assert other.recv() == [data, data]
        sending.result()
        sending = Started(lambda one=one: one.send_bytes(data))  # type: ignore[misc]
        room = bytearray(LARGE)
        assert other.recv_bytes_into(room) == LARGE
        assert room == data
        sending.result()


def test_threads_share_an_end(ends: Ends) -> None:
    one, other = ends
    count = 100

    def send(n: int) -> None:
        for k in range(count):
            one.send((n, k, b"x" * k * 300))

    senders = [Started(functools.partial(send, n)) for n in range(3)]
    receivers = [
        Started(lambda: [other.recv()[:2] for _ in range(count)]) for _ in range(3)
    ]
    got = [item for receiver in receivers for item in receiver.result()]
    for sender in senders:
        sender.result()
    assert sorted(got) == [(n, k) for n in range(3) for k in range(count)]


# ------------------------------------------------------------------------- waiting


def test_poll_and_wait_know_what_is_decrypted_already(ends: Ends) -> None:
    one, other = ends
    for _ in range(2):
        one.send_bytes(b"")  # behind each other, and perhaps in one read
        one.send("second")
        assert other.poll(10)
        until(lambda: wait([other], 10) == [other])
        assert other.recv_bytes() == b""
        assert wait([other], 10) == [other]
        assert other.poll(10)
        assert other.recv() == "second"
        assert not other.poll()
        assert wait([other], 0) == []


def test_messages_in_one_record(tls: Contexts) -> None:
    with Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with (
            socket.create_connection(listener.address) as sock,
            tls.client.wrap_socket(sock, server_hostname="127.0.0.1") as raw,
            accepting.result() as ours,
        ):
            raw.sendall(b"".join(struct.pack(">i", 1) + b"%d" % n for n in range(3)))
            pipe, unused = Pipe()
            with pipe, unused:
                for number in range(3):
                    # Nothing is left in the kernel after the first.
                    assert wait([pipe, ours], 10) == [ours]
                    assert ours.poll()
                    assert ours.recv_bytes() == b"%d" % number
                assert wait([pipe, ours], 0) == []
            assert not ours.poll()
            assert not ours.poll(0.01)


def test_what_is_no_message_does_not_end_a_wait() -> None:
    # A TLS 1.3 server sends tickets behind its handshake: bytes, but no message.
    server = Contexts()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> ssl.SSLSocket:
            sock, _ = listening.accept()
            return server.server.wrap_socket(sock, server_side=True)

        accepting = Started(accept)
        address = listening.getsockname()
        with (
            Client(address, ssl_context=server.client, timeout=20) as client,
            accepting.result() as raw,
        ):
            assert select.select([client], (), (), 10)[0]
            assert wait([client], 0.05) == []
            assert not client.poll(0.05)
            with pytest.raises(TimeoutError):
                client.recv(timeout=0.05)
            raw.sendall(struct.pack(">i", 1) + b"x")
            assert client.poll(10)
            assert client.recv_bytes() == b"x"


def test_a_list_of_what_may_be_unpickled(tls: Contexts) -> None:
    where = ("127.0.0.1", 0)
    with Listener[Any, Any](where, ssl_context=tls.server, allow=()) as listener:
        calling = Started(
            lambda: Client(listener.address, ssl_context=tls.client, allow=[Started])
        )
        server, client = listener.accept(20), calling.result()
    with server, client:
        for end in (server, client):
            end.send([b"x" * 100_000, "y"])
        for end in (server, client):
            assert end.poll(20)
            assert end.recv() == [b"x" * 100_000, "y"]
        client.send(Started)
        with pytest.raises(NotAllowedError, match="Started"):
            server.recv()
        server.send(Started)
        assert client.recv() is Started
        with pytest.raises(HandleError, match="TLS"):
            client.send(server)


def test_what_is_sent_last_arrives_although_the_sender_closes(tls: Contexts) -> None:
    data = os.urandom(1000) * (LARGE // 1000)
    for _ in range(5):
        server, client = meet(tls)
        # No ticket is left unread, which would make the close a reset.
        assert not select.select([client.fileno()], (), (), 0.05)[0]

        def send(client: Connection[Any, Any] = client) -> None:
            client.send_bytes(data)
            client.close()

        sending = Started(send)
        with server:
            assert server.recv_bytes() == data
            with pytest.raises(EOFError):
                server.recv()
        sending.result()


def test_half_a_message_is_kept_at_a_deadline(tls: Contexts) -> None:
    with Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with (
            socket.create_connection(listener.address) as sock,
            tls.client.wrap_socket(sock, server_hostname="127.0.0.1") as raw,
            accepting.result() as ours,
        ):
            for cut in (2, 4, 50_000):
                frame = struct.pack(">i", 100_000) + b"x" * 100_000
                raw.sendall(frame[:cut])
                with pytest.raises(TimeoutError):
                    ours.recv(timeout=0.05)
                raw.sendall(frame[cut:])
                assert ours.recv_bytes() == b"x" * 100_000


# ------------------------------------------------------------------------- endings


def test_close_says_goodbye(tls: Contexts) -> None:
    with Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with socket.create_connection(listener.address) as sock:
            raw = tls.client.wrap_socket(
                sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False
            )
            with raw:
                accepting.result().close()
                assert raw.recv(100) == b""  # and no SSLEOFError


def test_the_end_is_an_end_of_file(ends: Ends) -> None:
    one, other = ends
    one.send("last")
    one.close()
    assert other.poll(10)
    assert other.recv() == "last"
    assert other.poll(10)
    assert wait([other], 10) == [other]
    for receive in (other.recv, other.recv_bytes):
        with pytest.raises(EOFError):
            receive()


@pytest.mark.parametrize("size", [0, 3, 500])
def test_an_end_without_goodbye(tls: Contexts, size: int) -> None:
    with Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with socket.create_connection(listener.address) as sock:
            raw = tls.client.wrap_socket(sock, server_hostname="127.0.0.1")
            with raw, accepting.result() as ours:
                raw.sendall((struct.pack(">i", 1000) + b"x" * 1000)[:size])
                raw.shutdown(socket.SHUT_WR)  # of TCP, not of TLS
                with pytest.raises(EOFError, match="middle" if size else "closed"):
                    ours.recv_bytes()


def test_close_does_not_wait_for_a_far_end_that_does_not_read(ends: Ends) -> None:
    one, other = ends
    sending = Started(lambda: one.send_bytes(bytes(50_000_000)))
    until(lambda: other.poll(10))
    time.sleep(0.05)
    one.close()
    with pytest.raises(ChannelClosedError):
        sending.result()


def test_a_wait_ends_when_another_thread_closes(ends: Ends) -> None:
    one, _ = ends
    receiving = Started(one.recv)
    polling = Started(lambda: one.poll(None))
    time.sleep(0.05)
    one.close()
    for started in (receiving, polling):
        with pytest.raises(ChannelClosedError):
            started.result()
    with pytest.raises(ChannelClosedError):
        one.send(1)
    with pytest.raises(ChannelClosedError):
        one.poll()


def test_a_forked_child_may_close_its_copy(ends: Ends) -> None:
    one, other = ends
    with forked(one.close):
        pass
    one.send("still here")
    assert other.recv() == "still here"


def test_what_is_not_tls_is_an_error(ends: Ends) -> None:
    one, other = ends
    with socket.socket(fileno=os.dup(one.fileno())) as raw:
        raw.sendall(b"this is no record of TLS")
    with pytest.raises(ssl.SSLError):
        other.recv()
    with pytest.raises(ssl.SSLError):
        other.recv()


# --------------------------------------------------------------- who may not come in


def test_a_certificate_of_another_authority(tls: Contexts) -> None:
    before = open_descriptors()
    stranger = Contexts()
    with Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with pytest.raises(AuthenticationError, match="certificate") as caught:
            Client(listener.address, ssl_context=stranger.client, timeout=20)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        with pytest.raises(AuthenticationError, match="TLS handshake failed"):
            accepting.result()
    assert open_descriptors() == before


def test_a_certificate_for_another_host(tls: Contexts) -> None:
    with Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with pytest.raises(AuthenticationError, match="elsewhere"):
            Client(
                listener.address,
                ssl_context=tls.client,
                server_hostname="elsewhere",
                timeout=20,
            )
        with pytest.raises(AuthenticationError):
            accepting.result()
        accepting = Started(lambda: listener.accept(timeout=20))
        with (
            Client(
                listener.address,
                ssl_context=tls.client,
                server_hostname="localhost",
                timeout=20,
            ),
            accepting.result(),
        ):
            pass


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_certificates_of_clients(key: bytes | None, version: str) -> None:
    tls = Contexts()
    tls.server.verify_mode = ssl.CERT_REQUIRED
    tls.server.maximum_version = ssl.TLSVersion[version]
    tls.authority.configure_trust(tls.server)
    known = tls.new_client()
    tls.authority.issue_cert("client@example.org").configure_cert(known)
    for end in meet(tls, key, known):
        end.close()
    with Listener[Any, Any](
        ("127.0.0.1", 0), authkey=key, ssl_context=tls.server
    ) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        # With TLS 1.3 a client is through before the listener has seen its certificate.
        with (
            pytest.raises((AuthenticationError, ssl.SSLError)) as caught,
            Client(
                listener.address, authkey=key, ssl_context=tls.client, timeout=20
            ) as client,
        ):
            client.recv(timeout=20)
        assert "alert" in str(caught.value)
        if key is not None:
            assert isinstance(caught.value, AuthenticationError)
        with pytest.raises(AuthenticationError, match="certificate"):
            accepting.result()


def test_keys_that_differ(tls: Contexts) -> None:
    before = open_descriptors()
    with Listener[Any, Any](
        ("127.0.0.1", 0), authkey=KEY, ssl_context=tls.server
    ) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with pytest.raises(AuthenticationError):
            Client(
                listener.address,
                authkey=b"wrong",
                ssl_context=tls.client,
                timeout=20,
            )
        with pytest.raises(AuthenticationError, match="another key"):
            accepting.result()
    assert open_descriptors() == before


def test_tls_at_one_end_only(tls: Contexts) -> None:
    before = open_descriptors()
    with Listener[Any, Any](
        ("127.0.0.1", 0), authkey=KEY, ssl_context=tls.server, handshake_timeout=0.2
    ) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with pytest.raises(AuthenticationError):
            Client(listener.address, authkey=KEY, timeout=20)
        with pytest.raises(AuthenticationError):
            accepting.result()
    with Listener[Any, Any](("127.0.0.1", 0), authkey=KEY) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with pytest.raises(AuthenticationError):
            Client(listener.address, authkey=KEY, ssl_context=tls.client, timeout=20)
        with pytest.raises(AuthenticationError):
            accepting.result()
    assert open_descriptors() == before


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x01\x00"])
def test_silent_clients_keep_nobody_waiting(
    tls: Contexts, key: bytes | None, said: bytes
) -> None:
    with Listener[Any, Any](
        ("127.0.0.1", 0), backlog=16, authkey=key, ssl_context=tls.server
    ) as listener:
        silent = [socket.create_connection(listener.address) for _ in range(8)]
        for sock in silent:
            sock.sendall(said)
        accepting = Started(lambda: listener.accept(timeout=20))
        theirs = Client(
            listener.address, authkey=key, ssl_context=tls.client, timeout=20
        )
        with accepting.result() as ours, theirs:
            ours.send("served")
            assert theirs.recv() == "served"
        for sock in silent:
            sock.close()


def test_deadlines(tls: Contexts) -> None:
    before = open_descriptors()
    with Listener[Any, Any](
        ("127.0.0.1", 0), ssl_context=tls.server, handshake_timeout=0.8
    ) as listener:
        with pytest.raises(TimeoutError):  # nobody accepts
            Client(listener.address, ssl_context=tls.client, timeout=0.1)
        with pytest.raises(AuthenticationError):
            listener.accept(timeout=20)
        silent = socket.create_connection(listener.address)
        with pytest.raises(TimeoutError):
            listener.accept(timeout=0.02)
        with pytest.raises(AuthenticationError, match="in time"):
            listener.accept(timeout=20)
        silent.close()
    assert open_descriptors() == before


def test_arguments(tls: Contexts) -> None:
    before = open_descriptors()
    with pytest.raises(ValueError, match="AF_UNIX"):
        Listener(ssl_context=tls.server)
    with pytest.raises(ValueError, match="AF_UNIX"):
        Client("/nowhere", ssl_context=tls.client)
    with pytest.raises(TypeError, match="ssl_context"):
        Listener(("127.0.0.1", 0), ssl_context="context")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ssl_context"):
        Client(("127.0.0.1", 1), ssl_context=True)  # type: ignore[arg-type]
    with pytest.raises(ssl.SSLError):
        Listener(("127.0.0.1", 0), ssl_context=tls.client)
    assert open_descriptors() == before


# --------------------------------------------------------------------- other matters


def test_handles_do_not_travel(ends: Ends) -> None:
    one, other = ends
    pipe, unused = Pipe()
    with pipe, unused:
        with pytest.raises(HandleError, match="TLS"):
            one.send(pipe)
        with pytest.raises(HandleError, match="TLS connection"):
            pipe.send(one)
    with pytest.raises(HandleError, match="TLS connection"):
        pickle.dumps(one)
    one.send("fine")
    assert other.recv() == "fine"


def test_a_plain_tls_client_that_speaks_the_frames(tls: Contexts) -> None:
    with Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with (
            socket.create_connection(listener.address) as sock,
            tls.client.wrap_socket(sock, server_hostname="127.0.0.1") as raw,
            accepting.result() as ours,
        ):
            data = pickle.dumps({"a": 1})
            raw.sendall(struct.pack(">i", len(data)) + data)
            assert ours.recv() == {"a": 1}
            ours.send("answer")
            (size,) = struct.unpack(">i", raw.recv(4))
            assert pickle.loads(raw.recv(size)) == "answer"


def test_tasks(tls: Contexts) -> None:
    data = os.urandom(1000) * (LARGE // 1000)

    async def work() -> None:
        with Listener[Any, Any](
            ("127.0.0.1", 0), backlog=16, authkey=KEY, ssl_context=tls.server
        ) as listener:
            silent = socket.create_connection(listener.address)
            accepting = asyncio.create_task(listener.aaccept())
            theirs: Connection[Any, Any] = await asyncio.to_thread(
                Client,
                listener.address,
                authkey=KEY,
                ssl_context=tls.client,
                timeout=20,
            )
            ours = await accepting
            silent.close()
        receiving = asyncio.create_task(theirs.arecv())
        await ours.asend("small")
        assert await receiving == "small"
        # Both at once: neither may wait for the other.
        sending = [asyncio.create_task(end.asend(data)) for end in (ours, theirs)]
        assert await ours.arecv() == data
        assert await theirs.arecv() == data
        await asyncio.gather(*sending)
        # A cancelled task tears nothing.
        cancelled = asyncio.create_task(ours.asend_bytes(data * 4))
        await asyncio.sleep(0.02)
        assert not cancelled.done()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        following = asyncio.create_task(ours.asend_bytes(b"next"))
        assert await theirs.arecv_bytes() == data * 4
        assert await theirs.arecv_bytes() == b"next"
        await following
        waiting = asyncio.create_task(theirs.arecv())
        await asyncio.sleep(0)
        await asyncio.to_thread(theirs.close)
        with pytest.raises(ChannelClosedError):
            await waiting
        with pytest.raises(EOFError):
            await ours.arecv()
        ours.close()

    async def limited() -> None:
        async with asyncio.timeout(40):
            await work()

    before = open_descriptors()
    asyncio.run(limited(), debug=True)
    assert open_descriptors() == before


def test_tasks_are_woken_for_what_was_read_ahead(tls: Contexts) -> None:
    async def work(raw: ssl.SSLSocket, ours: Connection[Any, Any]) -> None:
        tasks = [asyncio.create_task(ours.arecv_bytes()) for _ in range(4)]
        await asyncio.sleep(0.01)
        frames = [struct.pack(">i", 1) + b"%d" % n for n in range(3)]
        raw.sendall(b"".join(frames))
        done: set[asyncio.Task[bytes]] = set()
        left = set(tasks)
        while len(done) < 3:
            done, left = await asyncio.wait(
                tasks, return_when=asyncio.FIRST_COMPLETED, timeout=0.01
            )
        assert sorted(task.result() for task in done) == [b"0", b"1", b"2"]
        raw.sendall(struct.pack(">i", 1) + b"3")
        while not ours.poll():  # which takes it from the kernel, but not for itself
            pass
        assert await left.pop() == b"3"

    async def limited(raw: ssl.SSLSocket, ours: Connection[Any, Any]) -> None:
        async with asyncio.timeout(20):
            await work(raw, ours)

    with Listener[Any, Any](("127.0.0.1", 0), ssl_context=tls.server) as listener:
        accepting = Started(lambda: listener.accept(timeout=20))
        with (
            socket.create_connection(listener.address) as sock,
            tls.client.wrap_socket(sock, server_hostname="127.0.0.1") as raw,
            accepting.result() as ours,
        ):
            asyncio.run(limited(raw, ours))


def test_ssl_is_imported_when_a_context_is_given() -> None:
    path = str(Path(mp_connection.__file__).parents[1])
    code = (
        f"import sys; sys.path[:0] = [{path!r}]\n"
        "from mp_connection import Client, Listener\n"
        "Listener().close()\n"
        "assert 'ssl' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-S", "-c", code], check=True, timeout=30)
