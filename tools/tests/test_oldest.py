"""The oldest siblings that the pins admit, and where they come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import dists
import oldest
import pytest
from oldest import NoSourceError, Source, pick
from packaging.requirements import Requirement
from packaging.version import Version

PYPROJECT = """\
[project]
name = "{name}"
dependencies = [{needs}]
"""


def source(version: str, tag: str | None = None, **needs: str) -> Source:
    found = {name: Requirement(f"{name}{needs[name]}") for name in needs}
    return Source(Version(version), tag, found)


def test_the_oldest_is_what_the_bound_names() -> None:
    tree, old, older = source("0.3.0"), source("0.2.0", "a"), source("0.1.0", "b")
    known = [tree, old, older]
    assert oldest.oldest(Requirement("low>=0.1"), known) is older
    assert oldest.oldest(Requirement("low>=0.2,<0.4"), known) is old
    assert oldest.oldest(Requirement("low>=0.3"), known) is tree


def test_what_was_released_comes_before_the_tree() -> None:
    tree, released = source("0.3.0"), source("0.3.0", "a")
    assert oldest.oldest(Requirement("low>=0.3"), [tree, released]) is released


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("low>=0.1.5,<0.4", r"low<0\.4,>=0\.1\.5: neither the tree nor a tag .low-v0"),
        ("low>=0.4", r"low>=0\.4: neither"),
        ("low<0.4", r"low<0\.4 has no lower bound"),
        ("low", "low has no lower bound"),
    ],
)
def test_a_bound_without_a_source_is_an_error(requirement: str, said: str) -> None:
    with pytest.raises(NoSourceError, match=said):
        oldest.oldest(Requirement(requirement), [source("0.3.0"), source("0.2.0", "a")])


def test_siblings_that_do_not_go_together_are_an_error() -> None:
    known = {
        "low": [source("0.2.0"), source("0.1.0", "a")],
        "middle": [source("0.1.0", low=">=0.2")],
    }
    declared = {"low": Requirement("low>=0.1"), "middle": Requirement("middle>=0.1")}
    with pytest.raises(NoSourceError, match=r"middle>=0\.1: middle 0\.1\.0 does"):
        pick(declared, known)
    declared["low"] = Requirement("low>=0.2")
    assert pick(declared, known) == {name: found[0] for name, found in known.items()}


def test_what_only_the_tests_need_is_the_newest_that_goes_with_them() -> None:
    low, old = source("0.2.0"), source("0.1.0", "a")
    tree, fits = source("0.3.0", low=">=0.2"), source("0.2.0", "c", low=">=0.1")
    lowest = source("0.1.0", "b", low=">=0.1")
    known = {"low": [low, old], "helper": [lowest, tree, fits]}
    assert pick({"low": Requirement("low>=0.1")}, known)["helper"] is fits
    assert pick({"low": Requirement("low>=0.2")}, known)["helper"] is tree


def write(root: Path, name: str, version: str, *needs: str) -> None:
    path = root / "packages" / name
    package = path / "src" / name
    package.mkdir(parents=True, exist_ok=True)
    (package / "_version.py").write_text(f'__version__ = "{version}"\n')
    text = PYPROJECT.format(name=name, needs=", ".join(f'"{need}"' for need in needs))
    (path / "pyproject.toml").write_text(text)


def git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.invalid")
    command = ["git", *who, *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=60)


def test_versions_come_from_tags(tmp_path: Path) -> None:
    def sources(name: str) -> list[Source]:
        known = dists.all_dists(tmp_path)
        return oldest.sources(known[name], known, tmp_path)

    write(tmp_path, "low", "0.1.0")
    write(tmp_path, "high", "0.1.0", "low>=0.1,<0.2", "other")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    assert sources("low") == [source("0.1.0")]
    git(tmp_path, "tag", "low-v0.1.0")
    # The tree is the same: it need not be taken from the tag.
    assert sources("low") == [source("0.1.0")]
    (tmp_path / "packages/low/src/low/__init__.py").touch()
    git(tmp_path, "add", ".")
    assert sources("low") == [source("0.1.0"), source("0.1.0", "low-v0.1.0")]
    git(tmp_path, "tag", "high-v0.1.0")
    write(tmp_path, "low", "0.2.0")
    write(tmp_path, "high", "0.2.0", "low>=0.2,<0.3")
    assert sources("low") == [source("0.2.0"), source("0.1.0", "low-v0.1.0")]
    assert sources("high") == [
        source("0.2.0", low=">=0.2,<0.3"),
        source("0.1.0", "high-v0.1.0", low=">=0.1,<0.2"),
    ]
    old = oldest.fetch("low", "low-v0.1.0", tmp_path / "old", tmp_path)
    assert dists.Dist(old).version == "0.1.0"
    assert not (old / "src/low/__init__.py").exists()


def test_every_pin_of_this_repository_has_a_source() -> None:
    known = dists.all_dists()
    sources = {name: oldest.sources(dist, known) for name, dist in known.items()}
    for name, dist in known.items():
        declared = dist.extras | dist.requires
        siblings = {other: found for other, found in sources.items() if other != name}
        pick(declared, siblings)
