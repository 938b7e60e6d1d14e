"""The distributions of this repository: where they are, what they declare, builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
TESTING = ROOT / "tools" / "mp-testing"
CONSTRAINTS = "constraints.txt"


@dataclass(frozen=True)
class Dist:
    """One directory of ``packages/``."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def import_name(self) -> str:
        return self.name.replace("-", "_")

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return tomllib.loads((self.path / "pyproject.toml").read_text("utf-8"))

    @property
    def version(self) -> str:
        file = self.path / "src" / self.import_name / "_version.py"
        found = re.search(
            r'^__version__ = "(.+)"$', file.read_text("utf-8"), re.MULTILINE
        )
        assert found, f"no version in {file}"
        return found[1]

    @property
    def requires(self) -> dict[str, Requirement]:
        """What it always needs, by name."""
        found = map(Requirement, self.metadata["project"].get("dependencies", []))
        return {requirement.name: requirement for requirement in found}

    @property
    def extras(self) -> dict[str, Requirement]:
        """What any of its extras needs, by name."""
        extras = self.metadata["project"].get("optional-dependencies", {})
        found = [Requirement(text) for group in extras.values() for text in group]
        return {requirement.name: requirement for requirement in found}

    @property
    def test_group(self) -> list[str]:
        """What its tests need besides."""
        group = self.metadata.get("dependency-groups", {}).get("test", [])
        assert all(isinstance(item, str) for item in group), f"{self.name}: {group}"
        return list(group)


def all_dists(root: Path = ROOT) -> dict[str, Dist]:
    files = sorted((root / "packages").glob("*/pyproject.toml"))
    return {file.parent.name: Dist(file.parent) for file in files}


def clean_environ() -> dict[str, str]:
    """Return the environment without what would make Python import from elsewhere."""
    leave_out = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {k: v for k, v in os.environ.items() if k not in leave_out}


def run(*command: str | Path, cwd: Path = ROOT) -> int:
    """Run *command*, its output here, and return its exit status."""
    sys.stdout.flush()
    return subprocess.run(command, cwd=cwd, env=clean_environ(), check=False).returncode


def check(
    *command: str | Path, cwd: Path = ROOT, more: Mapping[str, str] | None = None
) -> None:
    """Run *command*, showing its output only when it fails, which raises.

    *more* is added to its environment.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**clean_environ(), **(more or {})},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(done.stdout)
        raise subprocess.CalledProcessError(done.returncode, done.args)


def build(into: Path) -> None:
    """Put the sdist of every distribution, and the wheel made from it, into *into*."""
    paths = [dist.path for dist in all_dists().values()]
    for path in [*paths, TESTING]:
        target = ("-t", "sdist", "-d", str(into))
        check(sys.executable, "-m", "hatchling", "build", *target, cwd=path)
    # From the sdists, so that one that lacks a file is found out.  The build backend of
    # this environment is used: no need for seven more.
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet")
    check(*pip, *options, into, *sorted(into.glob("*.tar.gz")))
    # A constraint rather than --find-links: an index that happens to have a package of
    # one of our names must not be asked for it.
    wheels = {file.name.partition("-")[0]: file for file in into.glob("*.whl")}
    lines = [f"{name} @ {file.as_uri()}\n" for name, file in sorted(wheels.items())]
    (into / CONSTRAINTS).write_text("".join(lines), "utf-8")


def build_wheel(
    source: Path, into: Path, more: Mapping[str, str] | None = None
) -> Path:
    """Build the wheel of the distribution in *source*, and return its path."""
    into.mkdir(parents=True, exist_ok=True)
    target = ("-t", "wheel", "-d", str(into))
    check(sys.executable, "-m", "hatchling", "build", *target, cwd=source, more=more)
    (wheel,) = into.glob(f"{source.name.replace('-', '_')}-*.whl")
    return wheel


def git(*arguments: str, root: Path = ROOT) -> bytes:
    """Return what git says; its complaints go to where ours go."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout


def tags(root: Path = ROOT) -> list[str]:
    return git("tag", "--list", root=root).decode().split()


def make_venv(path: Path, python: str | Path = sys.executable) -> Path:
    """Make an empty virtual environment and return its Python."""
    check(python, "-m", "venv", "--without-pip", path)
    return path / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def install(python: Path, built: Path, requirements: Sequence[str]) -> None:
    """Install *requirements* for *python*, ours as they are in *built*."""
    # The pip of this environment does it for the other: an empty one stays empty.
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    check(*pip, "--constraint", built / CONSTRAINTS, *requirements)
