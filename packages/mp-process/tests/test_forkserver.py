"""The fork server: its life, its deaths, and what children get from it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import mp_process_killer as killer
import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

from mp_connection import Pipe, wait
from mp_connection.channel import ready_to_read
from mp_process import (
    BaseProcess,
    ForkServerError,
    ProcessError,
    ensure_forkserver,
    get_context,
    set_forkserver_preload,
)

assert sys.platform == "linux"

from mp_process import _forkserver_posix, _interpreter_posix, _server_posix
from mp_process._forkserver_posix import fork_server

SECONDS = 30
ctx = get_context("forkserver")

pytestmark = pytest.mark.usefixtures("fresh_server")


def start_one(code: int = 0) -> None:
    process = ctx.Process(target=targets.exit_with, args=(code,))
    process.start()
    process.join(SECONDS)
    assert process.exitcode == code


def server_pid() -> int:
    pid = fork_server().pid
    assert pid is not None
    return pid


def requests_of_server() -> int:
    requests = fork_server()._requests
    assert requests is not None
    return requests.fileno()


def kill(pid: int) -> None:
    """Kill the server, and wait until its channels are closed."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while scripts.state(pid) not in ("Z", ""):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_server() -> None:
    """It is started when it is first needed, serves many, and has one thread."""
    assert fork_server().pid is None
    start_one()
    pid = server_pid()
    for code in range(5):
        start_one(code)
    assert fork_server().pid == pid
    assert len(os.listdir(f"/proc/{pid}/task")) == 1


def test_it_has_no_name() -> None:
    """No path and no abstract address leads to it, while it runs and has a child."""

    def names() -> set[str]:
        lines = Path("/proc/net/unix").read_text().splitlines()[1:]
        inodes = {
            os.readlink(f"/proc/{pid}/fd/{fd}").strip("socket:[]")
            for pid in (os.getpid(), server_pid(), process.pid)
            for fd in os.listdir(f"/proc/{pid}/fd")
            if os.path.islink(f"/proc/{pid}/fd/{fd}")
        }
        found = [line.split(maxsplit=7) for line in lines]
        assert any(fields[6] in inodes for fields in found)
        return {fields[7] for fields in found if fields[6] in inodes and fields[7:]}

    ours, theirs = Pipe()
    process = ctx.Process(target=targets.say_and_wait, args=(theirs,))
    process.start()
    assert ours.poll(SECONDS)
    assert names() == set()
    ours.send("end")
    process.join(SECONDS)
    ours.close()
    theirs.close()


def test_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once stopped it is gone and leaves no zombie; the next start has a new one."""
    monkeypatch.setattr(_forkserver_posix, "_GRACE_SECONDS", SECONDS)
    start_one()
    pid = server_pid()
    fork_server().stop()
    assert scripts.state(pid) == ""
    assert fork_server().pid is None
    fork_server().stop()
    start_one()
    assert server_pid() != pid


def test_stop_with_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that run are not disturbed, and their exit codes arrive."""
    monkeypatch.setattr(_forkserver_posix, "_GRACE_SECONDS", SECONDS)
    ours, theirs = Pipe()
    process = ctx.Process(target=targets.say_and_wait, args=(theirs,))
    process.start()
    assert ours.poll(SECONDS)
    pid = server_pid()
    begun = time.monotonic()
    fork_server().stop()
    assert time.monotonic() - begun < SECONDS
    assert scripts.runs(pid)  # until the child, which could ask it too, has ended
    assert process.is_alive()
    start_one(2)  # from another server
    assert server_pid() != pid
    ours.send("end")
    process.join(SECONDS)
    assert process.exitcode == 0
    fork_server().stop()
    assert scripts.wait_for_end([pid], SECONDS) == []
    ours.close()
    theirs.close()


def test_killed_while_idle() -> None:
    """The next start uses a new one, and nobody notices."""
    start_one()
    for _ in range(3):
        pid = server_pid()
        kill(pid)
        start_one(3)
        assert server_pid() != pid
        assert scripts.state(pid) == ""


