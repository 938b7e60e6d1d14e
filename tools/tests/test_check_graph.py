"""check_graph finds each thing that it is there to find."""

from __future__ import annotations

from pathlib import Path

import check_graph
import pytest


def add(
    root: Path,
    name: str,
    *,
    version: str = "0.1.0",
    requires: str = "",
    extra: str = "",
    code: str = "",
) -> None:
    """Make a distribution that check_graph can read."""
    package = root / "packages" / name / "src" / name.replace("-", "_")
    package.mkdir(parents=True)
    (package / "_version.py").write_text(f'__version__ = "{version}"\n')
    (package / "code.py").write_text(code)
    (root / "packages" / name / "pyproject.toml").write_text(
        f"[project]\ndependencies = [{requires}]\n"
        f"[project.optional-dependencies]\nextra = [{extra}]\n"
    )


@pytest.mark.parametrize("name", ["import mp_a", "from mp_a.b import c"])
def test_an_undeclared_sibling_is_found(tmp_path: Path, name: str) -> None:
    """Also inside a function, and with the place where it stands."""
    add(tmp_path, "mp-a")
    add(tmp_path, "mp-b", code=f"def f():\n    {name}\n")
    assert check_graph.problems(tmp_path) == [
        "packages/mp-b/src/mp_b/code.py:2: mp-b does not declare mp-a"
    ]


@pytest.mark.parametrize("field", ["requires", "extra"])
def test_a_declared_sibling_is_fine(tmp_path: Path, field: str) -> None:
    """As a requirement or in an extra; relative imports are never a sibling's."""
    add(tmp_path, "mp-a")
    code = "import mp_a.x\nfrom . import mp_c\nimport mp_b"
    add(tmp_path, "mp-b", code=code, **{field: '"mp-a>=0.1,<0.2"'})
    add(tmp_path, "mp-c")
    assert check_graph.problems(tmp_path) == []


@pytest.mark.parametrize(
    "code",
    ["import mp_a._x", "from mp_a._x import y", "from mp_a import _x"],
)
def test_a_private_module_of_a_sibling_is_found(tmp_path: Path, code: str) -> None:
    """A pin says nothing about those; a dunder such as the version is public."""
    add(tmp_path, "mp-a")
    code += "\nfrom mp_a import __version__\nfrom mp_b import _mine"
    add(tmp_path, "mp-b", requires='"mp-a>=0.1,<0.2"', code=code)
    (problem,) = check_graph.problems(tmp_path)
    assert problem.endswith(" is private to mp-a")


def test_a_pin_that_excludes_the_sibling_is_found(tmp_path: Path) -> None:
    """So a version cannot be raised without looking at who depends on it."""
    add(tmp_path, "mp-a", version="0.2.0")
    add(tmp_path, "mp-b", requires='"mp-a>=0.1,<0.2"')
    assert check_graph.problems(tmp_path) == ["mp-b: mp-a<0.2,>=0.1 excludes 0.2.0"]


def test_a_missing_pin_is_found(tmp_path: Path) -> None:
    """Siblings are required by range."""
    add(tmp_path, "mp-a")
    add(tmp_path, "mp-b", requires='"mp-a"')
    assert check_graph.problems(tmp_path) == ["mp-b: mp-a is not pinned to a range"]


def test_a_cycle_is_found(tmp_path: Path) -> None:
    """Two distributions cannot need each other."""
    add(tmp_path, "mp-a", requires='"mp-b>=0.1"')
    add(tmp_path, "mp-b", requires='"mp-a>=0.1"')
    (problem,) = check_graph.problems(tmp_path)
    assert problem.startswith("cycle: ")


@pytest.mark.parametrize(
    "code",
    [
        "import multiprocessing",
        "import multiprocessing.pool as p",
        "from multiprocessing import connection",
        "import _multiprocessing",
        "import _posixshmem",
        "from importlib import import_module\nimport_module('multiprocessing.pool')",
        "import importlib\nimportlib.import_module('multiprocessing')",
        "__import__('_posixshmem')",
    ],
)
def test_the_standard_package_is_found(tmp_path: Path, code: str) -> None:
    """However it is imported."""
    add(tmp_path, "mp-a", code=code)
    (problem,) = check_graph.problems(tmp_path)
    assert " imports " in problem


def test_its_name_alone_is_fine(tmp_path: Path) -> None:
    """Pickles may name the standard package, and a package may look like it."""
    code = "import multiprocessing_x\nNAME = 'multiprocessing.managers'\nprint(NAME)"
    add(tmp_path, "mp-a", code=code)
    assert check_graph.problems(tmp_path) == []
