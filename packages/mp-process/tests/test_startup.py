"""What a child that was not forked is told, and what happens when it cannot start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

from mp_connection import Pipe
from mp_process import current_process, get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_process import _startup
from mp_process._interpreter_posix import start_interpreter, startup_pair

SECONDS = 30


@pytest.mark.usefixtures("capfd", "fresh_server")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_target_is_missing_in_the_child(
    method: StartMethod,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A target whose module does not import there: exit code 1 and one traceback."""
    name = f"mp_process_vanishing_{method}"
    file = tmp_path / f"{name}.py"
    file.write_text("def target(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    target = __import__(name).target
    file.write_text("def target(): pass\nraise LookupError('no longer')\n")
    process = get_context(method).Process(target=target, name="lost")
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 1
    text = capfd.readouterr().err
    assert text.startswith("Process lost could not start:\nTraceback")
    assert text.endswith("LookupError: no longer\n")
    assert text.count("Traceback") == 1
    assert "mp_process/_startup.py" not in text  # it says what is the user's
    assert process.startup_error == text
    assert process.exitcode == 1
    process.close()


@pytest.mark.usefixtures("capfd")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_argument_does_not_unpickle(
    method: StartMethod, capfd: pytest.CaptureFixture[str]
) -> None:
    """An argument that cannot be made there is an exit code and a message as well."""
    process = get_context(method).Process(
        target=targets.noop, args=(targets.Unreadable(),)
    )
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 1
    text = capfd.readouterr().err
    assert text.count("Traceback") == 1
    assert "LookupError: this cannot be unpickled" in text
    assert process.startup_error == text


@pytest.mark.usefixtures("capfd")
@pytest.mark.parametrize("error", [EOFError, BrokenPipeError])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_errors_of_the_user_are_not_taken_for_ours(
    method: StartMethod, error: type[Exception], capfd: pytest.CaptureFixture[str]
) -> None:
    """An EOFError out of a user's class is reported like any other."""
    process = get_context(method).Process(
        target=targets.noop, args=(targets.Ends(error, "of the user"),)
    )
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 1
    assert f"{error.__name__}: of the user" in capfd.readouterr().err


@pytest.mark.usefixtures("capfd")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_long_report(method: StartMethod) -> None:
    """A report longer than the kernel's buffer does not stop the child from ending."""
    process = get_context(method).Process(
        target=targets.noop, args=(targets.Ends(LookupError, "x" * 2_000_000),)
    )
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 1
    error = process.startup_error
    assert error is not None
    assert error.endswith("xxx\n")
    assert 10_000 < len(error) < 100_000


@pytest.mark.parametrize("code", [3, None, "a reason"])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_sys_exit_of_the_main_module(
    method: StartMethod, code: object, tmp_path: Path
) -> None:
    """A main module that leaves while it is imported ends the child like that."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import sys
import mp_process, mp_process_targets
if __name__ != "__main__":
    sys.exit({code!r})
process = mp_process.get_context({method!r}).Process(target=mp_process_targets.noop)
process.start()
process.join({SECONDS})
print(process.exitcode)
print(process.startup_error)
"""
    )
    done = scripts.run(script)
    number = 3 if code == 3 else 0 if code is None else 1
    first, _, second = done.stdout.partition("\n")
    assert first == str(number)
    assert second.endswith(f"ended with exit code {number} during its start-up\n")
    assert done.stderr == ("a reason\n" if code == "a reason" else "")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_parents_state_is_handed_on(
    method: StartMethod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments, search path and directory are the parent's of now."""
    monkeypatch.setattr(sys, "argv", ["program", "--with", "arguments"])
    monkeypatch.syspath_prepend(str(tmp_path / "somewhere"))
    monkeypatch.chdir(tmp_path)
    ours, theirs = Pipe()
    process = get_context(method).Process(target=targets.describe, args=(theirs,))
    process.start()
    assert ours.poll(SECONDS)
    known = ours.recv()
    assert known["argv"] == ["program", "--with", "arguments"]
    assert known["path"] == sys.path
    assert known["directory"] == str(tmp_path)
    ours.send("end")
    process.join(SECONDS)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("entries", [10, 40_000])
def test_any_search_path(
    method: StartMethod, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long one, and one with things in it that importing ignores."""
    extra: list[object] = [f"/nonexistent/{number}" for number in range(entries)]
    monkeypatch.setattr(sys, "path", [*sys.path, None, b"/x", *extra])
    ours, theirs = Pipe()
    process = get_context(method).Process(target=targets.describe, args=(theirs,))
    process.start()
    assert ours.poll(SECONDS)
    entries_: list[object] = list(sys.path)
    assert ours.recv()["path"] == [e for e in entries_ if isinstance(e, str)]
    ours.send("end")
    process.join(SECONDS)
    ours.close()
    theirs.close()


def test_environment_is_that_of_the_start(
    start_method: StartMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also under a fork server that is older, and for its grandchildren."""
    ctx = get_context(start_method)
    monkeypatch.setenv("MP_PROCESS_OLD", "old")
    monkeypatch.setenv("MP_PROCESS_GONE", "gone")
    ours, theirs = Pipe()
    expected: list[tuple[str | None, ...]] = [
        ("old", "gone", None), ("old", "gone", None),
        ("new", None, "ä"), ("new", None, "ä"),
    ]  # fmt: skip
    for number, values in enumerate(expected):
        if number == 2:
            monkeypatch.setenv("MP_PROCESS_OLD", "new")
            monkeypatch.delenv("MP_PROCESS_GONE")
            monkeypatch.setenv("MP_PROCESS_ADDED", "ä")
        process = ctx.Process(
            target=targets.send_environment, args=(theirs, start_method)
        )
        process.start()
        for changed in ("", "changed"):
            assert ours.poll(SECONDS)
            assert ours.recv() == (*values, changed, changed)
        process.join(SECONDS)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_directory_is_gone(
    method: StartMethod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent whose directory was removed can start processes all the same."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    process = get_context(method).Process(target=targets.exit_with, args=(4,))
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 4


def test_options_of_the_interpreter(tmp_path: Path) -> None:
    """A fresh interpreter runs with the options of its parent."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys
import mp_process, mp_connection
def show(c):
    c.send((tuple(sys.flags), sys.warnoptions, sys._xoptions))
if __name__ == "__main__":
    ours, theirs = mp_connection.Pipe()
    process = mp_process.get_context("spawn").Process(target=show, args=(theirs,))
    process.start()
    theirs.close()
    flags, warnoptions, xoptions = ours.recv()
    process.join()
    assert flags == tuple(sys.flags), (flags, sys.flags)
    assert warnoptions == sys.warnoptions, (warnoptions, sys.warnoptions)
    assert xoptions == sys._xoptions, (xoptions, sys._xoptions)
"""
    )
    scripts.run(script)
    scripts.run("-O", "-B", "-W", "error", "-W", "ignore::ImportWarning", script)
    scripts.run("-OO", "-b", "-s", "-X", "utf8", "-X", "dev", "-P", script)


def test_standard_streams_are_closed(tmp_path: Path) -> None:
    """A parent without descriptors 0 to 2 starts processes by every method."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import os, sys
import mp_process, mp_process_targets as targets
if __name__ == "__main__":
    result = os.open({str(tmp_path / "result")!r}, os.O_CREAT | os.O_WRONLY)
    result = os.dup2(result, 20)
    os.closerange(0, 10)
    codes = []
    for method in mp_process.get_all_start_methods():
        ctx = mp_process.get_context(method)
        process = ctx.Process(target=targets.exit_with, args=(5,))
        process.start()
        process.join({SECONDS})
        codes.append(process.exitcode)
    os.write(20, repr(codes).encode())
    os._exit(0)
"""
    )
    scripts.run(script)
    assert (tmp_path / "result").read_text() == "[5, 5, 5]"


def test_users_code_begins_the_traceback() -> None:
    """Frames of ours at the beginning are left out, and only those."""
    with pytest.raises(LookupError) as caught:
        targets.fail("here")
    traceback = caught.value.__traceback__
    assert traceback is not None
    assert _startup._from_users_code(traceback) is traceback
    with pytest.raises(AttributeError) as caught_:
        _startup.Preparation(None, None, None)  # type: ignore[arg-type]
    assert caught_.value.__traceback__ is not None
    assert _startup._from_users_code(caught_.value.__traceback__.tb_next) is None


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_memory_of_an_idle_child(method: StartMethod) -> None:
    """A child that has nothing to do is small."""
    ours, theirs = Pipe()
    process = get_context(method).Process(target=targets.say_and_wait, args=(theirs,))
    process.start()
    assert ours.poll(SECONDS)
    status = Path(f"/proc/{ours.recv()}/status").read_text()
    kilobytes = int(status.partition("VmRSS:")[2].split()[0])
    ours.send("end")
    process.join(SECONDS)
    ours.close()
    theirs.close()
    # The targets' module imports `typing` and `signal`: 3 MiB more than nothing.
    assert kilobytes < 18 * 1024


def test_idle_spawned_child_has_eleven_megabytes(tmp_path: Path) -> None:
    """The mark for a child that imports nothing of its own, without site's share."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, sys, time
import mp_process
if __name__ == "__main__":
    process = mp_process.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.daemon = True
    process.start()
    bare = os.spawnv(os.P_NOWAIT, sys.executable,
        [sys.executable, "-c", "import time; time.sleep(60)"])
    def rss(pid):
        with open("/proc/%d/status" % pid) as file:
            return int(file.read().partition("VmRSS:")[2].split()[0])
    for _ in range(30):
        time.sleep(0.02)
        figures = rss(process.pid), rss(bare)
    print(*figures)
    os.kill(bare, 9); os.waitpid(bare, 0)
"""
    )
    ours, bare = map(int, scripts.run(script).stdout.split())
    assert ours - bare < 4 * 1024, (ours, bare)


class _AsksForTheKey:
    """Pickles; what arrives is the key that the receiving process has by then."""

    def __reduce__(self) -> tuple[object, ...]:
        return _key_now, ()


def _key_now() -> bytes:
    return current_process().authkey


def test_arguments_find_the_key_while_they_are_unpickled(
    start_method: StartMethod,
) -> None:
    """A proxy that is an argument connects to its manager then."""
    ours, theirs = Pipe()
    argument = _key_now() if start_method == "fork" else _AsksForTheKey()
    process = get_context(start_method).Process(target=theirs.send, args=(argument,))
    process.start()
    assert ours.recv(timeout=SECONDS) == current_process().authkey
    process.join(SECONDS)
    ours.close()
    theirs.close()


def test_abandoned_child() -> None:
    """A child whose parent closes the channel early ends by itself."""
    near, far = startup_pair()
    pid = start_interpreter(far.fileno(), "mp_process._startup", "spawned")
    far.close()
    near.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
