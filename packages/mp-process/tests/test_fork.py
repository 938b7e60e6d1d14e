"""What is particular to forked children, and to forks that are not ours."""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
import warnings
import weakref
from pathlib import Path

import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

from mp_connection import Pipe
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_process._descriptor import Descriptor, OwnForkOnly

SECONDS = 30
ctx = get_context("fork")


@pytest.mark.filterwarnings("ignore:this process has other threads")
def test_other_threads() -> None:
    """A child has the thread that forked and no other, and ends by itself."""
    ours, theirs = Pipe()
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    process = ctx.Process(target=targets.count_threads, args=(theirs,))
    process.start()
    assert ours.poll(SECONDS)
    assert ours.recv() == (1, 1)
    process.join(SECONDS)
    assert process.exitcode == 0
    stop.set()
    for thread in threads:
        thread.join(SECONDS)
    ours.close()
    theirs.close()


@pytest.mark.filterwarnings("ignore:this process has other threads")
@pytest.mark.parametrize("known", [False, True])
def test_forked_by_any_thread(known: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """Also by one that `threading` has not started, or learns of later."""
    codes: list[int | None] = []

    def work() -> None:
        if known:
            threading.current_thread()
        process = ctx.Process(target=targets.start_a_thread)
        process.start()
        process.join(SECONDS)
        codes.append(process.exitcode)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(SECONDS)
    # Threads of this kind cannot be waited for.
    done = _thread.allocate_lock()
    done.acquire()

    def foreign() -> None:
        work()
        if known:
            # What the call above has noted is not ended with the thread.
            threading._active.pop(_thread.get_ident(), None)  # type: ignore[attr-defined]
        done.release()

    _thread.start_new_thread(foreign, ())
    assert done.acquire(timeout=SECONDS)
    assert codes == [0, 0]
    assert capfd.readouterr().err == ""


def test_threads_are_waited_for(start_method: StartMethod, tmp_path: Path) -> None:
    """A child ends when its threads have, those of executors among them."""
    process = get_context(start_method).Process(
        target=targets.leave_threads, args=(str(tmp_path / "done"),)
    )
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 3
    assert (tmp_path / "done").read_text() == "ab"


def test_exit_callbacks_are_the_childs_own(
    start_method: StartMethod, tmp_path: Path
) -> None:
    """What a child registers is called at its end; what its parent has is not."""
    path = str(tmp_path / "calls")
    ours = atexit.register(targets.append, path, "parent")
    try:
        process = get_context(start_method).Process(
            target=targets.register_callback, args=(path,)
        )
        process.start()
        process.join(SECONDS)
    finally:
        atexit.unregister(ours)
    assert process.exitcode == 0
    assert Path(path).read_text() == "child"


def test_failing_exit_callback(
    start_method: StartMethod, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One that fails is reported, and keeps neither others nor the exit code."""
    path = str(tmp_path / "calls")
    process = get_context(start_method).Process(
        target=targets.register_failing_callback, args=(path,)
    )
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 6
    assert Path(path).read_text() == "child"
    if start_method == "spawn":  # the others have output and hooks of others
        assert "a failing callback" in capfd.readouterr().err


def test_finalizers(start_method: StartMethod, tmp_path: Path) -> None:
    """A child's are called at its end; those of its parent, or its server, are not."""
    path = str(tmp_path / "calls")
    ours = weakref.finalize(test_finalizers, targets.append, path, "parent")
    try:
        process = get_context(start_method).Process(
            target=targets.finalize, args=(path,)
        )
        process.start()
        process.join(SECONDS)
        assert process.exitcode == 0
        assert Path(path).read_text() == "child"
        assert ours.alive
        assert ours.atexit
    finally:
        ours.detach()


def test_output_is_written_once(start_method: StartMethod, tmp_path: Path) -> None:
    """What the parent has buffered is not written by the child; what it has is."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys
import mp_process
def say(): print("child", end=" "); sys.stderr.write("error")
if __name__ == "__main__":
    print("before", end=" ")
    process = mp_process.get_context(sys.argv[1]).Process(target=say)
    process.start()
    process.join(30)
    print("after")
"""
    )
    done = scripts.run(script, start_method, PYTHONUNBUFFERED="")
    assert done.stderr == "error"
    if start_method == "fork":
        assert done.stdout == "before child after\n"
    else:
        assert sorted(done.stdout.split()) == ["after", "before", "child"]


def test_standard_input(start_method: StartMethod, tmp_path: Path) -> None:
    """It reads as empty in every child, and the parent goes on reading its own."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, sys
import mp_process
def read(depth):
    text = sys.stdin.read() + "".join(os.read(0, 10).decode())
    assert text == "" and sys.stdin.fileno() == 0, text
    if depth == 1: sys.stdin.close()
    if depth < 3: start(depth + 1)
def start(depth):
    process = mp_process.get_context(sys.argv[1]).Process(target=read, args=(depth,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
if __name__ == "__main__":
    print(input())
    start(1)
    print(input())
    start(1)
    print(sys.stdin.read())
"""
    )
    text = "first\nsecond\nthird\n" + "x" * 20_000
    assert scripts.run(script, start_method, stdin=text).stdout == text + "\n"