def test_killed_with_running_children() -> None:
    """They live on and can be ended; how they ended nobody can tell."""
    pipes = [Pipe() for _ in range(3)]
    processes = [
        ctx.Process(target=targets.say_and_wait, args=(theirs,)) for _, theirs in pipes
    ]
    pids = []
    for process, (ours, _) in zip(processes, pipes, strict=True):
        process.start()
        assert ours.poll(SECONDS)
        pids.append(ours.recv())
    joined: list[int | None] = []

    def join() -> None:
        processes[0].join(SECONDS)
        joined.append(processes[0].exitcode)

    thread = threading.Thread(target=join)
    thread.start()
    kill(server_pid())
    assert wait([process.sentinel for process in processes], 0.3) == []
    assert all(process.is_alive() for process in processes)
    assert all(process.exitcode is None for process in processes)
    processes[0].join(0.1)
    assert not joined

    pipes[0][0].send("end")
    thread.join(SECONDS)
    assert joined == [255]
    processes[1].terminate()
    processes[2].kill()
    for process, pid in zip(processes, pids, strict=True):
        process.join(SECONDS)
        assert process.exitcode == 255
        assert process.startup_error is None
        assert not scripts.runs(pid)
        assert wait([process.sentinel], 0) == [process.sentinel]
        process.close()
    for pipe in pipes:
        for end in pipe:
            end.close()


