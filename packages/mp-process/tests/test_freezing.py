"""Other interpreters for children, and programs frozen into one executable."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

import mp_process
from mp_process import get_context, get_executable, set_executable
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_process._here import here

SECONDS = 30


def wrapper(path: Path, command: str) -> Path:
    """An executable that notes its call, and runs the command."""
    path.write_text(f'#!/bin/sh\necho call >> "{path}.calls"\nexec {command} "$@"\n')
    path.chmod(0o755)
    return path


def calls(path: Path) -> int:
    file = Path(f"{path}.calls")
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.usefixtures("fresh_server")
@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_set_executable(
    method: StartMethod,
    kind: Callable[[str], str | bytes | Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Children run what was set, given as text, bytes or a path; so do theirs."""
    monkeypatch.setattr(here(), "executable", None)
    assert get_executable() == sys.executable
    program = wrapper(tmp_path / "wräpper", sys.executable)
    set_ = set_executable if kind is str else get_context("fork").set_executable
    set_(kind(str(program)))
    assert get_executable() == str(program)
    process = get_context(method).Process(target=targets.nested)
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 3
    assert calls(program) == 2  # with the child's own by spawn


@pytest.mark.usefixtures("fresh_server")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_no_executable(method: StartMethod, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded interpreter that knows none says what to do."""
    monkeypatch.setattr(sys, "executable", "")
    process = get_context(method).Process(target=targets.noop)
    with pytest.raises(RuntimeError, match="call set_executable first"):
        process.start()
    assert "initial" in repr(process)


def test_not_a_path() -> None:
    """What is set has to be a path."""
    for wrong in (None, 1):
        with pytest.raises(TypeError):
            set_executable(wrong)  # type: ignore[arg-type]


#: What a frozen executable would run.
FROZEN = """
import os, sys
sys.frozen = True
sys.executable = os.environ["FROZEN"]
import mp_process

class Answer(int): pass

def work(connection):
    name = mp_process.current_process().name
    connection.send((Answer(42), __name__, sys.argv[1:], name))

if __name__ == "__main__":
    {call}
    from mp_connection import Pipe
    ours, theirs = Pipe()
    ctx = mp_process.get_context(os.environ["METHOD"])
    for _ in range(2):
        process = ctx.Process(target=work, args=(theirs,), name="the child")
        process.start()
        if ours.poll(30 if {called} else 0):
            answer, *rest = ours.recv()
            print(type(answer) is Answer, *rest)
        process.join(30)
        print(process.exitcode)
"""


def frozen(path: Path, call: str) -> Path:
    program = path / "program.py"
    program.write_text(FROZEN.format(call=call, called=call != "pass"))
    # No flag or -c may reach the program, as no frozen one would understand it.
    return wrapper(path / "frozen", f"{sys.executable} {program}")


def test_frozen(start_method: StartMethod, tmp_path: Path) -> None:
    """A frozen program that calls freeze_support works by every method."""
    program = frozen(tmp_path, "mp_process.freeze_support()")
    done = scripts.run(
        "-c",
        f"import os,sys; os.execv({str(program)!r}, ['frozen', 'x'])",
        METHOD=start_method,
        FROZEN=str(program),
    )
    name = "__main__"
    assert done.stderr == ""
    assert done.stdout == f"True {name} ['x'] the child\n0\n" * 2
    assert calls(program) == {"fork": 1, "spawn": 3, "forkserver": 2}[start_method]


def test_frozen_without_the_call(tmp_path: Path) -> None:
    """Without it a RuntimeError says what to do, and nothing is started for ever."""
    program = frozen(tmp_path, "pass")
    done = scripts.run(
        "-c",
        f"import os,sys; os.execv({str(program)!r}, ['frozen', 'x'])",
        METHOD="spawn",
        FROZEN=str(program),
    )
    assert done.stdout == "1\n1\n"
    assert done.stderr.count("RuntimeError: ") == 2
    assert "        freeze_support()\n" in done.stderr
    assert calls(program) == 3


def test_freeze_support_does_nothing_otherwise(
    monkeypatch: pytest.MonkeyPatch, start_method: StartMethod
) -> None:
    """In a program that is not frozen, and in one that the user has started."""
    mp_process.freeze_support()
    get_context(start_method).freeze_support()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    mp_process.freeze_support()
    monkeypatch.setattr(sys, "argv", ["program", "--mp-process", "os:abort", "1"])
    with pytest.raises(SystemExit, match="own use"):
        mp_process.freeze_support()
