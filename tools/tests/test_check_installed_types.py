"""Expected and reported errors are compared both ways."""

from __future__ import annotations

import json
from pathlib import Path

import check_installed_types
import pytest
from check_installed_types import (
    Finding,
    differences,
    expected,
    of_mypy,
    of_pyright,
    public_names,
    unused_names,
    used_names,
)
from dists import ROOT

TEXT = """\
f(1)  # error: mypy[arg-type] pyright[reportArgumentType,reportCallIssue]
# error: mypy[misc]
g("# error: mypy[none]")
"""
WANTED = [
    Finding("x.py", 1, "mypy", "arg-type"),
    Finding("x.py", 1, "pyright", "reportArgumentType"),
    Finding("x.py", 1, "pyright", "reportCallIssue"),
    Finding("x.py", 3, "mypy", "misc"),
]


def test_comments_announce_errors() -> None:
    assert list(expected("x.py", TEXT)) == WANTED
    assert list(expected("x.py", "f(1)  # no error: here\n")) == []


@pytest.mark.parametrize("said", ["", " mypy", " arg-type", " mypy[arg-type] tomorrow"])
def test_a_comment_that_announces_nothing_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"x\.py:1: not understood"):
        list(expected("x.py", f"f(1)  # error:{said}\n"))


def test_what_is_missing_and_what_is_new_are_both_wrong() -> None:
    assert differences(WANTED, WANTED) == []
    assert differences(WANTED, [WANTED[0], *WANTED]) == []
    new = Finding("x.py", 9, "mypy", "index", "Bad index")
    assert differences(iter(WANTED), iter([*WANTED[1:], new])) == [
        "x.py:1: mypy[arg-type]: expected, and not reported",
        "x.py:9: mypy[index]: not expected: Bad index",
    ]


def test_what_mypy_writes_is_read() -> None:
    said = {"file": "a/x.py", "line": 3, "code": "misc", "message": "Bad"}
    lines = [said | {"severity": "error"}, said | {"severity": "note", "line": 4}]
    found = list(of_mypy("\n".join(map(json.dumps, lines)) + "\n"))
    assert found == [WANTED[3]]
    assert found[0].message == "Bad"


def test_what_pyright_writes_is_read() -> None:
    """Lines are counted from zero there; an error of syntax has no rule."""
    where = {"file": "a/x.py", "range": {"start": {"line": 0, "character": 5}}}
    bad = where | {"rule": "reportCallIssue", "message": "Bad"}
    said = [bad, where | {"message": "?"}]
    found = list(of_pyright(json.dumps({"generalDiagnostics": said})))
    assert found == [WANTED[2], Finding("x.py", 1, "pyright", "none")]


def test_names_are_found_however_they_are_used(tmp_path: Path) -> None:
    program = "import p as q, p\nfrom p import a\nfrom p.b import no\nq.c; p.d; r.no\n"
    assert used_names(program, "p") == {"a", "c", "d"}
    (tmp_path / "__init__.py").write_text('x = 1\n__all__ = ("a", "e")\n')
    assert public_names(tmp_path) == {"a", "e"}


def test_every_public_name_is_used_by_an_application() -> None:
    """`verify:installed` says so too, but later; see tests-integration/typing."""
    for name, wanted in check_installed_types.INSTALLS.items():
        programs = check_installed_types.programs_of(name)
        for package in wanted.packages:
            dist = ROOT / "packages" / package.replace("_", "-")
            assert unused_names(dist / "src" / package, programs) == []


def test_each_public_package_is_in_an_install() -> None:
    """A new distribution cannot be forgotten."""
    assert check_installed_types.uncovered() == set()
    for name in check_installed_types.INSTALLS:
        assert len(list((check_installed_types.HOME / name).glob("*.py"))) == 2
