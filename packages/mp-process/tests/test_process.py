"""The process object: life cycle, properties, errors."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

import mp_process
from mp_connection import Connection, Pipe, wait
from mp_connection.handles import register_reducer, unregister_reducer
from mp_process import BaseProcess, ProcessError, UnpicklableError, get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_process import _forkserver_posix, _interpreter_posix, _lifeline_linux
from mp_process._here import here

SECONDS = 30  # longer than anything takes


def ended(process: BaseProcess) -> int | None:
    """Wait for a process; its exit code."""
    process.join(SECONDS)
    return process.exitcode


def received(connection: Connection[object, object]) -> object:
    assert connection.poll(SECONDS), "nothing came"
    return connection.recv()


# ---------------------------------------------------------------------- life cycle


def test_life(start_method: StartMethod) -> None:
    """A process is initial, started, stopped and closed, and says so."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_wait, args=(theirs,)
    )
    kind = type(process).__name__
    head = f"<{kind} name={process.name!r}"
    assert repr(process) == f"{head} parent={os.getpid()} initial>"
    assert not process.is_alive()
    assert process.pid is process.ident is process.exitcode is None
    assert process not in mp_process.active_children()

    process.start()
    assert process.is_alive()
    assert process.exitcode is None
    assert process in mp_process.active_children()
    assert process.pid == process.ident == received(ours)
    assert repr(process) == f"{head} pid={process.pid} parent={os.getpid()} started>"
    process.join(0)
    process.join(-1)
    process.join(0.01)
    assert process.is_alive()
    assert wait([process.sentinel], 0) == []

    ours.send("end")
    assert ended(process) == 0
    assert not process.is_alive()
    assert wait([process.sentinel], 0) == [process.sentinel]
    process.join()
    process.join()
    pid = process.pid
    assert repr(process) == f"{head} pid={pid} parent={os.getpid()} stopped exitcode=0>"
    assert process not in mp_process.active_children()

    process.close()
    process.close()
    assert repr(process) == f"{head} parent={os.getpid()} closed>"
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (None, 0),
        (0, 0),
        (7, 7),
        (True, 1),
        (-1, 255),
        (300, 44),
        (2**40 + 7, 7),
        (2**70, 255),
        (-(2**70), 255),
        ("said to standard error", 1),
        (1.5, 1),
    ],
)
def test_exit_code_is_the_interpreters(code: object, expected: int) -> None:
    """sys.exit means in a child what it means in a program (fork is fastest)."""
    process = get_context("fork").Process(target=targets.exit_with, args=(code,))
    process.start()
    assert ended(process) == expected
    process.close()


@pytest.mark.parametrize("code", [None, 3, "a text"])
@pytest.mark.usefixtures("capfd")
def test_sys_exit(
    start_method: StartMethod, code: object, capfd: pytest.CaptureFixture[str]
) -> None:
    """sys.exit ends a process of any method without a traceback."""
    process = get_context(start_method).Process(target=targets.exit_with, args=(code,))
    process.start()
    assert ended(process) == (0 if code is None else 3 if code == 3 else 1)
    assert process.startup_error is None
    assert capfd.readouterr().err == ("a text\n" if code == "a text" else "")


def test_exit_at_once(start_method: StartMethod) -> None:
    """os._exit is respected."""
    process = get_context(start_method).Process(target=targets.exit_at_once, args=(7,))
    process.start()
    assert ended(process) == 7


@pytest.mark.usefixtures("capfd")
def test_exception(
    start_method: StartMethod, capfd: pytest.CaptureFixture[str]
) -> None:
    """An exception is exit code 1, and a traceback under the name of the process."""
    process = get_context(start_method).Process(
        target=targets.fail, args=("a sad end",), name="the sad one"
    )
    process.start()
    assert ended(process) == 1
    assert process.startup_error is None
    text = capfd.readouterr().err
    assert text.startswith("Process the sad one:\nTraceback")
    assert text.endswith("LookupError: a sad end\n")
    assert text.count("Traceback") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGRTMIN])