def test_no_standard_streams(start_method: StartMethod) -> None:
    """A program without them has children without them."""
    code = f"""
import os, sys
import mp_process, mp_process_targets as targets
sys.stdin = sys.stdout = sys.stderr = None
codes = []
for target, args in ((targets.noop, ()), (targets.fail, ("x",)),
                     (targets.exit_with, ("x",))):
    process = mp_process.get_context({start_method!r}).Process(target=target, args=args)
    process.start()
    process.join(30)
    codes.append(process.exitcode)
os._exit(codes == [0, 1, 1])
"""
    done = scripts.run("-c", code, code=1)
    assert done.stdout == ""


def test_foreign_fork(start_method: StartMethod, tmp_path: Path) -> None:
    """A child of os.fork has no children of ours, and leaves them alone at its end."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, sys, time
import mp_process, mp_process_targets as targets
if __name__ == "__main__":
    ctx = mp_process.get_context(sys.argv[1])
    processes = [ctx.Process(target=time.sleep, args=(100,), daemon=daemon)
                 for daemon in (True, False)]
    for process in processes:
        process.start()
    pid = os.fork()
    if pid == 0:
        assert mp_process.active_children() == []
        assert mp_process.current_process().pid == os.getpid()
        assert mp_process.parent_process() is None
        own = ctx.Process(target=targets.exit_with, args=(3,))
        own.start()
        own.join(30)
        assert own.exitcode == 3, own
        sys.exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    time.sleep(0.05)
    assert mp_process.active_children() == processes
    assert all(process.is_alive() for process in processes)
    for process in processes:
        process.kill()
        process.join(30)
        assert process.exitcode == -9
    print("fine")
"""
    )
    assert scripts.run(script, start_method).stdout == "fine\n"


def test_foreign_fork_of_a_child(start_method: StartMethod) -> None:
    """There `parent_process` is still that of the process which it is a copy of."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.fork_and_ask, args=(theirs,)
    )
    process.start()
    assert ours.poll(SECONDS)
    assert ours.recv() == (os.getpid(), True)
    process.join(SECONDS)
    assert process.exitcode == 0
    ours.close()
    theirs.close()


def test_child_cannot_become_a_second_parent(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever is raised in a child, and wherever: it ends."""
    from mp_process import _bootstrap

    for error in (KeyboardInterrupt, SystemExit, MemoryError):
        for step in ("run", "replace_stdin", "finish", "report", "flush"):
            if step == "flush" and error is not KeyboardInterrupt:
                continue
            with monkeypatch.context() as patch:
                parent = os.getpid()

                def explode(
                    *_: object, error: type[BaseException] = error, pid: int = parent
                ) -> None:
                    if os.getpid() != pid:
                        raise error

                patch.setattr(_bootstrap, step, explode)
                process = ctx.Process(target=targets.fail, args=("x",))
                process.start()
                assert os.getpid() == parent
                process.join(SECONDS)
                assert process.exitcode in (0, 1)
    capfd.readouterr()


