"""What the package offers."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import mp_sharedctypes


def test_version() -> None:
    """The module says what the installed metadata says."""
    version = importlib.metadata.version("mp-sharedctypes")
    assert mp_sharedctypes.__version__ == version


def test_all() -> None:
    """`__all__` is sorted and true."""
    names = mp_sharedctypes.__all__
    assert sorted(names) == list(names)
    assert [name for name in names if not hasattr(mp_sharedctypes, name)] == []


def test_classes_are_pickled_by_their_public_path() -> None:
    for name in mp_sharedctypes.__all__:
        value = getattr(mp_sharedctypes, name)
        if isinstance(value, type):
            assert value.__module__ == "mp_sharedctypes"


def test_importing_it_imports_little() -> None:
    """Children that are spawned with a value as an argument import it."""
    heavy = (
        "typing", "enum", "dataclasses", "socket", "pickle", "threading", "logging",
        "re", "subprocess", "weakref", "signal", "traceback", "tempfile", "selectors",
    )  # fmt: skip
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import mp_sharedctypes\n"
        f"print(*[m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == ""