def test_signals(start_method: StartMethod, number: signal.Signals) -> None:
    """A signal is a negative exit code, with its name in the repr."""
    process = get_context(start_method).Process(target=targets.die_by, args=(number,))
    process.start()
    assert ended(process) == -number
    assert process.startup_error is None
    assert f" stopped exitcode=-{number.name}>" in repr(process)


@pytest.mark.parametrize("kill", [False, True])
def test_terminate_and_kill(start_method: StartMethod, kill: bool) -> None:
    """terminate is SIGTERM and kill is SIGKILL; both may come twice and late."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_sleep, args=(theirs,), daemon=True
    )
    process.start()
    received(ours)
    end = process.kill if kill else process.terminate
    end()
    end()
    assert ended(process) == (-signal.SIGKILL if kill else -signal.SIGTERM)
    name = "SIGKILL" if kill else "SIGTERM"
    assert repr(process).endswith(f" stopped exitcode=-{name} daemon>")
    end()
    process.close()
    ours.close()
    theirs.close()


def test_run_is_overridden(start_method: StartMethod) -> None:
    """A subclass has its own `run`, and what was set before the base's __init__."""
    ours, theirs = Pipe()
    mp_process.set_start_method(start_method, force=True)
    try:
        process = targets.Subclass(theirs, name="odd")
        process.start()
    finally:
        mp_process.set_start_method(None, force=True)
    assert received(ours) == ("before", "after", "odd", "Subclass")
    assert ended(process) == 5
    process.close()
    ours.close()
    theirs.close()


def test_equality_is_the_users(start_method: StartMethod) -> None:
    """A process class may be unhashable, and equal to all others."""
    mp_process.set_start_method(start_method, force=True)
    try:
        processes = [targets.Odd(target=targets.noop) for _ in range(2)]
        for process in processes:
            process.start()
    finally:
        mp_process.set_start_method(None, force=True)
    assert [ended(process) for process in processes] == [0, 0]
    assert mp_process.active_children() == []


def test_arguments(start_method: StartMethod) -> None:
    """args may be a list, kwargs a mapping or None; both reach the target."""
    ours, theirs = Pipe()
    ctx = get_context(start_method)
    processes = [
        ctx.Process(None, targets.send, None, [theirs, 1, 2]),
        ctx.Process(target=targets.send, args=(theirs, 3), kwargs=None),
        ctx.Process(target=targets.send, args=[], kwargs={"report": theirs}),
    ]
    for process, expected in zip(processes, [(1, 2), (3,), ()], strict=True):
        process.start()
        assert received(ours) == expected
        assert ended(process) == 0
    ours.close()
    theirs.close()


def test_no_target(start_method: StartMethod) -> None:
    """A process without a target ends with 0."""
    process = get_context(start_method).Process()
    process.start()
    assert ended(process) == 0


def test_connections_are_given_away(start_method: StartMethod) -> None:
    """A started process keeps no connections: one ends when the child does."""
    ours, theirs = zip(*(Pipe() for _ in range(4)), strict=True)
    process = get_context(start_method).Process(
        target=targets.noop,
        args=(theirs[0], [theirs[1]]),
        kwargs={"a": theirs[2], "b": {"c": theirs[3]}},
    )
    del theirs
    process.start()
    for connection in ours:
        with pytest.raises(EOFError):
            received(connection)
        connection.close()
    assert ended(process) == 0


@pytest.mark.parametrize("how", ["join", "exitcode", "is_alive", "active", "close"])
def test_arguments_live_as_long_as_the_child(
    how: str, start_method: StartMethod
) -> None:
    """What else was passed is kept here until the process was found to have ended."""
    ours, theirs = Pipe()
    held = [targets.Held(), targets.Held(), targets.Held()]
    gone = [one.gone for one in held]
    process = get_context(start_method).Process(
        target=held[0].work, args=(theirs, held[1]), kwargs={"x": [held[2]]}
    )
    del held
    process.start()
    received(ours)
    assert process.is_alive()
    gc.collect()
    assert all(reference() is not None for reference in gone)
    ours.send("end")
    assert wait([process.sentinel], SECONDS)
    find: dict[str, Callable[[], object]] = {
        "join": lambda: ended(process) == 0,
        "exitcode": lambda: process.exitcode == 0,
        "is_alive": lambda: not process.is_alive(),
        "active": lambda: process not in mp_process.active_children(),
        "close": lambda: process._started("x").poll() == 0,
    }
    deadline = time.monotonic() + SECONDS
    while not find[how]() and time.monotonic() < deadline:
        time.sleep(0.001)  # a moment between the sentinel and the status
    if how == "close":
        process.close()
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3
    ours.close()
    theirs.close()


