"""Every distribution has what the house asks for."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "mp-connection",
    "mp-managers",
    "mp-multiprocessing",
    "mp-pool",
    "mp-process",
    "mp-sharedctypes",
    "mp-sync",
)

each_dist = pytest.mark.parametrize("name", NAMES)


def pyproject(name: str) -> dict[str, Any]:
    text = (ROOT / "packages" / name / "pyproject.toml").read_text("utf-8")
    return tomllib.loads(text)


def test_the_top_level_holds_just_this() -> None:
    """All else belongs to a package or is a tool."""
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert names - {"dist", "__pycache__"} == {
        "LICENSE",
        "README.md",
        "hatch.toml",
        "packages",
        "tests-integration",
        "tools",
    }
    packages = {path.name for path in (ROOT / "packages").iterdir()}
    assert packages == set(NAMES)


@each_dist
def test_files(name: str) -> None:
    """A distribution stands alone: it has its own papers, marker and tests."""
    path = ROOT / "packages" / name
    package = path / "src" / name.replace("-", "_")
    assert [entry.name for entry in (path / "src").iterdir()] == [package.name]
    for file in ("__init__.py", "_version.py", "py.typed"):
        assert (package / file).is_file(), file
    assert list((path / "tests").glob("test_*.py"))
    assert (path / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (path / "README.md").read_text("utf-8").startswith(f"# {name}\n")


@each_dist
def test_version(name: str) -> None:
    """The module, the metadata and the newest entry of the changelog agree."""
    version = importlib.import_module(name.replace("-", "_")).__version__
    assert importlib.metadata.version(name) == version
    changelog = (ROOT / "packages" / name / "CHANGELOG.md").read_text("utf-8")
    entries = re.findall(r"^## \[?([^\]\s]+)", changelog, re.MULTILINE)
    assert next(entry for entry in entries if entry != "Unreleased") == version


@each_dist
def test_metadata(name: str) -> None:
    """All are made alike."""
    whole = pyproject(name)
    project = whole["project"]
    assert project["name"] == name
    assert project["dynamic"] == ["version"]
    assert project["license"] == "MIT"
    assert project["requires-python"] == ">=3.11"
    assert "Typing :: Typed" in project["classifiers"]
    assert project["description"]
    assert whole["build-system"]["build-backend"] == "hatchling.build"
    # A wheel and an sdist that hold the package and nothing else's.
    targets = whole["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["packages"] == [f"src/{name.replace('-', '_')}"]
    assert {"/src", "/tests", "/CHANGELOG.md"} <= set(targets["sdist"]["include"])


@each_dist
def test_the_environment_has_what_the_tests_need(name: str) -> None:
    """So that the tests run in the common environment as they do alone."""
    environments = tomllib.loads((ROOT / "hatch.toml").read_text("utf-8"))["envs"]
    common = {need.split(" @ ")[0] for need in environments["default"]["dependencies"]}
    assert set(pyproject(name)["dependency-groups"]["test"]) <= common | set(NAMES)


@pytest.mark.parametrize("script", ["tools/hatch", ".ci/run"])
def test_scripts_can_be_executed(script: str) -> None:
    """A clone can use them at once."""
    assert os.access(ROOT / script, os.X_OK)
