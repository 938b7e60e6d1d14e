"""The life of a manager: started, connected, shut down, collected, orphaned."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

assert sys.platform == "linux"

import mp_managers_targets as targets
import pytest
from mp_managers_targets import Calculator, Manager, settle

from mp_connection import AuthenticationError
from mp_managers import BaseManager, ManagerDiedError, ProcessError, SyncManager
from mp_process import current_process, get_context
from mp_testing import StartMethod

WAIT = 30


def pid_of(manager: BaseManager) -> int:
    assert manager._process is not None
    assert manager._process.pid is not None
    return manager._process.pid


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_it_starts_serves_and_ends(start_method: StartMethod) -> None:
    manager = Manager(ctx=get_context(start_method))
    manager.start()
    address = manager.address
    numbers = manager.list([1, 2])
    numbers.append(3)
    assert numbers[:] == [1, 2, 3]
    assert pid_of(manager) != os.getpid()
    calculator = manager.Calculator(1)  # type: ignore[attr-defined]
    assert calculator.pid() == pid_of(manager)
    manager.shutdown()
    manager.shutdown()
    manager.join()
    assert not Path(address).exists()
    with pytest.raises(ManagerDiedError):
        numbers.append(4)


def test_proxies_are_used_by_children(start_method: StartMethod) -> None:
    context = get_context(start_method)
    with Manager(ctx=context) as manager:
        numbers, table = manager.list(), manager.dict()
        workers = [
            context.Process(target=targets.append, args=(numbers, n)) for n in range(2)
        ]
        workers.append(
            context.Process(target=targets.set_key, args=(table, "numbers", numbers))
        )
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(WAIT)
            assert worker.exitcode == 0
        assert sorted(numbers[:]) == [0, 1]
        assert sorted(table["numbers"][:]) == [0, 1]


def test_a_manager_is_started_or_connected_once() -> None:
    with Manager() as manager:
        with pytest.raises(ProcessError):
            manager.start()
        with pytest.raises(ProcessError):
            manager.get_server()


def test_what_was_not_started_cannot_be_used() -> None:
    manager = Manager()
    with pytest.raises(AssertionError):
        manager.list()
    with pytest.raises(ProcessError):
        manager.shutdown()


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"authkey": "text"}, TypeError),
        ({"serializer": "json"}, ValueError),
    ],
)
def test_wrong_arguments(keywords: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        BaseManager(**keywords)


def refuse(text: str) -> None:
    raise LookupError(text)


def leave() -> None:
    os._exit(7)


def test_initializer(start_method: StartMethod, tmp_path: Path) -> None:
    path = tmp_path / "there"
    manager = Manager(ctx=get_context(start_method))
    manager.start(Path.write_text, (path, "text"))
    assert path.read_text() == "text"
    manager.shutdown()


def test_initializer_that_fails() -> None:
    with pytest.raises(LookupError, match="no database") as caught:
        Manager().start(refuse, ("no database",))
    assert "in refuse" in str(caught.value.__cause__)


def test_initializer_that_ends_the_process() -> None:
    with pytest.raises(ProcessError, match="exit code 7"):
        Manager().start(leave)


def test_initializer_that_is_none() -> None:
    with pytest.raises(TypeError):
        Manager().start(3)  # type: ignore[arg-type]


def test_an_address_that_is_taken() -> None:
    with Manager() as manager, pytest.raises(OSError, match="in use"):
        Manager(manager.address).start()


def test_the_address_of_the_users_choice(tmp_path: Path) -> None:
    path = str(tmp_path / "socket of mine")
    with Manager(path) as manager:
        assert manager.address == path
        assert manager.list([1])[0] == 1
    assert not Path(path).exists()


def test_a_manager_ends_when_it_is_collected() -> None:
    manager = SyncManager()
    manager.start()
    numbers = manager.list([1])
    pid = pid_of(manager)
    del manager
    gc.collect()
    assert numbers[0] == 1  # a proxy keeps its manager
    del numbers
    gc.collect()
    assert not is_alive(pid)


def test_a_manager_that_is_stopped_is_killed() -> None:
    manager = SyncManager(shutdown_timeout=0.1)
    manager.start()
    pid = pid_of(manager)
    os.kill(pid, signal.SIGSTOP)
    manager.shutdown()
    assert not is_alive(pid)
    assert not Path(manager.address).parent.exists()


def test_a_manager_does_not_outlive_its_parent() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import os, time\n"
        "from mp_managers import SyncManager\n"
        "manager = SyncManager()\n"
        "manager.start()\n"
        "print(manager._process.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        parent.wait(WAIT)
        settle(lambda: not is_alive(pid))


def test_a_manager_ends_with_a_program_that_forgets_it() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from mp_managers import SyncManager\n"
        "manager = SyncManager()\n"
        "manager.start()\n"
        "numbers = manager.list([1])\n"
        "print(numbers[0], manager._process.pid, manager.address)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=True,
    )
    number, pid, address = done.stdout.split()
    assert number == "1"
    assert done.stderr == ""
    assert not is_alive(int(pid))
    assert not Path(address).exists()


def test_ctrl_c_is_not_for_the_manager() -> None:
    with Manager() as manager:
        os.kill(pid_of(manager), signal.SIGINT)
        assert manager.list([1])[0] == 1


def test_sigterm_ends_it() -> None:
    with Manager() as manager:
        numbers = manager.list([1])
        os.kill(pid_of(manager), signal.SIGTERM)
        manager.join(WAIT)
        begin = time.monotonic()
        with pytest.raises(ManagerDiedError) as caught:
            numbers.append(1)
        assert time.monotonic() - begin < 10
        assert isinstance(caught.value, (ConnectionError, EOFError))


class Remote(BaseManager):
    pass


def serve(manager: BaseManager) -> tuple[Any, threading.Thread]:
    server = manager.get_server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    return server, thread


@pytest.mark.parametrize("address", [None, ("127.0.0.1", 0)], ids=["unix", "inet"])
def test_connecting_to_a_server(address: Any) -> None:
    """The manual's remote manager, with two clients that share one queue."""
    import queue

    shared: queue.Queue[str] = queue.Queue()

    class QueueManager(BaseManager):
        pass

    class QueueClient(BaseManager):
        pass

    QueueManager.register("get_queue", callable=lambda: shared)
    QueueClient.register("get_queue")
    server, thread = serve(QueueManager(address, authkey=b"abracadabra"))
    first = QueueClient(server.address, authkey=b"abracadabra")
    first.connect()
    second = QueueClient(server.address, authkey=b"abracadabra")
    second.connect()
    first.get_queue().put("hello")  # type: ignore[attr-defined]
    assert second.get_queue().get() == "hello"  # type: ignore[attr-defined]
    with pytest.raises(AuthenticationError):
        QueueClient(server.address, authkey=b"wrong").connect()
    server.stop()
    thread.join(WAIT)
    assert not thread.is_alive()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Remote(str(tmp_path / "nothing")).connect()
    with pytest.raises(ConnectionRefusedError):
        Remote(("127.0.0.1", 9)).connect()