# ------------------------------------------------------------------- who is who


def test_names(start_method: StartMethod) -> None:
    """A process knows itself and its parent, and grandchildren are numbered."""
    ours, theirs = Pipe()
    ctx = get_context(start_method)
    process = ctx.Process(
        target=targets.grandchild, args=(theirs, start_method), name=None
    )
    kind = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}[start_method]
    number = process.name.removeprefix(f"{kind}Process-")
    assert number.isdecimal()
    process.start()
    known = received(ours)
    assert isinstance(known, dict)
    pid = known["pid"]
    name = f"{kind}Process-{number}:1"
    assert known["name"] == name
    assert known["class"] == f"{kind}Process"
    assert known["ident"] == pid
    assert pid not in (os.getpid(), process.pid)
    assert known["daemon"] is False
    assert known["alive"] is True
    assert known["exitcode"] is None
    assert known["repr"].startswith(f"<{kind}Process name={name!r} parent=")
    assert known["repr"].endswith(" started>")
    assert known["parent name"] == process.name
    assert known["parent pid"] == known["parent ident"] == process.pid
    assert known["parent alive"] is True
    assert known["parent repr"] == (
        f"<ParentProcess name={process.name!r} pid={process.pid} started>"
    )
    assert known["children"] == 0
    ours.send("end")
    assert ended(process) == 0
    ours.close()
    theirs.close()


def test_default_name() -> None:
    """Names are made of the class and a running number, unless one is given."""
    first, second = mp_process.Process(), mp_process.Process()
    kind, _, number = first.name.partition("-")
    assert kind == "Process"
    assert second.name == f"Process-{int(number) + 1}"
    assert mp_process.Process(name="mine").name == "mine"
    first.name = "another"
    assert first.name == "another"


def test_main_process() -> None:
    """The main process has a name, no parent, and cannot be treated as a child."""
    this = mp_process.current_process()
    assert this.name == "MainProcess"
    assert this.pid == os.getpid()
    assert this.is_alive()
    assert this.exitcode is None
    assert not this.daemon
    assert mp_process.parent_process() is None
    assert repr(this) == "<MainProcess name='MainProcess' parent=None started>"
    for call in (this.start, this.join, this.terminate, this.kill, this.interrupt):
        with pytest.raises(AssertionError):
            call()
    this.close()
    assert this.is_alive()


def test_daemon(start_method: StartMethod) -> None:
    """The flag is inherited, settable until the start, and known to the child."""
    ours, theirs = Pipe()
    ctx = get_context(start_method)
    assert not ctx.Process().daemon
    assert ctx.Process(daemon=True).daemon
    process = ctx.Process(target=targets.describe, args=(theirs,))
    process.daemon = True
    process.start()
    with pytest.raises(AssertionError, match="started before"):
        process.daemon = False
    known = received(ours)
    assert isinstance(known, dict)
    assert known["daemon"] is True
    assert repr(process).endswith(" started daemon>")
    assert known["repr"].endswith(" started daemon>")
    ours.send("end")
    assert ended(process) == 0
    ours.close()
    theirs.close()


