"""Children and the end of their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

import mp_connection
import mp_process
from mp_connection import Pipe
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

SECONDS = 30

#: A parent with children of every kind.  Each child says its number when it is busy.
PROGRAM = """
import ctypes, os, signal, sys, time
import mp_process

def say(text):
    os.write(1, (text + "\\n").encode())

def sleeps():
    say(f"sleeps {os.getpid()}")
    time.sleep(100)

def ignores():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeps()

def spins():
    # A function of a PyDLL is called with the GIL held: no Python code runs.
    library = ctypes.PyDLL(None)
    say(f"spins {os.getpid()}")
    library.sleep(100)

def calculates():
    say(f"calculates {os.getpid()}")
    3 ** 10 ** 8

def parent_of_daemon(method):
    start(method, sleeps, daemon=True)
    say(f"middle {os.getpid()}")
    time.sleep(100)

def lives_on(file):
    parent = mp_process.parent_process()
    assert parent.is_alive()
    parent.join(0.01)
    assert parent.is_alive()
    parent.join(-1)
    say(f"lives {os.getpid()}")
    begun = time.monotonic()
    parent.join(30)
    assert time.monotonic() - begun < 20
    alive = parent.is_alive()
    parent.join()
    with open(file + ".new", "w") as stream:
        print(parent.pid, alive, "stopped" in repr(parent), file=stream)
    os.rename(file + ".new", file)

class Endless:
    def __reduce__(self):
        return spins, ()

def as_nobody():
    as_user(65534)
    spins()

def start(method, target, *args, daemon, **more):
    ctx = mp_process.get_context(method)
    process = ctx.Process(target=target, args=args, daemon=daemon, **more)
    process.start()
    return process

def as_user(number):
    if number:
        os.setgid(number); os.setuid(number)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A running parent, killed afterwards with all it has named."""
    program = Program(tmp_path)
    yield program
    program.clean()


class Program:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.pids: dict[str, list[int]] = {}
        self._process: subprocess.Popen[str] | None = None

    def begin(
        self,
        main: str,
        count: int,
        python: str = sys.executable,
        path: str = scripts.PATH,
    ) -> None:
        """Run *main* until *count* children have said who they are."""
        script = self.path / "program.py"
        script.write_text(f"{PROGRAM}\nif __name__ == '__main__':\n{main}\n")
        script.chmod(0o644)
        self._process = subprocess.Popen(
            [python, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=scripts.environment(PYTHONPATH=path),
        )
        assert self._process.stdout is not None
        for _ in range(count):
            # pytest-timeout is the deadline: the line comes, or end-of-file.
            name, pid = self._process.stdout.readline().split()
            self.pids.setdefault(name, []).append(int(pid))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)

    def end(self) -> int:
        """Let it come to its end; its exit status."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(SECONDS)

    def all_pids(self) -> list[int]:
        return [pid for pids in self.pids.values() for pid in pids]

    def clean(self) -> None:
        if self._process is not None:
            self.kill()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                stream.close()
        for pid in self.all_pids():
            if scripts.runs(pid):
                os.kill(pid, signal.SIGKILL)


def test_daemons_end_with_their_parent(
    start_method: StartMethod, program: Program
) -> None:
    """SIGKILL of the parent: within a second none is left, whatever it is doing."""
    program.begin(
        f"""
    for target in (sleeps, ignores, spins, calculates):
        start({start_method!r}, target, daemon=True)
    time.sleep(100)
""",
        4,
    )
    program.kill()
    assert scripts.wait_for_end(program.all_pids(), 1.0) == []


def test_who_asks_ends_with_its_parent(
    start_method: StartMethod, program: Program
) -> None:
    """A process that is not daemonic may ask for it, and have children itself."""
    program.begin(
        f"""
    start({start_method!r}, spins, daemon=False, die_with_parent=True)
    start({start_method!r}, parent_of_daemon, {start_method!r},
          daemon=False, die_with_parent=True)
    time.sleep(100)
""",
        3,
    )
    program.kill()
    assert scripts.wait_for_end(program.all_pids(), 1.5) == []


def test_who_asks_is_waited_for(program: Program) -> None:
    """When its parent ends in order, it is joined like others."""
    result = program.path / "result"
    program.begin(
        f"""
    def wait(file):
        say(f"waits {{os.getpid()}}")
        time.sleep(0.3)
        with open(file, "w") as stream: stream.write("done")
    start("fork", wait, {str(result)!r}, daemon=False, die_with_parent=True)
    sys.stdin.read()
""",
        1,
    )
    assert program.end() == 0
    assert result.read_text() == "done"


def test_daemons_of_children_end_too(
    start_method: StartMethod, program: Program
) -> None:
    """A grandchild that is daemonic ends with its own parent, not with the main one."""
    program.begin(
        f"""
    start({start_method!r}, parent_of_daemon, {start_method!r}, daemon=False)
    time.sleep(100)
""",
        2,
    )
    (middle,), (leaf,) = program.pids["middle"], program.pids["sleeps"]
    program.kill()
    time.sleep(0.2)
    assert scripts.runs(middle)
    assert scripts.runs(leaf)
    os.kill(middle, signal.SIGKILL)
    assert scripts.wait_for_end([leaf], 1.0) == []