def test_the_registry_of_a_subclass_is_its_own() -> None:
    class First(BaseManager):
        pass

    class Second(First):
        pass

    First.register("one", Calculator)
    Second.register("two", Calculator)
    assert sorted(Second._registry) == ["one", "two"]
    assert sorted(First._registry) == ["one"]
    assert not hasattr(First, "two")
    assert not hasattr(BaseManager, "one")
    Second.register("three", Calculator, create_method=False)
    assert not hasattr(Second, "three")


def test_register_refuses_nonsense() -> None:
    with pytest.raises(TypeError):
        Remote.register(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Remote.register("x", method_to_typeid={"a": 3})  # type: ignore[dict-item]


def connected_in_child(address: Any, key: bytes, done: Any) -> None:
    current_process().authkey = b"something else"
    manager = Manager(address, key)
    manager.connect()
    done.send(manager.list([1, 2])[:])


def test_connecting_from_another_process(start_method: StartMethod) -> None:
    from mp_connection import Pipe

    with Manager(authkey=b"of its own") as manager:
        ours, theirs = Pipe()
        worker = get_context(start_method).Process(
            target=connected_in_child, args=(manager.address, b"of its own", theirs)
        )
        worker.start()
        theirs.close()
        assert ours.recv(timeout=WAIT) == [1, 2]
        worker.join(WAIT)
        ours.close()