@pytest.mark.parametrize("how", ["active_children", "is_alive", "start"])
def test_ended_children_are_joined(start_method: StartMethod, how: str) -> None:
    """By active_children, by is_alive, and by the next start."""
    ctx = get_context(start_method)
    first = ctx.Process(target=targets.noop)
    first.start()
    assert wait([first.sentinel], SECONDS)

    def start() -> None:
        process = ctx.Process(target=targets.noop)
        process.start()
        assert ended(process) == 0

    joins = mp_process.active_children if how == "active_children" else first.is_alive
    deadline = time.monotonic() + SECONDS
    # There is a moment between the sentinel and the status.
    while id(first) in here().children and time.monotonic() < deadline:
        start() if how == "start" else joins()
    assert not os.path.exists(f"/proc/{first.pid}")
    assert first.exitcode == 0
    assert mp_process.active_children() == []


# ------------------------------------------------------------ authentication keys


def test_key_of_the_main_process() -> None:
    """It is random, can be set to bytes of any kind, and is for later objects."""
    this = mp_process.current_process()
    key = this.authkey
    assert type(key) is bytes
    assert len(key) >= 32
    program = "import mp_process; print(mp_process.current_process().authkey.hex())"
    others = {scripts.run("-c", program).stdout for _ in range(2)}
    assert len(others) == 2
    before = mp_process.Process()
    assert before.authkey == key
    try:
        this.authkey = bytearray(b"another key")  # type: ignore[assignment]
        assert this.authkey == b"another key"
        assert type(this.authkey) is bytes
        assert mp_process.Process().authkey == b"another key"
        assert before.authkey == key
        for wrong in ("text", 16, None):
            with pytest.raises(TypeError, match="a key is bytes, not a"):
                this.authkey = wrong  # type: ignore[assignment]
        assert this.authkey == b"another key"
    finally:
        this.authkey = key


def test_key_is_inherited(start_method: StartMethod) -> None:
    """Children and grandchildren have it, or the one their object was given."""
    ours, theirs = Pipe()
    ctx = get_context(start_method)
    for key in (None, b"", b"one of its own"):
        process = ctx.Process(target=targets.send_keys, args=(theirs, start_method))
        if key is not None:
            process.authkey = key
        expected = mp_process.current_process().authkey if key is None else key
        assert process.authkey == expected
        process.start()
        assert received(ours) == expected
        assert received(ours) == expected
        assert ended(process) == 0
    ours.close()
    theirs.close()


def test_key_is_in_no_pickle() -> None:
    """Not in a pickle of a process object, nor in a repr."""
    process = mp_process.Process(target=targets.noop)
    process.authkey = b"the secret of it"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(process, protocol)
        assert b"secret" not in data
        assert pickle.loads(data).authkey == b""
    assert "secret" not in repr(process) + repr(vars(process))


# ---------------------------------------------------------------------- interrupt


def test_interrupt(start_method: StartMethod) -> None:
    """It is a KeyboardInterrupt in the child."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(target=targets.catch, args=(theirs,))
    process.start()
    received(ours)
    process.interrupt()
    assert received(ours) == "interrupted"
    assert ended(process) == 7
    process.interrupt()
    ours.close()
    theirs.close()


# ------------------------------------------------------------------------ errors


def test_wrong_arguments() -> None:
    """Mistakes are reported where they are made."""
    with pytest.raises(AssertionError, match="group"):
        mp_process.Process(group=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="a name is a str, not a int"):
        mp_process.Process(name=1)  # type: ignore[call-overload]
    process = mp_process.Process()
    with pytest.raises(TypeError, match="a name is a str, not a bytes"):
        process.name = b"x"  # type: ignore[assignment]


def test_before_the_start() -> None:
    """What needs a started process says so."""
    process = mp_process.Process()
    for call in (process.join, process.terminate, process.kill, process.interrupt):
        with pytest.raises(AssertionError, match="was not started"):
            call()
    with pytest.raises(ValueError, match="was not started"):
        _ = process.sentinel
    process.close()


def test_started_twice(start_method: StartMethod) -> None:
    """A process object is started once, running or not."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_wait, args=(theirs,)
    )
    process.start()
    with pytest.raises(AssertionError, match="started before"):
        process.start()
    ours.send("end")
    assert ended(process) == 0
    with pytest.raises(AssertionError, match="started before"):
        process.start()
    ours.close()
    theirs.close()


