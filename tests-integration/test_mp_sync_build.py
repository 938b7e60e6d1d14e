"""mp-sync installed from source where there is no compiler: one line, and it works."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

assert sys.platform == "linux"

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "packages" / "mp-sync"


def build(place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A wheel, as pip has it built."""
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place],
        cwd=PACKAGE,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def names(place: Path) -> list[str]:
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return [wheel.name, *archive.namelist()]


def test_without_a_compiler_the_wheel_is_portable_and_works(tmp_path: Path) -> None:
    done = build(tmp_path, CC="no-such-compiler", MP_SYNC_EXTENSION="auto")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "is left out" in line]
    assert len(lines) == 1
    wheel, *members = names(tmp_path)
    assert wheel.endswith("-py3-none-any.whl")
    assert [name for name in members if name.endswith((".so", ".c", ".h"))] == []
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = (
        "import mp_sync, sys\n"
        "assert mp_sync.__file__.startswith(sys.argv[1])\n"
        "lock = mp_sync.Lock()\n"
        "with lock: print(lock.locked())"
    )
    path = os.pathsep.join([str(tmp_path / "installed"), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env=os.environ | {"PYTHONPATH": path, "MP_SYNC_BACKEND": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout == "True\n"
    assert ran.stderr.count("RuntimeWarning: mp_sync is without its extension") == 1


def test_a_release_is_not_built_without_the_extension(tmp_path: Path) -> None:
    done = build(tmp_path, CC="no-such-compiler", MP_SYNC_EXTENSION="require")
    assert done.returncode != 0
    assert list(tmp_path.glob("*.whl")) == []


@pytest.mark.slow
def test_the_extension_serves_later_pythons_too(tmp_path: Path) -> None:
    done = build(tmp_path, MP_SYNC_EXTENSION="require")
    assert done.returncode == 0, done.stderr
    wheel, *members = names(tmp_path)
    assert "-cp311-abi3-linux" in wheel
    assert "mp_sync/_native.abi3.so" in members


def test_it_can_be_left_out(tmp_path: Path) -> None:
    done = build(tmp_path, MP_SYNC_EXTENSION="skip")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path)[0].endswith("-py3-none-any.whl")
