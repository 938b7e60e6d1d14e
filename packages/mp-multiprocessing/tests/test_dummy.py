"""`dummy`: the interface of the package on threads."""

from __future__ import annotations

import ctypes
import importlib
import sys
import threading
from typing import Any

import pytest

import mp_multiprocessing as mp
from mp_multiprocessing import dummy
from mp_multiprocessing.dummy import connection as dummy_connection


@pytest.mark.parametrize("name", ["dummy", "dummy.connection"])
def test_all_lists_what_the_module_has(name: str) -> None:
    module = importlib.import_module(f"mp_multiprocessing.{name}")
    assert [n for n in module.__all__ if not hasattr(module, n)] == []


# -------------------------------------------------------------------------- processes


def test_a_process_is_a_thread_of_this_one() -> None:
    seen: list[object] = []

    def target(*args: int, key: int) -> None:
        seen.extend((args, key, dummy.current_process()))

    process = dummy.Process(target=target, args=[1, 2], kwargs={"key": 3})
    before = process.exitcode
    process.start()
    process.join(20)
    assert seen == [(1, 2), 3, process]
    assert (before, process.exitcode) == (None, 0)
    assert not process.is_alive()
    with pytest.raises(RuntimeError):
        process.start()


@pytest.mark.parametrize(
    ("code", "expected"), [(None, 0), (0, 0), (3, 3), ("words", 1), (True, 1)]
)
def test_sys_exit_is_the_exit_code(code: object, expected: int) -> None:
    process = dummy.Process(target=sys.exit, args=(code,))
    process.start()
    process.join(20)
    assert process.exitcode == expected


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_is_exit_code_one_also_of_a_subclass() -> None:
    class Failing(dummy.Process):
        def run(self) -> None:
            raise LookupError("on purpose")

    process = Failing()
    process.start()
    process.join(20)
    assert process.exitcode == 1


def test_active_children_are_those_that_this_thread_has_started_and_that_run() -> None:
    go = dummy.Event()
    children = [dummy.Process(target=go.wait, args=(20,)) for _ in range(2)]
    of_others: list[list[threading.Thread]] = []
    for child in children:
        child.start()
    other = threading.Thread(
        target=lambda: of_others.append(list(dummy.active_children()))
    )
    other.start()
    other.join(20)
    assert of_others == [[]]
    assert dummy.active_children() == children
    go.set()
    for child in children:
        child.join(20)
    assert dummy.active_children() == []


# ------------------------------------------------------------------------- connections


def test_objects_travel_as_they_are() -> None:
    a, b = dummy.Pipe()
    thing = object()
    with a, b:
        a.send(thing)
        assert b.poll()
        assert b.recv() is thing
        assert not b.poll()
        b.send_bytes(bytearray(b"abcdef"), 1, 4)
        assert a.recv_bytes() == b"bcde"


def test_one_way_pipes_go_one_way() -> None:
    reader, writer = dummy.Pipe(duplex=False)
    assert (reader.readable, reader.writable) == (True, False)
    assert (writer.readable, writer.writable) == (False, True)
    writer.send(1)
    assert reader.recv() == 1
    with pytest.raises(OSError, match="not for sending"):
        reader.send(1)
    with pytest.raises(OSError, match="not for receiving"):
        writer.poll()
    del reader
    with pytest.raises(BrokenPipeError):
        writer.send(2)


def test_the_end_comes_after_what_was_sent_when_nobody_has_the_other_end() -> None:
    a, b = dummy.Pipe()
    a.send("last")
    del a
    assert b.recv() == "last"
    assert b.poll(20)
    with pytest.raises(EOFError):
        b.recv()


def test_an_end_that_was_given_to_a_process_can_be_closed_here() -> None:
    def answer(connection: dummy_connection.Connection[int, int]) -> None:
        with connection:
            connection.send(connection.recv() + 1)

    a, b = dummy.Pipe()
    process = dummy.Process(target=answer, args=(b,))
    process.start()
    b.close()
    a.send(1)
    assert a.recv() == 2
    process.join(20)


def test_receiving_waits() -> None:
    a, b = dummy.Pipe()
    received: list[object] = []
    process = dummy.Process(target=lambda: received.append(b.recv()))
    process.start()
    a.send(5)
    process.join(20)
    assert received == [5]
    a.close()
    b.close()


