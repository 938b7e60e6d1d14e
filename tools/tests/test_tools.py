"""The other tools look at everything that they should."""

from __future__ import annotations

import sys

import check_installed_types
import check_types
import dists
import matrix
import pytest


def test_every_python_file_is_type_checked() -> None:
    """A new directory cannot be forgotten."""
    checked = set()
    for paths in check_types.targets().values():
        for path in paths:
            checked |= {path} if path.is_file() else set(path.rglob("*.py"))
    for name in check_installed_types.INSTALLS:
        checked |= set((check_installed_types.HOME / name).glob("*.py"))
    top = [dists.ROOT / name for name in ("packages", "tests-integration", "tools")]
    assert {file for path in top for file in path.rglob("*.py")} == checked


def test_the_running_python_is_found() -> None:
    """And what does not exist is not."""
    assert matrix.find(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert matrix.find("2.0") is None


def test_nothing_leaks_into_other_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would make Python import from elsewhere is taken out, the rest is kept."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")
    environ = dists.clean_environ()
    assert "PYTHONPATH" not in environ
    assert environ["PIP_INDEX_URL"] == "kept"
