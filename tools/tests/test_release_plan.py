"""Versions, ranges, changelogs and tags, as a release changes them."""

from __future__ import annotations

import datetime
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from release_plan import (
    Bump,
    State,
    changelog_problems,
    next_version,
    parse_table,
    plan,
    proposal,
    proposals,
    range_for,
    read_changelog,
    released_versions,
    tag_of,
    with_change,
    with_ranges,
    with_release,
    written,
)

TODAY = datetime.date(2026, 5, 4)
CHANGELOG = """\
# Changelog of mp-x

Some words.

## [Unreleased]

### Added

- One thing, of which there
  is much to say.

### Fixed

- Another.

## [0.1.0] - 2026-05-03

### Added

- The name.
"""


def test_tags() -> None:
    assert tag_of("mp-sync", "0.2.1") == "mp-sync-v0.2.1"
    tags = ["mp-sync-v0.2.1", "mp-sync-v0.10.0", "mp-syncs-v1.0", "v1", "mp-sync-vx"]
    assert released_versions("mp-sync", tags) == {Version("0.2.1"), Version("0.10.0")}
    assert released_versions("mp-syncs", tags) == {Version("1.0")}


def test_a_changelog_is_read() -> None:
    newest, older = read_changelog(CHANGELOG)
    assert (newest.version, newest.date) == ("Unreleased", None)
    assert list(newest.sections) == ["Added", "Fixed"]
    assert len(newest.sections["Added"]) == 2
    assert (older.version, older.date) == ("0.1.0", "2026-05-03")
    assert changelog_problems(CHANGELOG, "0.1.0", TODAY) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("## [Unr", "## Unr", r"line 5: not '## \[version\] - date'"),
        ("## [Unreleased]", "## [0.2.0] - 2026-05-04", "does not begin with"),
        ("### Fixed\n", "### Mended\n", "Unreleased: unknown section 'Mended'"),
        ("- Another.\n", "", "Unreleased: nothing below 'Fixed'"),
        ("### Added\n\n- The name.\n", "", "0.1.0: says nothing"),
        ("### Added\n\n- The", "The", "line 18: belongs to no section"),
        ("Some words.", "### Added", "line 3: ### Added belongs to no version"),
        (" - 2026-05-03", "", "0.1.0: Invalid isoformat"),
        ("-05-03", "-05-05", "0.1.0: its date is yet to come"),
        ("[0.1.0]", "[one]", "one: Invalid version"),
        ("[0.1.0]", "[0.0.9]", r"its newest entry is not of 0\.1\.0"),
    ],
)
def test_what_is_wrong_with_a_changelog(old: str, new: str, said: str) -> None:
    assert CHANGELOG.count(old) == 1
    text = CHANGELOG.replace(old, new)
    (problem,) = changelog_problems(text, "0.1.0", TODAY)
    assert re.match(said, problem), problem


def test_the_order_of_a_changelog() -> None:
    text = CHANGELOG + "\n## [0.2.0] - 2026-05-04\n\n### Added\n\n- It.\n"
    assert changelog_problems(text, "0.1.0", TODAY) == [
        "its versions are out of order",
        "its dates are out of order",
    ]


def test_what_is_unreleased_becomes_a_release() -> None:
    text = with_release(CHANGELOG, Version("0.2.0"), TODAY)
    assert "## [Unreleased]\n\n## [0.2.0] - 2026-05-04\n\n### Added\n" in text
    empty, newest, older = read_changelog(text)
    assert empty.sections == {}
    assert newest.sections == read_changelog(CHANGELOG)[0].sections
    assert older == read_changelog(CHANGELOG)[1]
    assert changelog_problems(text, "0.2.0", TODAY) == []


def test_a_change_is_added() -> None:
    """Where there is such a section and where there is none, or nothing at all."""
    for text in (
        CHANGELOG,
        with_release(CHANGELOG, Version("0.2.0"), TODAY),
        CHANGELOG.replace("### Added", "### Changed", 1),
        "# X\n\n## [Unreleased]\n",
    ):
        before = read_changelog(text)
        after = read_changelog(with_change(text, "- It needs more."))
        sections = {name: list(lines) for name, lines in before[0].sections.items()}
        sections["Changed"] = ["- It needs more.", *sections.get("Changed", [])]
        assert after[0].sections == sections
        assert after[1:] == before[1:]
        assert "\n\n\n" not in with_change(text, "- It needs more.")