def test_bytes_go_into_a_buffer_and_nowhere_else() -> None:
    a, b = dummy.Pipe()
    buffer = bytearray(6)
    with a, b:
        a.send_bytes(b"abc")
        assert b.recv_bytes_into(buffer, 2) == 3
        assert bytes(buffer) == b"\0\0abc\0"
        a.send_bytes(b"far too long")
        with pytest.raises(mp.BufferTooShort) as caught:
            b.recv_bytes_into(buffer)
        assert caught.value.args[0] == b"far too long"
        with pytest.raises(ValueError, match="within"):
            a.send_bytes(b"abc", 2, 2)
        with pytest.raises(ValueError, match="within"):
            b.recv_bytes_into(buffer, 7)
        a.send_bytes(b"abc")
        with pytest.raises(OSError, match="longer than 2"):
            b.recv_bytes(2)


def test_an_echo_passes_objects_on_as_it_does_their_pickles() -> None:
    a, b = dummy.Pipe()
    sent: object = [1, None]
    a.send(sent)
    b.send_bytes(b.recv_bytes(maxlength=1))
    assert a.recv() is sent
    with pytest.raises(TypeError):
        a.send_bytes("text")  # type: ignore[arg-type]


def test_listeners_and_clients_find_each_other_by_address() -> None:
    def serve(listener: dummy_connection.Listener) -> None:
        with listener.accept() as accepted:
            accepted.send(accepted.recv() + 1)

    with dummy_connection.Listener() as listener:
        process = dummy.Process(target=serve, args=(listener,))
        process.start()
        with dummy_connection.Client(listener.address) as client:
            client.send(1)
            assert client.recv() == 2
        process.join(20)
        assert listener.last_accepted is None
        with pytest.raises(OSError, match="another listener"):
            dummy_connection.Listener(listener.address)
    with pytest.raises(ConnectionRefusedError):
        dummy_connection.Client(listener.address)
    with pytest.raises(OSError, match="closed"):
        listener.accept()


def test_a_closed_listener_refuses_who_waits() -> None:
    with dummy_connection.Listener("a name", backlog=2) as listener:
        waiting = dummy_connection.Client("a name")
    with waiting, pytest.raises(EOFError):
        waiting.recv()
    assert listener.address == "a name"


# ------------------------------------------------------------------------------ others


@pytest.mark.parametrize("kind", [dummy.Queue, dummy.JoinableQueue])
def test_queues_can_be_joined_and_go_on_when_closed(
    kind: type[dummy.Queue[int]],
) -> None:
    queue = kind(2)
    queue.put(1)
    assert queue.get(timeout=20) == 1
    queue.task_done()
    queue.join()
    queue.close()
    queue.join_thread()
    queue.put(2)
    assert queue.get(timeout=20) == 2


def test_simple_queues() -> None:
    queue: dummy.SimpleQueue[str] = dummy.SimpleQueue()
    assert queue.empty()
    queue.put("x")
    assert not queue.empty()
    assert queue.get() == "x"
    queue.close()
    queue.put("y")
    assert queue.get() == "y"


def test_values_with_and_without_a_lock() -> None:
    value = dummy.Value("i", 3)
    with value.get_lock():
        value.value += 1
    with value:
        value.set(value.get() + 1)
    assert repr(value.get_obj()) == "<Value('i', 5)>"
    bare = dummy.Value("d", 1.5, lock=False)
    with pytest.raises(AttributeError, match="lock=False"):
        bare.get_lock()


@pytest.mark.parametrize("typecode", ["i", ctypes.c_int])
def test_arrays(typecode: Any) -> None:
    array = dummy.Array(typecode, range(4))
    array[1:3] = [10, 20]
    array[0] = 7
    assert list(array) == [7, 10, 20, 3]
    assert (array[:2], array[3], len(array)) == ([7, 10], 3, 4)
    with pytest.raises(ValueError, match="size"):
        array[1:3] = [1, 2, 3]
    assert dummy.Array(typecode, 3)[:] == [0, 0, 0]
    with array.get_lock():
        assert repr(array) == "<Array [7, 10, 20, 3]>"


def test_pools_are_of_threads() -> None:
    seen: list[str] = []
    with dummy.Pool(2, seen.append, ("begun",)) as pool:
        assert pool.map(lambda x: x + 1, range(3)) == [1, 2, 3]
        pool.close()
        pool.join()
    assert seen == ["begun"] * 2


def test_a_manager_makes_the_things_themselves() -> None:
    with dummy.Manager() as manager:
        space = manager.Namespace(x=1, _hidden=2)
        space.y = manager.list([1])
        assert repr(space) == "Namespace(x=1, y=[1])"
        assert manager.dict(a=1) == {"a": 1}
        assert manager.Value("i", 3).value == 3
        assert manager.Array("i", [1, 2])[:] == [1, 2]
        with manager.Lock(), manager.RLock():
            pass
        with manager.Pool(1) as pool:
            assert pool.apply(threading.get_ident) != threading.get_ident()
            pool.close()
            pool.join()
        with pytest.raises(AttributeError):
            space.z  # noqa: B018