@pytest.mark.parametrize("sibling", ["fork", "foreign"])
def test_siblings_keep_nobody_alive(
    sibling: str, start_method: StartMethod, program: Program
) -> None:
    """A forked sibling that lives on does not hold the lifelines of the others."""
    started = (
        'start("fork", sleeps, daemon=False)'
        if sibling == "fork"
        else "if os.fork() == 0: sleeps()"
    )
    program.begin(
        f"""
    start({start_method!r}, spins, daemon=True)
    {started}
    time.sleep(100)
""",
        2,
    )
    program.kill()
    assert scripts.wait_for_end(program.pids["spins"], 1.0) == []
    assert all(map(scripts.runs, program.pids["sleeps"]))


def test_others_live_on(start_method: StartMethod, program: Program) -> None:
    """A child that is not daemonic survives, and sees that its parent is gone."""
    result = program.path / "result"
    program.begin(
        f"""
    start({start_method!r}, lives_on, {str(result)!r}, daemon=False)
    time.sleep(100)
""",
        1,
    )
    pid = program.pid
    program.kill()
    assert scripts.wait_for_end(program.pids["lives"], SECONDS) == []
    assert result.read_text() == f"{pid} False True\n"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_daemons_end_while_they_start(method: StartMethod, program: Program) -> None:
    """A parent killed while its daemonic child unpickles what never ends."""
    program.begin(
        f"""
    start({method!r}, print, Endless(), daemon=True)
    time.sleep(100)
""",
        1,
    )
    program.kill()
    assert scripts.wait_for_end(program.pids["spins"], 1.0) == []


def test_normal_end(start_method: StartMethod, program: Program) -> None:
    """At the end daemonic children are ended, stubborn ones too; others joined."""
    result = program.path / "result"
    program.begin(
        f"""
    import mp_process._here
    mp_process._here._GRACE_SECONDS = 0.3
    def wait(file):
        say(f"waits {{os.getpid()}}")
        time.sleep(0.5)
        with open(file, "w") as stream: stream.write("done")
    globals()["wait"] = wait
    for target in (sleeps, ignores):
        start({start_method!r}, target, daemon=True)
    start("fork", wait, {str(result)!r}, daemon=False)
    sys.stdin.read()
""",
        3,
    )
    assert program.end() == 0
    # All of them were waited for.
    assert result.read_text() == "done"
    assert scripts.wait_for_end(program.all_pids(), 0) == []


def test_the_end_of_a_thread_is_not_that_of_the_parent(
    start_method: StartMethod,
) -> None:
    """A daemonic child lives on when the thread that has started it ends."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_wait, args=(theirs,), daemon=True
    )
    process.warns_of_threads = False
    tasks = set(os.listdir("/proc/self/task"))
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join(30)
    while set(os.listdir("/proc/self/task")) - tasks:
        time.sleep(0.001)  # the kernel's end of it comes later
    assert ours.poll(30)
    assert ours.recv() == process.pid
    ours.send("end")
    process.join(30)
    assert process.exitcode == 0
    ours.close()
    theirs.close()


def test_grace_is_seconds() -> None:
    """A daemonic child that ignores SIGTERM delays its parent for no more than that."""
    from mp_process import _here

    assert _here._GRACE_SECONDS <= 3


#: Just the packages: another interpreter has a library of its own.
OURS = os.pathsep.join(
    str(Path(module.__file__ or "").parents[1])
    for module in (mp_process, mp_connection)
)


def interpreter_for_nobody() -> str | None:
    """One that user nobody may run: that of root is often where only root may look."""
    for python in (sys.executable, "/usr/bin/python3"):
        code = (
            "import os, sys\n"
            "assert sys.version_info >= (3, 11)\n"
            "import mp_process, ctypes\n"
        )
        try:
            done = subprocess.run(
                [python, "-c", code],
                env=scripts.environment(PYTHONPATH=OURS),
                user=65534,
                group=65534,
                extra_groups=[],
                capture_output=True,
                timeout=SECONDS,
                check=False,
                cwd="/",
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_as_nobody(start_method: StartMethod, program: Program) -> None:
    """None of it needs a privilege."""
    python = interpreter_for_nobody() or (
        sys.executable if start_method == "fork" else None
    )
    if python is None:
        pytest.skip("nobody may not run this interpreter")
    for path in (program.path, *program.path.parents):
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o055)
    program.begin(
        f"""
    if {start_method!r} == "fork":
        # What is imported late may be where nobody can read.
        start("fork", os.getpid, daemon=True).join()
    as_user(65534)
    for target in (sleeps, spins):
        start({start_method!r}, target, daemon=True)
    time.sleep(100)
""",
        2,
        python,
        OURS,
    )
    for pid in program.all_pids():
        assert os.stat(f"/proc/{pid}").st_uid in (65534, 0)
        status = Path(f"/proc/{pid}/status").read_text()
        assert status.partition("Uid:")[2].split()[0] == "65534"
    program.kill()
    assert scripts.wait_for_end(program.all_pids(), 1.0) == []


def test_child_that_becomes_nobody(start_method: StartMethod, program: Program) -> None:
    """A child that has dropped its privileges is still ended."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    program.begin(
        f"""
    start({start_method!r}, as_nobody, daemon=True)
    time.sleep(100)
""",
        1,
    )
    program.kill()
    assert scripts.wait_for_end(program.all_pids(), 1.0) == []