def test_warning_of_other_threads(tmp_path: Path) -> None:
    """A fork beside other threads warns once, by our own words, and works."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, sys, threading, time, unittest, warnings
import mp_process, mp_process_targets as targets
def start(method="fork"):
    process = mp_process.get_context(method).Process(target=targets.exit_with,
                                                     args=(3,))
    try:
        process.start()
    except DeprecationWarning as error:
        assert "initial" in repr(process)
        assert mp_process.active_children() == []
        return str(error)
    process.join(30)
    assert process.exitcode == 3
if __name__ == "__main__":
    start()
    stop = threading.Event()
    for name in ("the first", "the second"):
        threading.Thread(target=stop.wait, name=name, daemon=True).start()
    case = unittest.TestCase()
    with case.assertWarns(DeprecationWarning):
        start()
    for action in ("always", "error"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            text = start()
            assert start("spawn") is None
            assert start("forkserver") is None
        if action == "error":
            assert caught == [], caught
        else:
            (warning,) = caught
            assert warning.category is DeprecationWarning, warning
            assert warning.filename == __file__, warning
            text = str(warning.message)
        assert text.startswith("this process has other threads (the first, the sec")
    for _ in range(7):
        threading.Thread(target=stop.wait, daemon=True).start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ", 4 more)" in start()
    if sys.version_info >= (3, 12):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if (pid := os.fork()) == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        assert len(caught) == 1
    stop.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread(): thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert start() is None
"""
    )
    ignored = ("-W", "ignore:this process has:DeprecationWarning")
    for options in (ignored, ("-W", "error", *ignored), ("-X", "dev", *ignored)):
        assert scripts.run(*options, script).stderr == ""


def test_layers_may_forgo_the_warning() -> None:
    """Those that notice a child which hangs; one that forked itself has no threads."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process = ctx.Process(target=fork_again)
        process.warns_of_threads = False
        process.start()
        process.join(SECONDS)
    assert process.exitcode == 0
    stop.set()
    thread.join(SECONDS)


def fork_again() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process = ctx.Process(target=targets.exit_with, args=(3,))
        process.start()
    process.join(SECONDS)
    assert process.exitcode == 3


def test_out_of_descriptors(start_method: StartMethod, tmp_path: Path) -> None:
    """Whichever descriptor is the one too many: OSError, and nothing is left."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import gc, os, resource, sys, time
from pathlib import Path
import mp_process, mp_process_targets as targets
from mp_process._forkserver_posix import fork_server

def files(): return sorted(targets.open_files())

def children():
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in pids}

def start():
    process = ctx.Process(target=targets.exit_with, args=(3,))
    try:
        process.start()
    except OSError as error:
        assert error.errno == 24, error
        assert process.pid is None and "initial" in repr(process)
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    process.join(30)
    assert process.exitcode is not None
    process.close()
    return True

if __name__ == "__main__":
    ctx = mp_process.get_context(sys.argv[1])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    fresh = len(sys.argv) > 2  # begin without a server each time
    assert start()
    if fresh:
        fork_server().stop()
    failed = succeeded = 0
    server = fork_server().pid
    before = files(), children()
    for spare in range(40):
        used = {0, 1, 2, *(int(file.split()[0]) for file in targets.open_files())}
        limit = 3
        while len([fd for fd in range(limit) if fd not in used]) < spare:
            limit += 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limits[1]))
        done = start()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        failed += not done
        succeeded += done
        if fresh:
            fork_server().stop()
        gc.collect()
        deadline = time.monotonic() + 10
        while (files(), children()) != before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (files(), children()) == before, (spare, files(), children(), before)
        if succeeded == 2:
            break
    assert fork_server().pid == server
    print(failed, succeeded)