def test_after_close(start_method: StartMethod) -> None:
    """A running process cannot be closed, and a closed one says ValueError."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_wait, args=(theirs,)
    )
    process.start()
    with pytest.raises(ValueError, match="is running"):
        process.close()
    ours.send("end")
    assert ended(process) == 0
    process.close()
    calls: list[Callable[[], object]] = [
        process.start,
        process.join,
        process.is_alive,
        process.terminate,
        process.kill,
        process.interrupt,
        lambda: process.exitcode,
        lambda: process.pid,
        lambda: process.sentinel,
        lambda: process.startup_error,
    ]
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()
    assert process.name
    ours.close()
    theirs.close()


def test_treated_by_itself(start_method: StartMethod) -> None:
    """A process cannot start, join or end the object that it is."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.errors_of_self, args=(theirs,)
    )
    process.start()
    assert received(ours) == ["AssertionError"] * 4 + ["ValueError"]
    assert ended(process) == 0
    ours.close()
    theirs.close()


def test_treated_by_another_process(start_method: StartMethod) -> None:
    """Only its creator may start a process, wait for it, end it or ask about it."""
    ctx = get_context(start_method)
    ours, theirs = Pipe()
    fresh = ctx.Process(target=targets.noop)
    running = ctx.Process(target=targets.say_and_wait, args=(theirs,))
    running.start()
    pid = os.fork()
    if pid == 0:
        count = 0
        calls: list[Callable[[], object]] = [
            fresh.start,
            running.start,
            running.join,
            running.is_alive,
            running.terminate,
            running.kill,
            running.interrupt,
            running.close,
            lambda: running.exitcode,
            lambda: running.sentinel,
            lambda: running.startup_error,
        ]
        for call in calls:
            try:
                call()
            except AssertionError as error:
                count += "only the process that created" in str(error)
        count += running.pid is not None and "unknown" in repr(running)
        os._exit(count)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 12
    assert running.is_alive()
    ours.send("end")
    assert ended(running) == 0
    ours.close()
    theirs.close()


def test_daemons_have_no_children(start_method: StartMethod) -> None:
    """start raises in a daemonic process."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.grandchild, args=(theirs, start_method), daemon=True
    )
    process.start()
    error = received(ours)
    assert isinstance(error, AssertionError)
    assert "daemonic processes may not have children" in str(error)
    assert ended(process) == 0
    ours.close()
    theirs.close()


def test_a_daemon_that_is_to_have_children(start_method: StartMethod) -> None:
    """Programs say so in a child, by a name that is not in the manual."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.grandchild_of_a_freed_daemon,
        args=(theirs, start_method),
        daemon=True,
    )
    process.start()
    description = received(ours)
    assert isinstance(description, dict)
    assert description["parent pid"] == process.pid
    ours.send("end")
    assert ended(process) == 0
    ours.close()
    theirs.close()