@pytest.mark.parametrize("step", ["before the fork", "after the fork", "at its start"])
def test_killed_between_request_and_reply(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """start goes on with a new server, and the target runs once."""
    stub = killer.server_stub(
        _interpreter_posix._STUB, step, str(tmp_path / "once"), always=False
    )
    monkeypatch.setattr(_interpreter_posix, "_STUB", stub)
    ran = tmp_path / "ran"
    process = ctx.Process(target=targets.append, args=(str(ran),))
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 0
    time.sleep(0.05)  # a second run would come now, if there were one
    assert ran.read_text() == "x"
    assert (tmp_path / "once").exists()


@pytest.mark.parametrize("step", ["before the fork", "after the fork", "at its start"])
def test_killed_again_and_again(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the new server dies as well, start says so; the target never runs."""
    stub = killer.server_stub(_interpreter_posix._STUB, step, "", always=True)
    ran = tmp_path / "ran"
    process = ctx.Process(target=targets.append, args=(str(ran),))
    before = targets.open_files()
    with monkeypatch.context() as patch:
        patch.setattr(_interpreter_posix, "_STUB", stub)
        with pytest.raises(ForkServerError) as caught:
            process.start()
    assert isinstance(caught.value, ProcessError)
    assert "ended" in str(caught.value)
    fork_server().stop()
    assert targets.open_files() == before
    time.sleep(0.05)
    assert not ran.exists()
    process.start()
    process.join(SECONDS)
    assert ran.read_text() == "x"


def test_a_dead_server_of_another_thread_is_left_alone() -> None:
    """A thread that learns late of a death does not stop the server that follows."""
    start_one()
    old = fork_server()._requests
    assert old is not None
    kill(server_pid())
    start_one()
    pid = server_pid()
    fork_server().lost(old)
    assert fork_server().pid == pid
    start_one()
    assert server_pid() == pid


def test_out_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that can open no more says so, and serves again when it can."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        start_one()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    pid = server_pid()
    processes: list[BaseProcess] = []
    ours, theirs = Pipe()
    refusal: OSError | None = None
    while refusal is None and len(processes) < 80:
        process = ctx.Process(target=targets.say_and_wait, args=(theirs,))
        try:
            process.start()
            processes.append(process)
        except OSError as error:
            refusal = error
    assert "the fork server can open no more descriptors" in str(refusal)
    assert len(processes) > 20
    assert server_pid() == pid
    assert all(process.is_alive() for process in processes)
    for _ in processes:
        ours.send("end")
    for process in processes:
        process.join(SECONDS)
        assert process.exitcode == 0
        process.close()
    start_one(4)
    assert server_pid() == pid
    ours.close()
    theirs.close()


def test_an_error_that_is_kept_does_not_keep_it_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The child's copy of the way to it is closed, whatever a traceback refers to."""
    start_one()
    pid = server_pid()

    def fail(*_: object) -> NoReturn:
        raise RuntimeError("in the middle of a start")

    monkeypatch.setattr(_forkserver_posix, "_send", fail)
    process = ctx.Process(target=targets.noop)
    with pytest.raises(RuntimeError, match="in the middle") as caught:
        process.start()
    fork_server().stop()
    assert scripts.wait_for_end([pid], SECONDS) == []
    assert "in the middle" in str(caught.value)


def test_fork_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a fork in the server is that of start."""
    stub = _interpreter_posix._STUB
    head, mark, tail = stub.partition("from {module} import {function}")
    code = (
        "import os, errno\n"
        "def refuse(): raise OSError(errno.EAGAIN, 'refused')\n"
        "os.fork = refuse\n"
    )
    monkeypatch.setattr(_interpreter_posix, "_STUB", head + code + mark + tail)
    process = ctx.Process(target=targets.noop)
    before = targets.open_files()
    with pytest.raises(BlockingIOError, match="the fork server cannot fork"):
        process.start()
    fork_server().stop()
    assert targets.open_files() == before


def test_descendants_share_it(tmp_path: Path) -> None:
    """A tree of processes has one server, whatever started its members."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, sys
import mp_process
from mp_process._forkserver_posix import fork_server
def leaf(): print(os.getppid(), flush=True)
def start(method, target, *args):
    process = mp_process.get_context(method).Process(target=target, args=args)
    process.start()
    process.join(30)
    assert process.exitcode == 0
if __name__ == "__main__":
    start("forkserver", leaf)
    for method in mp_process.get_all_start_methods():
        start(method, start, "forkserver", leaf)
    print(fork_server().pid)
"""
    )
    assert len(set(scripts.run(script).stdout.split())) == 1


def test_it_ends_with_its_program(tmp_path: Path) -> None:
    """However the program ends, by itself or not, no server stays."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, signal, sys
import mp_process, mp_process_targets
from mp_process._forkserver_posix import fork_server
if __name__ == "__main__":
    ctx = mp_process.get_context("forkserver")
    process = ctx.Process(target=mp_process_targets.noop)
    process.start()
    process.join(30)
    print(fork_server().pid, flush=True)
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "exit":
        os._exit(0)
"""
    )
    pid = int(scripts.run(script, "return").stdout)
    assert scripts.state(pid) == ""  # waited for
    for how, code in (("kill", -signal.SIGKILL), ("exit", 0)):
        pid = int(scripts.run(script, how, code=code).stdout)
        assert scripts.wait_for_end([pid], 5) == []


def test_ctrl_c_is_not_for_the_server() -> None:
    """SIGINT ends neither the server nor what it does to its children's handler."""
    ours, theirs = Pipe()
    start_one()
    pid = server_pid()
    os.kill(pid, signal.SIGINT)
    process = ctx.Process(target=targets.say_handler, args=(theirs,))
    process.start()
    assert ours.poll(SECONDS)
    assert ours.recv() == (True, True)
    process.join(SECONDS)
    assert server_pid() == pid
    ours.close()
    theirs.close()


def test_preloading_that_starts_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that starts a thread when imported is not imported ahead."""
    (tmp_path / "mp_process_threaded.py").write_text(
        "import threading, time, os, signal\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "masked = lambda: signal.SIGINT in signal.pthread_sigmask(0, [])\n"
        "def leave(): os._exit(threading.active_count() + 10 * masked())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("threading.Thread.start", lambda self: None)
    import mp_process_threaded  # type: ignore[import-not-found]

    process = ctx.Process(target=mp_process_threaded.leave)
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 2
    assert len(os.listdir(f"/proc/{server_pid()}/task")) == 1


def test_threads_are_counted_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc cannot be read, Python's own threads are counted."""

    def refuse(path: str) -> list[str]:
        raise PermissionError(path)

    before = _server_posix._threads()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert _server_posix._threads() == before + 1
    monkeypatch.setattr(os, "listdir", refuse)
    assert _server_posix._threads() == threading.active_count()
    monkeypatch.delitem(sys.modules, "threading")
    assert _server_posix._threads() == 1
    monkeypatch.undo()
    stop.set()
    thread.join()


def test_modules_are_imported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The modules of target and arguments are imported in the server, for all."""
    count = tmp_path / "count"
    for name in ("mp_process_slow", "mp_process_heavy"):
        (tmp_path / f"{name}.py").write_text(
            "from mp_process_targets import append\n"
            f"append({str(count)!r})\ndef target(*args, **kwargs): pass\n"
            "class Argument: pass\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    import mp_process_heavy  # type: ignore[import-not-found]
    import mp_process_slow  # type: ignore[import-not-found]

    argument = mp_process_heavy.Argument()
    for args, kwargs in 2 * [((1, argument), {}), ((), {"named": argument})]:
        process = ctx.Process(target=mp_process_slow.target, args=args, kwargs=kwargs)
        process.start()
        process.join(SECONDS)
        assert process.exitcode == 0
    assert len(count.read_text()) == 4  # of each, here and in the server


@pytest.mark.usefixtures("no_other_layers")
def test_children_import_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every child needs is in the server: a start costs no import."""
    head, mark, tail = _interpreter_posix._STUB.partition("from {module} import")
    note = """\
import sys
import mp_process._server_posix as server
def noting(channel, real=server.run_child):
    sys.before = set(sys.modules)
    return real(channel)
server.run_child = noting
"""
    monkeypatch.setattr(_interpreter_posix, "_STUB", head + note + mark + tail)
    ours, theirs = Pipe()
    for daemon in (False, True):
        process = ctx.Process(
            target=targets.say_new_modules, args=(theirs,), daemon=daemon
        )
        process.start()
        assert ours.poll(SECONDS)
        assert ours.recv() == []
        process.join(SECONDS)
    ours.close()
    theirs.close()


# --------------------------------------------------------------- set_forkserver_preload


@pytest.fixture
def preload() -> Iterator[None]:
    """Forget afterwards what is to be imported ahead."""
    yield
    set_forkserver_preload([])


@pytest.mark.usefixtures("preload")
def test_preload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are imported once, in the server; failures are the children's to see."""
    count = tmp_path / "count"
    (tmp_path / "mp_process_ahead.py").write_text(
        f"import mp_process_targets\nmp_process_targets.append({str(count)!r})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ctx.set_forkserver_preload(("mp_process_missing", "mp_process_ahead"))
    for _ in range(3):
        process = ctx.Process(target=targets.is_there, args=("mp_process_ahead",))
        process.start()
        process.join(SECONDS)
        assert process.exitcode == 1
    assert count.read_text() == "x"


def test_started_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server can be had before the first process, which uses it, and only once."""
    assert fork_server().pid is None
    ensure_forkserver()
    pid = server_pid()
    ensure_forkserver()
    start_one()
    assert server_pid() == pid
    kill(pid)
    ensure_forkserver()
    second = server_pid()
    assert second != pid
    start_one()
    assert server_pid() == second


@pytest.mark.usefixtures("preload", "capfd")
def test_started_ahead_of_what_it_cannot_import() -> None:
    """Whoever asks next is told, by whichever call."""
    set_forkserver_preload(["mp_process_missing"], on_error="fail")
    ensure_forkserver()
    assert ready_to_read(requests_of_server(), SECONDS)
    with pytest.raises(ForkServerError, match=r"No module named 'mp_process_miss"):
        ensure_forkserver()
    set_forkserver_preload([])
    ensure_forkserver()
    start_one()


@pytest.mark.usefixtures("preload")
def test_preload_warns(capfd: pytest.CaptureFixture[str]) -> None:
    """Or the server says what it could not import, and goes on."""
    set_forkserver_preload(["mp_process_missing"], on_error="warn")
    process = ctx.Process(target=targets.noop)
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 0
    text = capfd.readouterr().err
    assert "ImportWarning: cannot import mp_process_missing ahead: ModuleNotF" in text
    assert text.count("Warning") == 1


@pytest.mark.usefixtures("preload", "capfd")
def test_preload_fails() -> None:
    """Or nothing is started, and the error says why."""
    set_forkserver_preload(["mp_process_missing"], on_error="fail")
    for _ in range(5):
        process = ctx.Process(target=targets.noop)
        with pytest.raises(ForkServerError, match=r"No module named 'mp_process_miss"):
            process.start()
        assert "initial" in repr(process)
        assert fork_server().pid is None
    set_forkserver_preload([])
    start_one()


def test_preload_is_checked() -> None:
    """Wrong arguments are reported at once."""
    for wrong in ("module", [1], [b"x"]):
        with pytest.raises(TypeError, match="list of strings"):
            set_forkserver_preload(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_error is 'ignore', 'warn' or 'fail', not"):
        set_forkserver_preload([], on_error="raise")  # type: ignore[arg-type]
