"""The register of names, and the tracker that unlinks what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mp_sharedctypes_targets as targets
import pytest

assert sys.platform == "linux"

from mp_sharedctypes import _register_linux, _tracker_linux as tracker
from mp_sharedctypes._register_linux import Register

SHM = Path("/dev/shm")
PREFIX = f"mp-test-{os.getpid()}-"

BEGIN = f"""
import sys; sys.path[:] = {sys.path!r}
import os, signal
from mp_sharedctypes.shared_memory import SharedMemory
from mp_sharedctypes import _register_linux as registers
PREFIX = {PREFIX!r}
"""


def run(code: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run another program to its end; its output ends with it, tracker or not."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        capture_output=True,
        text=True,
        timeout=targets.SECONDS,
        check=check,
    )


def names() -> list[str]:
    return sorted(path.name for path in SHM.glob(PREFIX + "*"))


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + targets.SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def trackers() -> dict[int, bytes]:
    """Those that run, and what they hold."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if tracker.__file__.encode() in path.read_bytes():
                found[int(path.parent.name)] = path.read_bytes()
        except OSError:
            pass
    return found


@pytest.fixture(autouse=True)
def no_names() -> Iterator[None]:
    """Whatever the test does, no name stays, and no tracker of a program that ended."""
    before = trackers().keys()
    yield
    assert eventually(lambda: names() == [])
    if None in _register_linux._registers:
        # Ours lives as long as this process.
        own = _register_linux.register().has_tracker()
        assert eventually(lambda: len(trackers().keys() - before) <= own)


