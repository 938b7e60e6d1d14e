"""A program that PyInstaller has frozen into one executable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mp_process_scripts as scripts
import pytest

assert sys.platform == "linux"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = """
import os, sys
import mp_process
from mp_connection import Pipe

class Answer(int): pass

def work(connection):
    name = mp_process.current_process().name
    connection.send((Answer(42), __name__, sys.argv[1:], name))

if __name__ == "__main__":
    if "METHODS" not in os.environ:
        mp_process.freeze_support()
    every = " ".join(mp_process.get_all_start_methods())
    for method in os.environ.get("METHODS", every).split():
        ours, theirs = Pipe()
        ctx = mp_process.get_context(method)
        for daemon in (False, True):
            process = ctx.Process(
                target=work, args=(theirs,), name="the child", daemon=daemon
            )
            process.start()
            process.join(30)
            if process.exitcode == 0:
                answer, *rest = ours.recv()
                assert type(answer) is Answer
                assert rest == ["__main__", sys.argv[1:], "the child"], rest
            print(method, process.exitcode)
"""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executable, with a directory of libraries beside it."""
    directory = tmp_path_factory.mktemp("frozen")
    (directory / "program.py").write_text(PROGRAM)
    paths = [path for path in sys.path if path.endswith("src")]
    subprocess.run(
        [
            *(sys.executable, "-m", "PyInstaller", "--log-level=ERROR", "--noconfirm"),
            *(f"--paths={path}" for path in paths),
            "program.py",
        ],
        cwd=directory,
        env={**scripts.environment(), "PYINSTALLER_CONFIG_DIR": str(directory)},
        check=True,
        timeout=200,
    )
    return directory / "dist" / "program" / "program"


def run(program: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "an argument"],
        env={"PATH": os.environ["PATH"], **more},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )


def test_every_method_works(frozen: Path) -> None:
    """With freeze_support called first in the main module."""
    done = run(frozen)
    expected = "fork 0\n" * 2 + "spawn 0\n" * 2 + "forkserver 0\n" * 2
    assert (done.stdout, done.stderr) == (expected, "")


def test_without_the_call_children_say_so(frozen: Path) -> None:
    """fork works all the same; for others a RuntimeError says what to do."""
    done = run(frozen, METHODS="fork")
    assert (done.stdout, done.stderr) == ("fork 0\n" * 2, "")
    done = run(frozen, METHODS="spawn")
    assert done.stdout == "spawn 1\n" * 2
    assert done.stderr.count("RuntimeError: ") == 2
    assert "        freeze_support()\n" in done.stderr
