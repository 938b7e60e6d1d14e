"""Packages with an extension, installed from source: with a compiler and without."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

assert sys.platform == "linux"

ROOT = Path(__file__).resolve().parents[1]
DISTS = sorted(path.parent.name for path in ROOT.glob("packages/*/native"))

#: What each does without its extension, and how many warnings it gives.
WITHOUT = {
    "mp-connection": (
        "import mp_connection as module, sys\n"
        "ends = module.Pipe()\n"
        "ends[0].send(True)\n"
        "print(ends[1].recv())",
        0,
    ),
    "mp-sync": (
        "import mp_sync as module, sys\n"
        "lock = module.Lock()\n"
        "with lock: print(lock.locked())",
        1,
    ),
}

each = pytest.mark.parametrize("dist", DISTS)


def build(
    dist: str, place: Path, extension: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A wheel, as pip has it built."""
    environment[f"{dist.replace('-', '_').upper()}_EXTENSION"] = extension
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place],
        cwd=ROOT / "packages" / dist,
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


def test_each_builds_in_the_same_way() -> None:
    hooks = [ROOT / "packages" / dist / "hatch_build.py" for dist in DISTS]
    assert len({hook.read_text() for hook in hooks}) == 1
    assert set(DISTS) == set(WITHOUT)


@each
def test_without_a_compiler_the_wheel_is_portable_and_works(
    tmp_path: Path, dist: str
) -> None:
    done = build(dist, tmp_path, "auto", CC="no-such-compiler")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "is left out" in line]
    assert len(lines) == 1
    wheel, *members = names(tmp_path)
    assert wheel.endswith("-py3-none-any.whl")
    assert [name for name in members if name.endswith((".so", ".c", ".h"))] == []
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code, warnings = WITHOUT[dist]
    code += "\nassert module.__file__.startswith(sys.argv[1])"
    path = os.pathsep.join([str(tmp_path / "installed"), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env=os.environ
        | {"PYTHONPATH": path, "MP_CONNECTION_BACKEND": "", "MP_SYNC_BACKEND": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout == "True\n"
    assert ran.stderr.count("is without its extension") == warnings


@each
def test_a_release_is_not_built_without_the_extension(
    tmp_path: Path, dist: str
) -> None:
    done = build(dist, tmp_path, "require", CC="no-such-compiler")
    assert done.returncode != 0
    assert list(tmp_path.glob("*.whl")) == []


@pytest.mark.slow
@each
def test_the_extension_serves_later_pythons_too(tmp_path: Path, dist: str) -> None:
    done = build(dist, tmp_path, "require")
    assert done.returncode == 0, done.stderr
    wheel, *members = names(tmp_path)
    assert "-cp311-abi3-linux" in wheel
    assert f"{dist.replace('-', '_')}/_native.abi3.so" in members


@each
def test_it_can_be_left_out(tmp_path: Path, dist: str) -> None:
    done = build(dist, tmp_path, "skip")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path)[0].endswith("-py3-none-any.whl")
