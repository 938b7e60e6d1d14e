"""What may be unpickled from a peer: the list, and attempts to get around it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import asyncio
import copyreg
import enum
import math
import os
import pickle
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from mp_connection_forks import forked, open_descriptors

import mp_connection
from mp_connection import (
    AuthenticationError,
    Client,
    Connection,
    Listener,
    NotAllowedError,
    Pipe,
    TimeoutError,
    errors,
)
from mp_connection.handles import Handle

Ends = tuple["Connection[Any, Any]", "Connection[Any, Any]"]
MakeEnds = Callable[..., Ends]


class Point:
    def __init__(self, x: object = 0) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]

    class Inner:
        pass


class Colour(enum.Enum):
    RED = 1


class Heavy:
    """Has a method for its state."""

    def __setstate__(self, state: object) -> None:
        self.state = state


class Constant:
    def __reduce__(self) -> str:
        return "CONSTANT"


class Socketlike:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[object, ...]:
        return Socketlike, (Handle(self.fd),)


CONSTANT = Constant()


def double(number: int) -> int:
    return 2 * number


def pair(kind: str) -> tuple[int, int]:
    if kind == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as server:
            one = socket.create_connection(server.getsockname())
            other, _ = server.accept()
    elif kind == "unix":
        one, other = socket.socketpair()
    else:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return one.detach(), other.detach()


@pytest.fixture(params=["packets", "unix", "tcp"])
def make(request: pytest.FixtureRequest) -> Iterator[MakeEnds]:
    """Makes a free end, and one with a list."""
    made: list[Connection[Any, Any]] = []

    def make(allow: Any = ()) -> Ends:
        one, other = pair(request.param)
        made.append(Connection(one))
        made.append(Connection(other, allow=allow))
        return made[-2], made[-1]

    yield make
    for connection in made:
        connection.close()


def refused(end: Connection[Any, Any]) -> str:
    """What the next message names, and may not."""
    with pytest.raises(NotAllowedError) as caught:
        end.recv()
    return f"{caught.value.module}:{caught.value.name}"


# ------------------------------------------------------------------------ what passes

PLAIN = [
    None, True, 1, 1 << 100, 1.5, 2j, "x", b"x", bytearray(b"x"), (), (1, (2,)), [1],
    {"a": [1]}, {1, 2}, frozenset((1,)), range(3), slice(1, None), ..., NotImplemented,
]  # fmt: skip


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_data_needs_no_listing(make: MakeEnds, protocol: int) -> None:
    a, b = make()
    for value in PLAIN:
        a.send_bytes(pickle.dumps(value, protocol))
        assert b.recv() == value
    buffers = [pickle.PickleBuffer(bytearray(b"y" * n)) for n in (5, 300_000)]

    def send() -> None:
        a.send([*PLAIN, b"large" * 100_000])
        a.send(buffers)

    with forked(send):
        assert b.recv()[:-1] == PLAIN
        assert [bytes(part) for part in b.recv()] == [b"y" * 5, b"y" * 300_000]


def test_what_is_listed_passes(make: MakeEnds) -> None:
    a, b = make([Point, Point.Inner, Colour, double, math.sqrt, Heavy])
    a.send({"p": Point([1]), "c": Colour.RED, "f": (double, math.sqrt)})
    got = b.recv()
    assert got == {"p": Point([1]), "c": Colour.RED, "f": (double, math.sqrt)}
    a.send([Point, Point.Inner()])
    kind, inner = b.recv()
    assert (kind, type(inner)) == (Point, Point.Inner)


def test_what_is_not_listed_is_an_error_and_the_next_message_arrives(
    make: MakeEnds,
) -> None:
    a, b = make([Point])
    for thing, name in (
        (Point.Inner(), "Point.Inner"),
        (double, "double"),
        ([Point(Point(Heavy()))], "Heavy"),
    ):
        a.send(thing)
        a.send("next")
        assert refused(b) == f"{__name__}:{name}"
        assert b.recv() == "next"


def test_a_list_holds_in_event_loops_too(make: MakeEnds) -> None:
    a, b = make([Point])

    async def receive() -> None:
        for large in (b"", b"x" * 100_000):
            await a.asend([Point(large)])
            assert await b.arecv() == [Point(large)]
        await a.asend(double)
        await a.asend("next")
        with pytest.raises(NotAllowedError, match="double"):
            await b.arecv()
        assert await b.arecv() == "next"
        await a.asend(Heavy)
        assert b"Heavy" in await b.arecv_bytes()

    asyncio.run(receive())


def test_a_list_concerns_one_end_and_what_it_receives(make: MakeEnds) -> None:
    a, b = make()
    b.send(Point(1))
    assert a.recv() == Point(1)
    a.send_bytes(b"raw")
    assert b.recv_bytes() == b"raw"


def test_the_error_says_what_and_can_be_pickled(make: MakeEnds) -> None:
    a, b = make()
    a.send(Point())
    with pytest.raises(pickle.UnpicklingError, match=r"Point, which is not") as caught:
        b.recv()
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, NotAllowedError)
    assert (again.module, again.name, str(again)) == (
        __name__, "Point", str(caught.value)
    )  # fmt: skip


def test_a_predicate_decides_by_module_and_name(make: MakeEnds) -> None:
    asked = []

    def predicate(module: str, name: str) -> bool:
        asked.append((module, name))
        return module == __name__

    a, b = make(predicate)
    a.send([Point(1), Point.Inner, CONSTANT, {1}])
    assert b.recv() == [Point(1), Point.Inner, CONSTANT, {1}]
    assert asked == [
        (__name__, name) for name in ("Point", "Point.Inner", "CONSTANT")
    ]  # fmt: skip
    a.send([os.getcwd])
    assert refused(b) == "posix:getcwd"


@pytest.mark.parametrize(
    "name",
    [
        "os", "os.system", "os.environ", "sys.modules", "signal.raise_signal", "Path",
        "Point.__init__", "Point.__init__.__globals__", "Point.__class__",
        "pickle.loads", "Point.__reduce__", "double.__globals__",
    ],
)  # fmt: skip
def test_a_predicate_on_modules_does_not_let_imported_things_through(
    make: MakeEnds, name: str
) -> None:
    a, b = make(lambda module, _: module == __name__)
    a.send_bytes(stack_global(__name__, name) + b".")
    if name == "Point.__init__":  # it is of this module
        assert b.recv() is Point.__init__
    else:
        assert refused(b) == f"{__name__}:{name}"


def test_only_true_is_a_yes(make: MakeEnds) -> None:
    async def predicate(module: str, name: str) -> bool:
        return False

    a, b = make(predicate)
    a.send(Point())
    with pytest.warns(RuntimeWarning, match="never awaited"):
        refused(b)
    a, b = make(lambda *_: 1)
    a.send(Point())
    refused(b)


def test_what_a_predicate_raises_is_raised(make: MakeEnds) -> None:
    a, b = make(lambda module, name: {}[name])
    a.send(Point())
    with pytest.raises(KeyError):
        b.recv()
    a.send(1)
    assert b.recv() == 1


@pytest.mark.parametrize("allow", [Point, 5, [Point()], ["text"], "text", [None], [os]])
def test_what_is_no_list(allow: Any) -> None:
    one, other = pair("unix")
    with pytest.raises(TypeError):
        Connection(one, allow=allow)
    os.close(one)  # it is still ours
    os.close(other)
    with pytest.raises(TypeError):
        Listener[Any, Any](allow=allow)
    with pytest.raises(TypeError):
        Client("/nowhere", allow=allow)


# -------------------------------------------------------------------------- attacks


def text(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def stack_global(module: str, name: str) -> bytes:
    return b"\x80\x04" + text(module) + text(name) + b"\x93"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def attacks() -> dict[str, Callable[[str], bytes]]:
    """Pickles that run a command."""
    here = __name__

    def system(command: str) -> bytes:
        return call(b"\x80\x04cos\nsystem\n", text(command))

    def python(command: str) -> str:
        return f"__import__('os').system({command!r})"

    def inst(command: str) -> bytes:
        return b"(" + text(command) + b"ios\nsystem\n."

    def obj(command: str) -> bytes:
        return b"(cos\nsystem\n" + text(command) + b"o."

    def reduced(module: str, name: str) -> Callable[[str], bytes]:
        return lambda command: call(stack_global(module, name), text(command)) + b"."

    def evaluated(name: str) -> Callable[[str], bytes]:
        def make(command: str) -> bytes:
            function = stack_global("builtins", name)
            return call(function, text(python(command))) + b"."

        return make

    def old_name(command: str) -> bytes:
        function = b"\x80\x02c__builtin__\neval\n"
        code = python(command).encode()
        return call(function, b"X" + struct.pack("<I", len(code)) + code) + b"."

    def through_getattr(command: str) -> bytes:
        module = call(stack_global("builtins", "__import__"), text("os"))
        function = call(stack_global("builtins", "getattr"), module, text("system"))
        return call(function, text(command)) + b"."

    def memo(command: str) -> bytes:
        parts = b"\x80\x04" + text("os") + b"\x940" + text("system") + b"\x940"
        return call(parts + b"h\x00h\x01\x93q\x020h\x02", text(command)) + b"."

    def set_state(command: str) -> bytes:
        # A listed class; the attribute is found before that of the class.
        made = stack_global(here, "Point") + b")\x81"
        state = b"}" + text("__setstate__") + b"cos\nsystem\nsb"
        return made + state + text(command) + b"b."

    def in_slots(command: str) -> bytes:
        made = stack_global(here, "Point") + b")\x81"
        state = b"N}" + text("__setstate__") + b"cos\nsystem\ns\x86b"
        return made + state + text(command) + b"b."

    def on_the_class(command: str) -> bytes:
        # BUILD with attributes for slots sets them on anything, classes too.
        kind = stack_global(here, "Point")
        state = b"N}" + text("__setstate__") + b"cos\nsystem\ns\x86b0"
        made = stack_global(here, "Point") + b")\x81"
        return kind + state + made + text(command) + b"b."

    def nested(command: str) -> bytes:
        inner = system(command) + b"."
        data = b"C" + bytes([len(inner)]) + inner
        return call(stack_global("_pickle", "loads"), data) + b"."

    def cause(command: str) -> bytes:
        inner = system(command) + b"."
        arguments = (
            stack_global("mp_connection", "TimeoutError"),
            b")",
            b"C" + bytes([len(inner)]) + inner,
            text("why"),
        )
        return call(stack_global("mp_connection.errors", "_revive"), *arguments) + b"."

    def extension(command: str) -> bytes:
        return call(b"\x80\x02\x82\xf0", text(command)) + b"."

    def extension_2(command: str) -> bytes:
        return call(b"\x80\x02\x83\xf0\x00", text(command)) + b"."

    def extension_4(command: str) -> bytes:
        return call(b"\x80\x02\x84\xf0\x00\x00\x00", text(command)) + b"."

    return {
        "global": lambda command: system(command) + b".",
        "stack_global": reduced("os", "system"),
        "posix": reduced("posix", "system"),
        "inst": inst,
        "obj": obj,
        "dotted": reduced(here, "os.system"),
        "eval": evaluated("eval"),
        "exec": evaluated("exec"),
        "old_name": old_name,
        "getattr": through_getattr,
        "memo": memo,
        "set_state": set_state,
        "in_slots": in_slots,
        "on_the_class": on_the_class,
        "nested": nested,
        "cause": cause,
        "extension": extension,
        "extension_2": extension_2,
        "extension_4": extension_4,
    }


ATTACKS = attacks()


@pytest.fixture
def extension() -> Iterator[None]:
    """A code that the process has used for something of its own."""
    copyreg.add_extension("os", "system", 0xF0)
    assert pickle.loads(b"\x80\x02\x82\xf0.") is os.system
    yield
    copyreg.remove_extension("os", "system", 0xF0)


@pytest.mark.usefixtures("extension")
@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("by", ["list", "predicate"])
def test_attacks_fail(
    make: MakeEnds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, by: str
) -> None:
    file = tmp_path / "f"
    kinds = (Point, TimeoutError)
    names = {(kind.__module__, kind.__qualname__) for kind in kinds}
    names.add(("mp_connection.errors", "_revive"))
    a, b = make(kinds if by == "list" else lambda *key: key in names)
    data = ATTACKS[name]("touch f")
    monkeypatch.chdir(tmp_path)
    pickle.loads(data)
    assert file.exists(), "the attack would not have worked"
    file.unlink()
    restore_point()
    a.send_bytes(data)
    if data[:1] == b"\x80":  # the kind of packet that `send` makes
        os.write(a.fileno(), data if is_packet(a) else framed(data))
    else:
        a.send_bytes(data)
    for _ in range(2):
        if name == "cause":  # the error arrives, its cause as text
            assert repr(b.recv().__cause__) == "ProcessError('why')"
        else:
            refused(b)
    a.send("next")
    assert b.recv() == "next"
    assert not file.exists()
    restore_point()


_ATTRIBUTES = set(vars(Point))


def restore_point() -> None:
    """Take away what an attack has set on the class."""
    for name in vars(Point).keys() - _ATTRIBUTES:
        delattr(Point, name)


def is_packet(end: Connection[Any, Any]) -> bool:
    with socket.socket(fileno=os.dup(end.fileno())) as sock:
        return sock.type == socket.SOCK_SEQPACKET


def framed(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


@pytest.mark.parametrize(
    "name", ["Point.x", "Point.__init__.__globals__", "Point.Inner", "os", ""]
)
def test_a_listed_class_leads_nowhere_else(make: MakeEnds, name: str) -> None:
    a, b = make([Point])
    a.send_bytes(stack_global(__name__, name) + b".")
    assert refused(b) == f"{__name__}:{name}"


def test_functions_that_rebuild_are_not_implied(make: MakeEnds) -> None:
    a, b = make([Point])
    a.send_bytes(pickle.dumps(Point(), 1, fix_imports=False))
    assert refused(b) == "copyreg:_reconstructor"
    a.send_bytes(stack_global("copyreg", "__newobj__") + b".")
    assert refused(b) == "copyreg:__newobj__"


def test_state_reaches_the_method_of_a_listed_class(make: MakeEnds) -> None:
    a, b = make([Heavy])
    a.send_bytes(stack_global(__name__, "Heavy") + b")\x81K\x05b.")
    assert b.recv().state == 5


@pytest.mark.parametrize(
    "data",
    [b"P0\n.", b"\x80\x04K\x00Q.", b"\x80\x04J\xff\xff\xff\xffQ.", b"\x80\x04}Q."],
)
def test_descriptors_that_are_not_there(make: MakeEnds, data: bytes) -> None:
    a, b = make()
    a.send_bytes(data)
    with pytest.raises(pickle.UnpicklingError, match="descriptor is missing"):
        b.recv()


def test_a_listed_extension_code_passes(make: MakeEnds) -> None:
    copyreg.add_extension(__name__, "Point", 0xF1)
    try:
        data = pickle.dumps([Point(1)], 2)
        assert b"\x82\xf1" in data
        a, b = make([Point])
        a.send_bytes(data)
        assert b.recv() == [Point(1)]
        a.send_bytes(b"\x80\x02\x82\x07.")
        with pytest.raises(ValueError, match="unregistered"):
            b.recv()
        a.send_bytes(b"\x80\x02\x82")
        with pytest.raises(pickle.UnpicklingError, match="no pickle"):
            b.recv()
    finally:
        copyreg.remove_extension(__name__, "Point", 0xF1)


DANGEROUS = [os.system, eval, getattr, pickle.loads, Heavy, type, object, map, Pipe]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(
        allow_nan=False
    ) | st.builds(Point, st.integers()) | st.sampled_from(DANGEROUS),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    | st.tuples(inner, inner) | st.builds(Point, inner),
    max_leaves=20,
)  # fmt: skip


def holds(value: object) -> bool:
    """Whether something dangerous is in a value."""
    if isinstance(value, Point):
        return holds(value.x)
    if isinstance(value, dict):
        return any(map(holds, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(holds, value))
    return value in DANGEROUS if callable(value) else False


@given(values, st.sampled_from([2, 3, 4, 5]))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_exactly_what_is_listed_arrives(value: object, protocol: int) -> None:
    for kind in ("packets", "unix"):
        one, other = pair(kind)
        a = Connection[Any, Any](one)
        b = Connection[Any, Any](other, allow=[Point, *_codecs(protocol)])
        with a, b:
            a.send_bytes(pickle.dumps(value, protocol, fix_imports=False))
            if holds(value):
                refused(b)
            else:
                assert b.recv() == value


def _codecs(protocol: int) -> list[Any]:
    """What bytes are made with before protocol 3."""
    import _codecs

    return [_codecs.encode, bytes] if protocol < 3 else []


OPCODES = st.sampled_from(
    [
        b"cos\nsystem\n", b"cbuiltins\neval\n", stack_global("os", "system"),
        stack_global(__name__, "Point"), text("touch f"), b"(", b")", b"t", b"R", b"o",
        b"ios\nsystem\n", b"\x81", b"\x92", b"b", b"}", b"]", b"a", b"s", b"e", b"u",
        b"\x94", b"h\x00", b"h\x01", b"0", b"1", b"2", b"N", b"K\x01", b"Q", b"\x85",
        b"\x86", b"\x87", b"\x93", b"\x97", b"\x98", b"\x82\xf0", b"P0\n", b"I01\n",
    ]
)  # fmt: skip


@given(st.lists(OPCODES, max_size=30))
@settings(deadline=None, max_examples=300)
def test_no_sequence_of_opcodes_finds_anything_else(opcodes: list[bytes]) -> None:
    found: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class":
            found.append(".".join(arguments))

    _hooks[:] = [hook]
    one, other = pair("packets")
    a, b = Connection[Any, Any](one), Connection[Any, Any](other, allow=[Point])
    with a, b:
        a.send_bytes(b"\x80\x05" + b"".join(opcodes) + b".")
        try:
            b.recv()
        except Exception:
            pass
        a.send("next")
        assert b.recv() == "next"
    _hooks.clear()
    assert set(found) <= {f"{__name__}.Point"}
    restore_point()


#: An audit hook cannot be removed.
_hooks: list[Callable[[str, tuple[Any, ...]], None]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    for hook in _hooks:
        hook(event, arguments)


sys.addaudithook(_audit)


# ---------------------------------------------------------------- handles, companions


def test_descriptors_of_a_refused_message_are_closed() -> None:
    for kind in ("packets", "unix"):
        one, other = pair(kind)
        a, b = Connection[Any, Any](one), Connection[Any, Any](other, allow=[])
        before = open_descriptors()
        a.send(Socketlike(a.fileno()))
        assert refused(b).endswith("Socketlike")
        assert open_descriptors() == before
        a.close()
        b.close()


def test_listing_connections_and_sockets_lists_what_rebuilds_them() -> None:
    for kind in ("packets", "unix"):
        one, other = pair(kind)
        a = Connection[Any, Any](one)
        b = Connection[Any, Any](other, allow=[Connection, socket.socket])
        with a, b, socket.socket() as sock:
            a.send([a, sock])
            connection, arrived = b.recv()
            assert type(arrived) is socket.socket
            connection.send("hello")
            assert b.recv() == "hello"
            connection.close()
            arrived.close()


def test_listing_an_error_of_ours_lists_what_rebuilds_it(make: MakeEnds) -> None:
    a, b = make([TimeoutError, errors._revive])
    error = TimeoutError("late")
    error.__cause__ = ValueError("why")
    a.send([error, TimeoutError("alone")])
    first, second = b.recv()
    assert (repr(first), repr(second)) == repr_of(error, TimeoutError("alone"))
    assert repr(first.__cause__) == "ProcessError('ValueError: why')"
    assert second.__cause__ is None
    a.send(mp_connection.FramingError("x"))
    assert refused(b) == "mp_connection:FramingError"


def repr_of(*things: object) -> tuple[str, ...]:
    return tuple(map(repr, things))


@pytest.mark.parametrize("kind", ["packets", "unix"])
def test_a_connection_with_a_list_keeps_it_on_its_way(kind: str) -> None:
    one, other = pair(kind)
    a, b = Connection[Any, Any](one), Connection[Any, Any](other, allow=[Point])
    c, d = Pipe()
    with a, c, d:
        c.send(b)
        b.close()
        with d.recv() as arrived:
            a.send([Point(1)])
            a.send(Heavy())
            assert arrived.recv() == [Point(1)]
            refused(arrived)
        d.close()


# --------------------------------------------------------------------- the connection


def test_it_is_a_connection_like_others(make: MakeEnds) -> None:
    a, b = make([Point])
    assert isinstance(b, Connection)
    assert repr(b) == f"<mp_connection.Connection fd {b.fileno()}>"
    assert not b.poll()
    with pytest.raises(TimeoutError):
        b.recv(timeout=0.01)
    a.send(Point(1))
    assert b.poll(10)
    assert b.recv(timeout=10) == Point(1)
    a.send_bytes(b"\x80\x04")
    with pytest.raises(pickle.UnpicklingError):
        b.recv()
    a.close()
    with pytest.raises(EOFError):
        b.recv()


class Counting(Connection[Any, Any]):
    """A user's class."""

    received = 0

    def recv(self, timeout: float | None = None) -> Any:
        self.received += 1
        return super().recv(timeout)


