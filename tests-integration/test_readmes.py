"""The READMEs say what they have to say, and their examples print what they show."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A program, and the block of expected output if one follows.
EXAMPLE = re.compile(
    r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)

#: What a reader of any package's README finds there.
SECTIONS = (
    "Example",
    "At a glance",
    "Start methods and performance",
    "Threads and forks",
    "Security",
    "Platforms",
    "Versions",
)
#: And of the one at the top.
TOP_SECTIONS = (
    "Why",
    "Two commands",
    "Packages",
    "Install one layer",
    "Coming from the standard library",
    "Contributing",
    "Commands",
    "Layout",
    "A new platform",
)
PACKAGES = sorted(path.name for path in (ROOT / "packages").glob("mp-*"))


def sections(readme: Path) -> dict[str, str]:
    """The text below each heading, up to the next one of any level."""
    _, *rest = re.split(r"^##+ (.+)$", readme.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(rest[::2], rest[1::2], strict=True))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_a_user_has_to_know(package: str) -> None:
    found = sections(ROOT / "packages" / package / "README.md")
    assert [name for name in SECTIONS if not found.get(name, "").strip()] == []
    assert "```python" in found["Example"]
    assert "](CHANGELOG.md)" in found["Versions"]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_public_names_are_listed_at_a_glance(package: str) -> None:
    module = importlib.import_module(package.replace("-", "_"))
    text = sections(ROOT / "packages" / package / "README.md")["At a glance"]
    listed = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))
    assert set(module.__all__) - listed - {"__version__"} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_pythons_that_it_names_are_those_it_declares(package: str) -> None:
    directory = ROOT / "packages" / package
    settings = tomllib.loads((directory / "pyproject.toml").read_text("utf-8"))
    declared = re.findall(r":: (3\.\d+)", "\n".join(settings["project"]["classifiers"]))
    text = sections(directory / "README.md")["Platforms"]
    assert re.findall(r"\b3\.\d+", text) == declared


def test_the_top_says_why_how_and_what() -> None:
    found = sections(ROOT / "README.md")
    assert [name for name in TOP_SECTIONS if name not in found] == []


def examples() -> list[object]:
    found: list[object] = []
    for readme in sorted(ROOT.glob("packages/*/README.md")):
        matches = EXAMPLE.findall(readme.read_text("utf-8"))
        for number, (program, output) in enumerate(matches):
            name = f"{readme.parent.name}-{number}"
            found.append(pytest.param(program, output, id=name))
    return found


@pytest.mark.parametrize(("program", "output"), examples())
def test_example(tmp_path: Path, program: str, output: str) -> None:
    """As a user would run it: a file, away from the repository."""
    file = tmp_path / "example.py"
    file.write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", file],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)
