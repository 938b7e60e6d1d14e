"""Named blocks and lists, together with the standard library of other Pythons.

`MP_INTEROP_PYTHONS` lists interpreters to use instead of those that are found,
separated by colons; `MP_INTEROP_MINIMUM` says how many there have to be (2, and none
if it is empty).
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mp_sharedctypes_targets as targets
import pytest

from mp_sharedctypes.shared_memory import ShareableList, SharedMemory

SUPPORTED = [(3, minor) for minor in range(8, 16)]
NAME = f"mp-interop-{os.getpid()}"

# The standard tracker unlinks what its process has only attached to, before 3.13.
BEGIN = """
import sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory, ShareableList
name = sys.argv[1]
resource_tracker.register = resource_tracker.unregister = lambda *a: None
"""


def pythons() -> dict[str, str]:
    """The interpreters of other versions, by version."""
    given = os.environ.get("MP_INTEROP_PYTHONS")
    if given is not None:
        candidates = [Path(path) for path in given.split(":") if path]
    else:
        candidates = sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))
        for minor in range(8, 16):
            candidates.append(Path(f"/usr/bin/python3.{minor}"))
            candidates.append(Path(f"/usr/local/bin/python3.{minor}"))
        candidates.append(Path(sys.executable))
    ask = "import sys, multiprocessing.shared_memory; print(*sys.version_info[:2])"
    found: dict[str, str] = {}
    for path in candidates:
        if not path.exists():
            continue
        done = subprocess.run(
            [path, "-c", ask], capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode == 0:
            version = tuple(map(int, done.stdout.split()))
            if version in SUPPORTED:
                found.setdefault(".".join(map(str, version)), str(path))
    return found


PYTHONS = pythons()
each_python = pytest.mark.parametrize("version", sorted(PYTHONS) or ["none"])


def theirs(version: str, code: str) -> str:
    """What the standard library says."""
    if version == "none":
        pytest.skip("there is no other Python")
    done = subprocess.run(
        [PYTHONS[version], "-c", BEGIN + code, NAME],
        capture_output=True,
        text=True,
        timeout=targets.SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def no_name() -> Iterator[None]:
    yield
    Path("/dev/shm", NAME).unlink(missing_ok=True)


def test_there_are_pythons() -> None:
    assert len(PYTHONS) >= int(os.environ.get("MP_INTEROP_MINIMUM", "2") or 0)


@each_python
def test_they_attach_to_our_block(version: str) -> None:
    block = SharedMemory(NAME, create=True, size=1000)
    block.buf[:5] = b"hello"
    code = """
block = SharedMemory(name)
print(block.size, bytes(block.buf[:5]))
block.buf[:5] = b'world'
block.close()
"""
    assert theirs(version, code) == "1000 b'hello'"
    assert bytes(block.buf[:5]) == b"world"
    block.unlink()
    block.close()


@each_python
def test_we_attach_to_their_block(version: str) -> None:
    code = """
block = SharedMemory(name, create=True, size=1000)
block.buf[:5] = b'hello'
block.close()
"""
    theirs(version, code)
    block = SharedMemory(NAME)
    assert (block.size, bytes(block.buf[:5])) == (1000, b"hello")
    with pytest.raises(FileExistsError):
        SharedMemory(NAME, create=True, size=10)
    block.unlink()
    block.close()
    code = """
try: SharedMemory(name)
except FileNotFoundError: print('gone')
"""
    assert theirs(version, code) == "gone"


ITEMS: list[Any] = [
    5, -(2**63), 0.5, True, False, None, "", "text", "x" * 8, "\u00e9", b"", b"bytes",
    b"x" * 100,
]  # fmt: skip


# The lists of 3.8 are laid out otherwise.
@pytest.mark.parametrize("version", sorted(PYTHONS.keys() - {"3.8"}) or ["none"])
def test_they_read_and_change_our_list(version: str) -> None:
    made = ShareableList([*ITEMS, "zeros\0\0", b"kept\0"], name=NAME)
    code = """
made = ShareableList(name=name)
print(ascii(list(made)), made.format)
made[0] = 'changed'; made[7] = 8.5; made[12] = b'y' * 100; made[-2] = 'zeroes'
made.shm.close()
"""
    expected = [*ITEMS, "zeros", b"kept"]
    assert theirs(version, code) == f"{expected!a} {made.format}".replace(
        made.format, "qqdxxxxxxx?xxxxxxx?xxxxxx?x8s8s16s8s8s8s104s8s8s"
    )
    expected[0], expected[7], expected[12] = "changed", 8.5, b"y" * 100
    expected[-2:] = ["zeroes", b"kept\0"]
    assert list(made) == expected
    made.shm.unlink()
    made.shm.close()


@each_python
def test_we_read_and_change_their_list(version: str) -> None:
    code = f"""
made = ShareableList({ITEMS!r}, name=name)
made.shm.close()
"""
    theirs(version, code)
    made: ShareableList[Any] = ShareableList(name=NAME)
    assert [(type(i), i) for i in made] == [(type(i), i) for i in ITEMS]
    made[0], made[7], made[12] = "changed", 8.5, b"y" * 100
    with pytest.raises(ValueError, match="made by another library"):
        made[7] = "zeros\0"
    code = """
made = ShareableList(name=name)
print(ascii(list(made)))
made.shm.close()
"""
    expected = list(ITEMS)
    expected[0], expected[7], expected[12] = "changed", 8.5, b"y" * 100
    assert theirs(version, code) == ascii(expected)
    made.shm.close()