def test_what_a_killed_process_left_is_unlinked() -> None:
    done = run(
        "SharedMemory(PREFIX + 'a', create=True, size=10)\n"
        "SharedMemory(create=True, size=10).name\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == ""
    assert eventually(lambda: names() == [])


def test_the_whole_group_can_be_killed() -> None:
    """The tracker is in a session of its own."""
    code = """
block = SharedMemory(PREFIX + 'a', create=True, size=10)
pid = os.fork()
print(os.getpid(), flush=True)
os.read(0, 1) if pid else signal.pause()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        assert names() == [PREFIX + "a"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for pid in trackers():
                os.kill(pid, number)
        os.killpg(process.pid, signal.SIGKILL)
    assert eventually(lambda: names() == [])


def test_a_name_lives_as_long_as_one_of_the_family() -> None:
    """A child that its parent does not wait for, and that closes what it inherited."""
    code = """
import time
ready, go = os.pipe(), os.pipe()
block = SharedMemory(PREFIX + 'a', create=True, size=10)
if os.fork() == 0:
    os.close(go[1])
    os.write(ready[1], b'1')
    os.read(go[0], 1)
    attached = SharedMemory(PREFIX + 'a')
    attached.close()
    print('attached', flush=True)
    for fd in os.listdir('/proc/self/fd'):
        try:
            if int(fd) > 2:
                os.close(int(fd))
        except OSError:
            pass
    print(registers.register()._table[0], os.path.exists('/dev/shm/' + PREFIX + 'a'))
    os.write(1, b'still\\n')
    sys.stdout.flush()
    os._exit(0)
os.read(ready[0], 1)
os._exit(0)
"""
    done = run(code)
    assert done.stdout.split() == ["attached", "1", "True", "still"]
    assert eventually(lambda: names() == [])


def test_what_was_unlinked_and_made_again_by_others_is_left_alone() -> None:
    """Never what another process owns."""
    mine = SHM / (PREFIX + "a")
    done = run(
        "SharedMemory(PREFIX + 'a', create=True, size=10)\n"
        "os.unlink('/dev/shm/' + PREFIX + 'a')\n"
        "open('/dev/shm/' + PREFIX + 'a', 'w').close()\n"
        "SharedMemory(PREFIX + 'b', create=True, size=10)\n"
        "print(registers.register().names())"
    )
    assert "b" in done.stdout
    assert eventually(lambda: names() == [mine.name])
    mine.unlink()


def test_attaching_makes_no_owner() -> None:
    (SHM / (PREFIX + "a")).write_bytes(b"x" * 10)
    done = run("print(SharedMemory(PREFIX + 'a').buf[0], registers._registers)")
    assert done.stdout == "120 {}\n"
    assert names() == [PREFIX + "a"]
    (SHM / (PREFIX + "a")).unlink()


def test_a_tracker_is_there_only_for_names() -> None:
    code = """
block = SharedMemory(create=True, size=10)
block.buf[0] = 1
pid = os.fork()
if pid == 0: os._exit(block.buf[0])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(registers.register().has_tracker())
SharedMemory(PREFIX + 'a', create=True, size=10, track=False).unlink()
print(registers.register().has_tracker())
block.name
print(registers.register().has_tracker())
try: os.waitpid(-1, os.WNOHANG)
except ChildProcessError: print("nobody's child")
"""
    done = run(code)
    assert done.stdout.split("\n")[:5] == [
        "1", "False", "False", "True", "nobody's child",
    ]  # fmt: skip


def test_a_killed_tracker_is_replaced_and_forgets_nothing() -> None:
    code = """
SharedMemory(PREFIX + 'a', create=True, size=10)
import struct, fcntl
def who():
    answer = fcntl.fcntl(registers.register().fd, fcntl.F_GETLK, registers._QUERY)
    return struct.unpack('hhqqi0q', answer)[4]
first = who()
os.kill(first, signal.SIGKILL)
while registers.register().has_tracker(): pass
SharedMemory(PREFIX + 'b', create=True, size=10)
print(who() not in (0, first), registers.register().has_tracker())
"""
    assert run(code).stdout == "True True\n"
    assert eventually(lambda: names() == [])


@pytest.mark.parametrize("handling", ["SIG_IGN", "SIG_DFL", "lambda *a: reap()"])
def test_the_tracker_starts_whoever_waits_for_children(handling: str) -> None:
    code = f"""
def reap():
    try: os.waitpid(-1, os.WNOHANG)
    except ChildProcessError: pass
from signal import SIG_IGN, SIG_DFL
signal.signal(signal.SIGCHLD, {handling})
SharedMemory(PREFIX + 'a', create=True, size=10)
print(registers.register().has_tracker())
"""
    assert run(code).stdout == "True\n"


def test_the_tracker_of_a_frozen_program_is_forked() -> None:
    code = """
sys.frozen = True
sys.executable = '/nowhere'
SharedMemory(PREFIX + 'a', create=True, size=10)
print(registers.register().has_tracker())
"""
    done = run(code)
    assert done.stdout == "True\n"
    assert eventually(lambda: names() == [])


def test_without_memfd() -> None:
    """As in a sandbox or with an old C library: the table is a file."""
    code = """
def refuse(*args): raise PermissionError("not here")
os.memfd_create = refuse
SharedMemory(PREFIX + 'a', create=True, size=10)
print(registers.register().has_tracker())
"""
    assert run(code).stdout == "True\n"
    assert eventually(lambda: names() == [])
    assert not list(SHM.glob("mp-names-*"))


def test_a_tracker_that_does_not_start_is_an_error() -> None:
    code = """
sys.executable = '/bin/false'
for _ in range(2):
    try: SharedMemory(PREFIX + 'a', create=True, size=10)
    except OSError as error: print(error.strerror)
print(os.path.exists('/dev/shm/' + PREFIX + 'a'), registers.register().names())
"""
    assert run(code).stdout == (
        "the tracker of shared memory could not be started: it ended with exit code 1\n"
        * 2
        + "False []\n"
    )


# Kills itself at the n-th line of ours that is about to run within a block.
AT_LINE = """
class killed_at:
    def __init__(self, n, *modules):
        self.left = n
    def __enter__(self):
        sys.settrace(self.trace)
        return self
    def __exit__(self, *ignored):
        sys.settrace(None)
    def trace(self, frame, event, argument):
        if 'mp_sharedctypes' not in frame.f_code.co_filename:
            return None
        if event == 'line':
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace
def in_child(function, n):
    'Whether it was killed.'
    pid = os.fork()
    if pid == 0:
        try:
            with killed_at(n):
                function(n)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -9), status
    return status != 0