def test_next_versions() -> None:
    version = Version("0.2.1")
    assert next_version(version, "patch") == Version("0.2.2")
    assert next_version(version, "minor") == Version("0.3.0")
    assert next_version(version, "major") == Version("1.0.0")


def test_proposals_follow_the_changelog() -> None:
    below, above = Version("0.2.1"), Version("1.2.1")
    assert proposal([], below) is None
    assert proposal(["Fixed", "Security"], below) == "patch"
    assert proposal(["Fixed", "Changed"], below) == "minor"
    assert proposal(["Removed"], below) == "minor"
    assert proposal(["Removed"], above) == "major"
    assert proposal(["Added"], above) == "minor"


@pytest.mark.parametrize(
    ("version", "specifier"),
    [
        ("0.2.0", ">=0.2,<0.3"),
        ("0.2.1", ">=0.2.1,<0.3"),
        ("1.0.0", ">=1.0,<2"),
        ("1.4.2", ">=1.4.2,<2"),
    ],
)
def test_ranges(version: str, specifier: str) -> None:
    assert range_for(Version(version)) == SpecifierSet(specifier)
    assert written(range_for(Version(version))) == specifier
    assert Version(version) in range_for(Version(version))


def state(version: str, *unreleased: str, **needs: str) -> State:
    siblings = {name: Requirement(f"{name}{needs[name]}") for name in needs}
    return State(Version(version), siblings, unreleased)


STATES = {
    "low": state("0.1.0", "Added"),
    "middle": state("0.3.2", low=">=0.1,<0.2"),
    "other": state("0.1.0", "Fixed", low=">=0.1"),
    "high": state("1.0.0", low=">=0.1,<0.2", middle=">=0.3,<0.4"),
}


def test_a_table_is_parsed() -> None:
    table = parse_table(["low=minor", "high=1.0.5"], STATES)
    assert table == {"low": Version("0.2.0"), "high": Version("1.0.5")}
    for wrong in ("low", "none=patch", "low=0.1.0", "low=0.0.9", "low=big"):
        with pytest.raises(ValueError, match=r"low|none|Invalid"):
            parse_table([wrong], STATES)


def test_those_whose_ranges_change_get_a_version_as_well() -> None:
    table = proposals(STATES)
    assert table == {"low": Version("0.2.0"), "other": Version("0.1.1")}
    low = {"low": SpecifierSet(">=0.2,<0.3")}
    assert plan(STATES, table, STATES) == {
        "low": Bump(Version("0.1.0"), Version("0.2.0"), {}),
        "middle": Bump(Version("0.3.2"), Version("0.3.3"), low),
        "other": Bump(Version("0.1.0"), Version("0.1.1"), {}),
        # Its range of middle admits 0.3.3 as it is.
        "high": Bump(Version("1.0.0"), Version("1.0.1"), low),
    }
    patch = {"low": Version("0.1.1")}
    assert list(plan(STATES, patch, STATES)) == ["low"]


def test_ranges_are_replaced_where_they_stand() -> None:
    text = """\
[project]
dependencies = ["mp-sync>=0.1,<0.2", "mp-sync-extra>=0.1,<0.2"]
[project.optional-dependencies]
more = ["mp-sync<0.2,>=0.1"]  # kept
[dependency-groups]
test = ["mp-sync", "pytest>=9"]
"""
    changed = with_ranges(text, {"mp-sync": range_for(Version("0.2.0"))})
    before, after = tomllib.loads(text), tomllib.loads(changed)
    project = after["project"]
    assert project["dependencies"] == ["mp-sync>=0.2,<0.3", "mp-sync-extra>=0.1,<0.2"]
    assert project["optional-dependencies"] == {"more": ["mp-sync>=0.2,<0.3"]}
    assert after["dependency-groups"] == before["dependency-groups"]
    assert "# kept" in changed
    with pytest.raises(ValueError, match="no range of mp-pool"):
        with_ranges(text, {"mp-pool": range_for(Version("0.2.0"))})
