"""What the package offers, and what importing it imports."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

import mp_managers
from mp_managers import errors


def test_version() -> None:
    """The module says what the installed metadata says."""
    assert mp_managers.__version__ == importlib.metadata.version("mp-managers")


@pytest.mark.parametrize("module", [mp_managers, errors], ids=lambda m: m.__name__)
def test_all(module: object) -> None:
    """`__all__` is sorted and true."""
    names = module.__all__  # type: ignore[attr-defined]
    assert sorted(names) == list(names)
    assert [name for name in names if not hasattr(module, name)] == []


def test_classes_are_pickled_by_their_public_path() -> None:
    for name in mp_managers.__all__:
        value = getattr(mp_managers, name)
        if isinstance(value, type) and name != "ProcessError":
            assert value.__module__ == "mp_managers"
            assert getattr(importlib.import_module("mp_managers"), name) is value


def test_the_standard_package_is_not_imported() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import mp_managers\n"
        "print([m for m in sys.modules"
        " if m.partition('.')[0] in ('multiprocessing', '_multiprocessing')])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