"""


@pytest.mark.parametrize("nameless", [True, False])
def test_killed_at_each_step_of_a_life(nameless: bool) -> None:
    """Creating, naming, attaching, unlinking, closing: no name is left, ever."""
    code = (
        AT_LINE
        + ("" if nameless else "registers.files.create_nameless = lambda size: None\n")
        + """
def life(n):
    name = f'{PREFIX}{n}'
    block = SharedMemory(name, create=True, size=100)
    other = SharedMemory(name)
    other.buf[0] = block.buf[0]
    unnamed = SharedMemory(create=True, size=100)
    unnamed.name
    other.close()
    block.unlink()
    block.close()
    unnamed.unlink()
SharedMemory(create=True, size=1).name  # there is a tracker
n = 0
while in_child(life, n):
    n += 1
print(n)
# The register works on, whoever was killed within it.
last = SharedMemory(PREFIX + 'last', create=True, size=10)
last.unlink()
"""
    )
    assert int(run(code).stdout) > 50
    assert eventually(lambda: names() == [])
    assert not list(SHM.glob("mp-new-*"))


def test_killed_at_each_step_of_the_first_name() -> None:
    """When there is no register yet, and no tracker."""
    code = (
        AT_LINE
        + """
def first(n):
    SharedMemory(f'{PREFIX}{n}', create=True, size=100)
n = 0
def anew(n):
    sys.settrace(None)
    old = registers._registers.pop(None)
    old.close()
    with killed_at(n):
        first(n)
while in_child(anew, n * 2):
    n += 1
print(n)
"""
    )
    assert int(run(code).stdout) > 10
    assert eventually(lambda: names() == [])


# ----------------------------------------------------------------------- the table


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """A register without a tracker."""
    monkeypatch.setattr(Register, "has_tracker", lambda self: True)
    made = Register()
    yield made
    made.close()
    del made._lock, made  # or its memory would live as long as this fixture


def test_entries(table: Register) -> None:
    first = table.enter("a", 5)
    second = table.enter("b" * 255, 2**64 - 1)
    assert table.names() == ["a", "b" * 255]
    table.strike_out(first, "b", 5)  # of another name, of another inode: stays
    table.strike_out(first, "a", 6)
    assert table.names() == ["a", "b" * 255]
    table.strike_out(first, "a", 5)
    table.strike_out(first, "a", 5)
    assert table.enter("c", 7) == first
    table.strike_out(-1, "b" * 255, 2**64 - 1)
    table.strike_out(-1, "nobody", 1)
    assert table.names() == ["c"]
    assert second != first
    with pytest.raises(OSError, match="too long"):
        table.enter("x" * 256, 1)


def test_a_full_table_forgets_names_that_are_gone(
    table: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ["n1", "n3"]
    monkeypatch.setattr(tracker, "CAPACITY", 4)
    monkeypatch.setattr(tracker, "is_there", lambda name, inode: name in kept)
    for number in range(4):
        table.enter(f"n{number}", 1)
    table.enter("n4", 1)
    assert sorted(table.names()) == ["n1", "n3", "n4"]
    kept += ["n4", "n5"]
    table.enter("n5", 1)
    with pytest.raises(OSError, match="4 blocks of shared memory have names"):
        table.enter("n6", 1)


def test_a_holder_that_was_killed_does_not_hold_the_table(table: Register) -> None:
    pid = os.fork()
    if pid == 0:
        table._lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    index = table.enter("a", 5)
    table.strike_out(index, "a", 5)
    assert table.names() == []


def test_a_sweep_takes_what_is_ours(table: Register) -> None:
    for name in ("a", "b", "c"):
        (SHM / (PREFIX + name)).touch()
    inode = (SHM / (PREFIX + "a")).stat().st_ino
    table.enter(PREFIX + "a", inode)
    table.enter(PREFIX + "b", inode)  # which it is not
    table.enter(PREFIX + "c", tracker.OURS)
    table.enter(PREFIX + "d", 5)
    tracker.sweep(table.fd)
    assert names() == [PREFIX + "b"]
    (SHM / (PREFIX + "b")).unlink()
