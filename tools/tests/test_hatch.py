"""The launcher finds a Python and makes its environments once, whole and unshared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

assert sys.platform != "win32"

import hatch_env

LAUNCHER = hatch_env.ROOT / "tools" / "hatch"


def fake(directory: Path, name: str, script: str) -> None:
    """Put a shell script on a path of its own."""
    file = directory / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def launch(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the launcher with nothing on PATH but *path* and what it needs itself."""
    dirname = shutil.which("dirname")
    assert dirname is not None
    if not (path / "dirname").exists():
        (path / "dirname").symlink_to(dirname)
    return subprocess.run(
        ["/bin/sh", LAUNCHER, "run", "x"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_can_be_executed() -> None:
    """Git keeps the bit."""
    assert os.access(LAUNCHER, os.X_OK)


def test_without_a_python_it_says_what_is_missing(tmp_path: Path) -> None:
    """One message, whether python3 is absent, a broken shim or too old."""
    for script in (None, "exit 127", "echo SyntaxError >&2; exit 1"):
        if script:
            fake(tmp_path, "python3", script)
        done = launch(tmp_path)
        assert done.returncode == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert "no Python 3.11 or later" in line


def test_it_passes_over_an_unusable_python(tmp_path: Path) -> None:
    """The first one that passes the probe runs the rest, with the arguments."""
    fake(tmp_path, "python3", "exit 1")
    fake(tmp_path, "python3.12", 'if [ "$1" != -c ]; then shift; echo "got $*"; fi')
    assert launch(tmp_path).stdout == "got run x\n"


def test_what_is_complete_is_not_made_again(tmp_path: Path) -> None:
    """But what is half made is, and without its remains."""
    made: list[Path] = []

    def make(target: Path) -> None:
        target.mkdir()
        made.append(target)

    target = tmp_path / "data-1"
    target.mkdir()
    (target / "remains").touch()
    for _ in range(3):
        os.close(hatch_env.hold(target, make))
    assert made == [target]
    assert not (target / "remains").exists()


def test_a_failure_leaves_nothing_complete(tmp_path: Path) -> None:
    """The next command tries again."""
    target = tmp_path / "data-1"

    def fail(_: Path) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            hatch_env.hold(target, fail)
    assert not (target / hatch_env.STAMP).exists()


def test_two_commands_make_it_once(tmp_path: Path) -> None:
    """The second one waits for the first."""
    made: list[Path] = []
    begun = threading.Event()
    go_on = threading.Event()
    held: list[int] = []
    target = tmp_path / "data-1"

    def make(target: Path) -> None:
        begun.set()
        assert go_on.wait(30)
        target.mkdir()
        made.append(target)

    threads = [
        threading.Thread(target=lambda: held.append(hatch_env.hold(target, make)))
        for _ in range(2)
    ]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(30)
    for lock in held:
        os.close(lock)
    assert (len(held), made) == (2, [target])


def test_older_ones_go_unless_they_are_used(tmp_path: Path) -> None:
    """A command keeps its environment although the files change meanwhile."""
    used = hatch_env.hold(tmp_path / "data-1", Path.mkdir)
    os.close(hatch_env.hold(tmp_path / "data-2", Path.mkdir))
    os.close(hatch_env.hold(tmp_path / "tool-1", Path.mkdir))
    os.close(hatch_env.hold(tmp_path / "data-3", Path.mkdir))
    os.close(used)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {"data-1", "data-3", "tool-1"}


def test_a_changed_file_means_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions, dependencies and the list of tools count; scripts do not."""
    package = tmp_path / "packages" / "mp-a"
    files = {
        tmp_path / "hatch.toml": "[envs.a]\ndependencies = []\n",
        package / "pyproject.toml": "[project]\n",
        package / "src" / "mp_a" / "_version.py": "__version__ = '1'\n",
    }
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(hatch_env, "ROOT", tmp_path)
    states = {hatch_env.environment_state()}
    for file, text in files.items():
        file.write_text(text.replace("[]", '["x"]') + "# changed\n")
        states.add(hatch_env.environment_state())
    assert len(states) == len(files) + 1
    with open(tmp_path / "hatch.toml", "a") as toml:
        toml.write("[envs.a.scripts]\nx = 'y'\n")
    assert hatch_env.environment_state() in states