@pytest.mark.parametrize("kind", ["packets", "unix"])
def test_a_class_of_the_users_keeps_its_methods(kind: str) -> None:
    one, other = pair(kind)
    with Connection[Any, Any](one) as a, Counting(other, allow=[Point]) as b:
        assert isinstance(b, Counting)
        a.send(Point(1))
        assert b.recv() == Point(1)
        a.send(Heavy())
        refused(b)
        assert b.received == 2
        c, d = Pipe()
        with c, d:
            c.send(b)
            with d.recv() as arrived:
                assert isinstance(arrived, Counting)
                a.send(Heavy())
                refused(arrived)


class Interrupted(BaseException):
    pass


_once: list[int] = []


class Interrupts:
    """Its first unpickling is interrupted by a signal."""

    def __reduce__(self) -> tuple[object, ...]:
        return interrupt_once, ()


def interrupt_once() -> str:
    if not _once:
        _once.append(1)
        os.kill(os.getpid(), signal.SIGUSR1)
    return "whole"


def test_a_message_whose_unpickling_is_interrupted_is_kept(make: MakeEnds) -> None:
    def handler(*_: object) -> None:
        raise Interrupted

    _once.clear()
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        a, b = make([interrupt_once])
        a.send([Interrupts()])
        with pytest.raises(Interrupted):
            b.recv()
        assert b.poll()
        assert b.recv() == ["whole"]
    finally:
        signal.signal(signal.SIGUSR1, old)


# -------------------------------------------------------------- listeners and clients


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
@pytest.mark.parametrize("key", [None, b"key"])
def test_listeners_and_clients_have_lists(family: str, key: bytes | None) -> None:
    from threading import Thread

    clients: list[Connection[Any, Any]] = []
    with Listener[Any, Any](None, family, authkey=key, allow=[Point]) as listener:

        def connect() -> None:
            clients.append(Client(listener.address, family, key, allow=[Colour]))

        thread = Thread(target=connect)
        thread.start()
        served = listener.accept(timeout=20)
        thread.join(20)
    with served, clients[0] as client:
        client.send(Point(1))
        assert served.recv() == Point(1)
        client.send(Colour.RED)
        assert refused(served).endswith(":Colour")
        served.send(Colour.RED)
        assert client.recv() is Colour.RED
        served.send(Point(1))
        assert refused(client).endswith(":Point")


def test_a_missing_key_is_still_told_from_garbage() -> None:
    one, other = pair("unix")
    with Connection[Any, Any](one) as a, Connection[Any, Any](other, allow=[]) as b:
        a.send_bytes(b"#CHALLENGE#{sha256}" + bytes(20))
        with pytest.raises(AuthenticationError):
            b.recv()