def test_tools_put_their_own_around_a_child(
    start_method: StartMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those that measure coverage do: they see its target, and its exit code."""
    ours, theirs = Pipe()
    monkeypatch.setattr(BaseProcess, "_bootstrap", BaseProcess._bootstrap)
    if start_method == "fork":
        targets.trace(theirs)
    for code in (0, 3):
        process = get_context(start_method).Process(
            target=targets.Traced(theirs, code), name=f"traced-{code}"
        )
        process.start()
        assert received(ours) == "before"
        assert received(ours) == "target"
        assert received(ours) == f"after {code}"
        assert ended(process) == code
    ours.close()
    theirs.close()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_unpicklable(method: StartMethod) -> None:
    """start names what cannot be pickled, starts nothing, and may be tried again."""

    class Options:
        def __init__(self) -> None:
            self.callback: object = lambda: 0

    options = {"deep": [Options()]}
    ctx = get_context(method)
    process = ctx.Process(target=targets.noop, args=(options,), name="stuck")
    before = targets.open_files()
    with pytest.raises(UnpicklableError, match=r"^args\[0\]\['deep'") as caught:
        process.start()
    assert caught.value.path == "args[0]['deep'][0].callback"
    assert isinstance(caught.value, ProcessError)
    assert targets.open_files() == before
    assert mp_process.active_children() == []
    assert process.pid is None
    assert not process.is_alive()
    assert "initial" in repr(process)
    options.clear()
    process.start()
    assert ended(process) == 0

    with pytest.raises(UnpicklableError, match=r"^args\[1\] is a function"):
        ctx.Process(target=targets.noop, args=(1, lambda: 0)).start()
    with pytest.raises(UnpicklableError, match=r"^kwargs\['key'\] is a function"):
        ctx.Process(target=targets.noop, kwargs={"key": lambda: 0}).start()
    with pytest.raises(UnpicklableError, match=r"^target is a function"):
        ctx.Process(target=lambda: None).start()


@pytest.mark.usefixtures("fresh_server")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_interpreter_is_missing(
    monkeypatch: pytest.MonkeyPatch, method: StartMethod
) -> None:
    """When the interpreter cannot be run, start raises and nothing is left."""
    process = get_context(method).Process(target=targets.noop)
    before = targets.open_files()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises(FileNotFoundError):
            process.start()
    assert targets.open_files() == before
    process.start()
    assert ended(process) == 0


# ----------------------------------------------------------------------- threads


def test_several_threads_join(start_method: StartMethod) -> None:
    """Any number of threads may wait for one process; all see the exit code."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_wait, args=(theirs,)
    )
    process.start()
    codes: list[int | None] = []
    threads = [
        threading.Thread(target=lambda: codes.append(ended(process))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    ours.send("end")
    for thread in threads:
        thread.join(SECONDS)
    assert codes == [0] * 6
    process.close()
    ours.close()
    theirs.close()


@pytest.mark.filterwarnings("ignore:this process has other threads")
def test_several_threads_start(start_method: StartMethod) -> None:
    """Threads may start processes at once; each object is started by one of them."""
    ctx = get_context(start_method)
    contested = ctx.Process(target=targets.exit_with, args=(3,))
    own = [ctx.Process(target=targets.exit_with, args=(n,)) for n in range(4)]
    barrier = threading.Barrier(len(own))
    failures: list[BaseException] = []

    def work(process: BaseProcess) -> None:
        barrier.wait(SECONDS)
        process.start()
        try:
            contested.start()
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(process,)) for process in own]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert len(failures) == 3
    assert [ended(process) for process in own] == [0, 1, 2, 3]
    assert ended(contested) == 3


def test_kill_races_with_join(start_method: StartMethod) -> None:
    """Ending, asking and waiting from several threads agree in the end."""
    ctx = get_context(start_method)
    for _ in range(2 if start_method == "spawn" else 5):
        process = ctx.Process(target=targets.sleep, daemon=True)
        process.start()
        calls = [
            process.kill, process.terminate, process.is_alive, process.join
        ]  # fmt: skip
        errors: list[BaseException] = []

        def work(
            call: Callable[[], object],
            process: BaseProcess = process,
            errors: list[BaseException] = errors,
        ) -> None:
            try:
                while process.exitcode is None:
                    call()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert errors == []
        assert process.exitcode in (-signal.SIGKILL, -signal.SIGTERM)
        process.close()


@pytest.fixture
def own_timer() -> Iterator[None]:
    """ITIMER_REAL for a test; afterwards pytest-timeout has it back."""
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    previous = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)
    signal.setitimer(signal.ITIMER_REAL, left, interval)


@pytest.mark.usefixtures("own_timer")
def test_signal_handler_asks(start_method: StartMethod) -> None:
    """A handler may use a process that the interrupted code is waiting for."""
    process = get_context(start_method).Process(target=targets.sleep, daemon=True)
    process.start()
    seen: list[bool] = []

    def handler(*_: object) -> None:
        seen.append(process.is_alive())
        if len(seen) == 50:
            process.terminate()

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    deadline = time.monotonic() + SECONDS
    while process.exitcode is None and time.monotonic() < deadline:
        process.join(0.0001)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert process.exitcode == -signal.SIGTERM
    assert all(seen[:50])


