"""The example program: its main job, on real input."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

assert sys.platform == "linux"

PROGRAM = Path(__file__).parents[1] / "examples" / "wordcount.py"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Sixty files: more than a batch, so that several tasks take part."""
    for number in range(60):
        text = "spam " * 3 + "eggs " * (number % 2) + f"only_{number}\n"
        folder = tmp_path / f"part{number % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}.py").write_text(text, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("spam not counted", encoding="utf-8")
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9 spam\n")
    return tmp_path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(PROGRAM), *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_all_start_methods_count_the_same(sources: Path) -> None:
    run = subprocess.run(
        command(sources),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env=environment(),
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert "61 files in" in run.stdout
    for way in ("serially", "Pool, fork", "Pool, spawn", "Pool, forkserver"):
        assert f"\n{way}" in run.stdout
    lines = run.stdout.splitlines()
    # 181 x spam (60 x 3 + 1), 30 x eggs, and 61 that stand in one file only.
    assert lines[-20:-18] == ["       181  spam", "        30  eggs"]
    assert "272 words, the same each time" in run.stdout


def test_a_terminal_gets_a_progress_bar(sources: Path) -> None:
    terminal, program_end = pty.openpty()
    # A bar fits itself to the window, which a new terminal has none of.
    fcntl.ioctl(program_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        command(sources),
        stdout=subprocess.DEVNULL,
        stderr=program_end,
        env=environment(),
    ) as run:
        os.close(program_end)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # EIO: the last process has closed the terminal
                break
        assert run.wait(50) == 0, shown.decode()
    os.close(terminal)
    assert b"serially" in shown
    assert b"Pool, forkserver" in shown
    assert b"/61" in shown


def test_a_directory_without_sources_is_said_so(tmp_path: Path) -> None:
    run = subprocess.run(
        command(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env=environment(),
    )
    assert run.returncode == 2
    assert "no Python files in" in run.stderr