"""
    )
    failed, succeeded = scripts.run(script, start_method).stdout.split()
    assert int(failed) >= 2
    assert int(succeeded) == 2
    if start_method == "forkserver":
        failed, succeeded = scripts.run(script, start_method, "fresh").stdout.split()
        assert int(failed) >= 3
        assert int(succeeded) == 2


def test_interrupted_program(start_method: StartMethod, tmp_path: Path) -> None:
    """Ctrl-C reaches the parent and its children; all of them end, and are reaped."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, signal, sys, time
import mp_connection, mp_process
def work(ready):
    ready.send(os.getpid())
    for _ in range(1000):  # a signal just before a sleep does not cut it short
        time.sleep(0.1)
if __name__ == "__main__":
    os.setsid()
    ctx = mp_process.get_context(sys.argv[1])
    begun, ready = mp_connection.Pipe(False)
    processes = [ctx.Process(target=work, args=(ready,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        print(begun.recv(), flush=True)
    try:
        os.killpg(0, signal.SIGINT)
        for process in processes:
            process.join(30)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    for process in processes:
        process.join(30)
    print([process.exitcode for process in processes])
"""
    )
    done = scripts.run(script, start_method)
    *pids, interrupted, codes = done.stdout.splitlines()
    assert interrupted == "interrupted"
    assert codes == "[1, 1]"
    assert done.stderr == ""
    assert scripts.wait_for_end(list(map(int, pids)), 0) == []


def test_signal_mask_and_handlers_are_pythons() -> None:
    """A forked child has the handlers of its parent, as a copy has."""
    previous = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))
    try:
        process = ctx.Process(target=targets.signal_itself, args=(signal.SIGUSR1,))
        process.start()
        process.join(SECONDS)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert process.exitcode == 9


def test_forks_do_not_delay_other_starts(tmp_path: Path) -> None:
    """A process forked while another thread starts an interpreter delays nobody.

    It would, if it held the pipe by which `subprocess` learns that all is well.
    """
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, subprocess, threading, time
import mp_process, mp_process_targets as targets
real = os.pipe
def slow():
    ends = real()
    if len(pids) == 1: time.sleep(0.2)
    return ends
pids = []
def fork():
    time.sleep(0.1)
    pids.append(os.fork())
    if not pids[-1]:
        time.sleep(60)
        os._exit(0)
if __name__ == "__main__":
    ctx = mp_process.get_context("spawn")
    warm = ctx.Process(target=targets.noop)
    warm.start()
    warm.join()
    pids.append(0)
    os.pipe = slow
    thread = threading.Thread(target=fork)
    thread.start()
    process = ctx.Process(target=targets.noop)
    begun = time.monotonic()
    process.start()
    print(time.monotonic() - begun)
    process.join()
    thread.join()
    os.kill(pids[1], 9)
    os.waitpid(pids[1], 0)
"""
    )
    assert float(scripts.run(script).stdout) < 10


def test_ends_for_ones_own_fork() -> None:
    """A descriptor for a thread's own fork is closed in those of other threads."""
    descriptor = Descriptor(os.open(os.devnull, os.O_RDONLY))
    guard = OwnForkOnly(descriptor)
    codes = []

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(descriptor.fileno() == -1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        fork()
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join(SECONDS)
        del guard
        fork()
    assert codes == [0, 1, 0]
    descriptor.close()


def test_daemonic_children_import_nothing() -> None:
    """What a forked daemonic child needs is imported by its parent, once."""
    code = """
import sys
import mp_process
sys.modules.pop("fcntl", None)
def look(): sys.exit(len(set(sys.modules) - before))
process = mp_process.get_context("fork").Process(target=print)
process.start()
process.join(30)
for _ in range(2):
    before = set(sys.modules) | {"fcntl"}
    process = mp_process.get_context("fork").Process(target=look, daemon=True)
    process.start()
    process.join(30)
    print(process.exitcode, "fcntl" in sys.modules)
"""
    assert scripts.run("-c", code).stdout == "\n0 True\n0 True\n"