@pytest.mark.usefixtures("own_timer")
@pytest.mark.filterwarnings(
    # The interpreter swallows what is raised within a finalizer.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_status_survives_an_interrupted_wait(start_method: StartMethod) -> None:
    """An exception out of a signal handler never costs the exit code."""

    class Interrupted(Exception):
        pass

    armed = False

    def handler(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Interrupted

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    for round_ in range(5 if start_method == "spawn" else 25):
        process = get_context(start_method).Process(
            target=targets.exit_with, args=(round_ + 1,)
        )
        process.start()
        deadline = time.monotonic() + SECONDS
        code = None
        while code is None and time.monotonic() < deadline:
            try:
                armed = True
                process.join(SECONDS)
                code = process.exitcode
            except Interrupted:
                pass
            armed = False
        assert process.exitcode == round_ + 1
        assert process.startup_error is None
        process.close()


# ------------------------------------------------------------------- descriptors


def test_starts_leave_no_descriptors(start_method: StartMethod) -> None:
    """Neither closed nor forgotten process objects leave a descriptor."""
    ctx = get_context(start_method)
    warm = ctx.Process(target=targets.noop)
    warm.start()
    assert ended(warm) == 0
    warm.close()
    before = targets.open_files()
    process: BaseProcess | None = None
    for round_ in range(10 if start_method == "spawn" else 100):
        process = ctx.Process(target=targets.noop)
        process.start()
        assert ended(process) == 0
        if round_ % 2:
            process.close()
    process = None
    assert targets.open_files() == before


def test_asking_is_enough(start_method: StartMethod) -> None:
    """A process whose end was seen, if only by `exitcode`, is kept by nobody."""
    ctx = get_context(start_method)
    before = targets.open_files()
    process: BaseProcess | None = ctx.Process(target=targets.noop)
    assert process is not None
    process.start()
    assert wait([process.sentinel], SECONDS)
    while process.exitcode is None:
        time.sleep(0.001)
    process = None
    assert {file for file in targets.open_files() if "pidfd" in file} <= set(before)


@pytest.mark.usefixtures("no_other_layers")
def test_what_a_child_holds(start_method: StartMethod) -> None:
    """A child has the arguments' descriptors and its lifeline, and nobody else's."""
    inherited = os.pipe()
    os.set_inheritable(inherited[1], True)
    ctx = get_context(start_method)
    ours, theirs = Pipe()
    sibling_ours, sibling_theirs = Pipe()
    sibling = ctx.Process(target=targets.say_and_wait, args=(sibling_theirs,))
    sibling.start()
    process = ctx.Process(target=targets.send_open_files, args=(theirs,))
    before = set(targets.open_files())
    process.start()
    answer = received(ours)
    assert isinstance(answer, tuple)
    fd, files = answer
    assert ended(process) == 0
    sibling_ours.send("end")
    assert ended(sibling) == 0
    own = [file for file in files if file not in before or file.split()[0] == str(fd)]
    if start_method == "fork":
        # A copy keeps what the program opened, but nothing that we did.
        lost = {file.partition(" ")[2] for file in before - set(files)}
        assert all(
            link.startswith(("pipe:", "anon_inode:", "socket:")) for link in lost
        )
        assert len(own) <= 2, own
    else:
        kinds = sorted(file.partition(" ")[2].partition(":")[0] for file in own)
        # The connection; the lifeline; and the way to the fork server, if there is one.
        assert kinds.count("pipe") == 1, files
        assert kinds.count("socket") in (1, 2), files
        assert len(kinds) == kinds.count("pipe") + kinds.count("socket"), files
        if start_method == "spawn":
            assert len(files) == len(own), files
    for end in inherited:
        os.close(end)
    for connection in (ours, theirs, sibling_ours, sibling_theirs):
        connection.close()


@pytest.mark.filterwarnings("ignore:this process has other threads")
def test_forks_of_other_threads_hold_nothing(
    start_method: StartMethod, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However starts of several threads fall together, a child gets only its own."""
    ctx = get_context(start_method)
    warm = ctx.Process(target=targets.noop)
    warm.start()
    assert ended(warm) == 0
    warm.close()
    # Make the moments long in which a descriptor exists and nobody knows of it.
    for owner, name in (
        (_lifeline_linux, "pipe"),
        (os, "dup"),
        (_interpreter_posix, "packet_pair"),
        (_forkserver_posix, "packet_pair"),
    ):
        monkeypatch.setattr(owner, name, slow(getattr(owner, name)))
    stop = threading.Event()
    found: list[str] = []
    mine = set(targets.open_files())
    count = 0

    def fork_and_look() -> None:
        nonlocal count
        while not stop.is_set():
            pid = os.fork()
            if pid == 0:
                held = set(targets.open_files()) - mine
                with open(path, "w") as stream:
                    stream.write("\n".join(held))
                os._exit(0)
            os.waitpid(pid, 0)
            with open(path) as stream:
                held = set(stream.read().split("\n"))
            # What this process has closed meanwhile was just being closed.
            time.sleep(0.01)
            found.extend(held & set(targets.open_files()))
            count += 1

    path = tmp_path / "held"
    thread = threading.Thread(target=fork_and_look)
    thread.start()
    deadline = time.monotonic() + SECONDS
    rounds = 0
    while (rounds < 5 or count < 5) and time.monotonic() < deadline:
        process = ctx.Process(target=targets.noop)
        process.start()
        assert ended(process) == 0
        process.close()
        rounds += 1
    stop.set()
    thread.join(SECONDS)
    assert count >= 5
    # A pidfd is no harm: it keeps nobody from noticing anything.
    assert [file for file in found if "[pidfd]" not in file] == []


def slow(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        time.sleep(0.02)
        return result

    return call


@pytest.mark.filterwarnings("ignore:this process has other threads")
def test_starts_and_forks_of_several_threads_do_not_lock_up(
    start_method: StartMethod,
) -> None:
    """Also beside hooks that take a lock before a fork, as those of `logging` do."""
    import logging

    ctx = get_context(start_method)
    stop = threading.Event()

    def fork() -> None:
        while not stop.is_set():
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)

    def log() -> None:
        while not stop.is_set():
            logging.getLogger(f"mp.{time.monotonic_ns() % 100}")

    def start() -> None:
        while not stop.is_set():
            process = ctx.Process(target=targets.noop)
            process.start()
            assert ended(process) == 0
            process.close()

    threads = [threading.Thread(target=work) for work in (fork, log, start, start)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
    finally:
        sys.setswitchinterval(interval)


def test_error_numbers_are_kept() -> None:
    """A failed fork is the OSError that the system gave."""
    process = get_context("fork").Process(target=targets.noop)
    real = os.fork

    def refuse() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    before = targets.open_files()
    os.fork = refuse
    try:
        with pytest.raises(BlockingIOError):
            process.start()
    finally:
        os.fork = real
    assert targets.open_files() == before
    process.start()
    assert ended(process) == 0


def test_arguments_are_pickled_by_registered_reducers(
    start_method: StartMethod,
) -> None:
    register_reducer(targets.Sealed, targets.reduce_sealed)
    ours, theirs = Pipe()
    fd = os.memfd_create("sealed")
    os.write(fd, b"content")
    process = get_context(start_method).Process(
        target=targets.read_sealed, args=(theirs, targets.Sealed(fd))
    )
    process.start()
    unregister_reducer(targets.Sealed)
    assert received(ours) == b"content"
    assert ended(process) == 0
    process.close()
    for end in (ours, theirs):
        end.close()
    os.close(fd)


def test_a_child_knows_the_native_id_of_its_main_thread(
    start_method: StartMethod,
) -> None:
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.send_native_ids, args=(theirs,)
    )
    process.start()
    said, real = ours.recv()
    process.join(30)
    assert said == real
    ours.close()
    theirs.close()
