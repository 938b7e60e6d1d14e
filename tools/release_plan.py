"""What a release changes, as pure functions: versions, ranges, changelogs, tags."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

UNRELEASED = "Unreleased"
SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
Part = Literal["major", "minor", "patch"]
PARTS: tuple[Part, ...] = ("major", "minor", "patch")
_HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\S+))?$")


# ------------------------------------------------------------------------------- tags


def tag_of(name: str, version: Version | str) -> str:
    """The tag of a release, such as ``mp-sync-v0.2.1``."""
    return f"{name}-v{version}"


def released_versions(name: str, tags: Iterable[str]) -> set[Version]:
    """The versions of the distribution *name* that have a tag."""
    found = set()
    for tag in tags:
        stem, separator, text = tag.rpartition("-v")
        if separator and stem == name:
            try:
                found.add(Version(text))
            except InvalidVersion:
                pass  # somebody's own tag
    return found


# -------------------------------------------------------------------------- changelogs


@dataclass
class Entry:
    """What a changelog says of one version: lines that are not empty, by section."""

    version: str
    date: str | None
    sections: dict[str, list[str]] = field(default_factory=dict)


def read_changelog(text: str) -> list[Entry]:
    """The entries of a changelog, newest first.

    Raises:
        ValueError: a line is where none should be.
    """
    # Not by the library keepachangelog: it takes each line of a paragraph for an item.
    entries: list[Entry] = []
    section: list[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            heading = _HEADING.match(line)
            if heading is None:
                raise ValueError(f"line {number}: not '## [version] - date': {line}")
            entries.append(Entry(heading[1], heading[2]))
            section = None
        elif line.startswith("### "):
            if not entries:
                raise ValueError(f"line {number}: {line} belongs to no version")
            section = entries[-1].sections.setdefault(line[4:], [])
        elif line.strip() and entries:
            if section is None:
                raise ValueError(f"line {number}: belongs to no section: {line}")
            section.append(line)
    return entries


def changelog_problems(text: str, version: str, today: datetime.date) -> list[str]:
    """What is wrong with a changelog whose newest release should be *version*."""
    try:
        entries = read_changelog(text)
    except ValueError as error:
        return [str(error)]
    if not entries or entries[0].version != UNRELEASED:
        return [f"does not begin with '## [{UNRELEASED}]'"]
    found: list[str] = []
    for entry in entries:
        for name, lines in entry.sections.items():
            if name not in SECTIONS:
                found.append(f"{entry.version}: unknown section {name!r}")
            if not lines:
                found.append(f"{entry.version}: nothing below {name!r}")
    releases = entries[1:]
    for entry in releases:
        if not entry.sections:
            found.append(f"{entry.version}: says nothing")
        try:
            Version(entry.version)
            if datetime.date.fromisoformat(entry.date or "") > today:
                found.append(f"{entry.version}: its date is yet to come")
        except ValueError as error:
            found.append(f"{entry.version}: {error}")
    if found:
        return found
    versions = [Version(entry.version) for entry in releases]
    if versions != sorted(set(versions), reverse=True):
        found.append("its versions are out of order")
    dates = [entry.date or "" for entry in releases]
    if dates != sorted(dates, reverse=True):
        found.append("its dates are out of order")
    if not versions or versions[0] != Version(version):
        found.append(f"its newest entry is not of {version}")
    return found


def with_release(text: str, version: Version, date: datetime.date) -> str:
    """The changelog *text* with what is unreleased released."""
    heading = f"## [{UNRELEASED}]\n"
    assert heading in text, "checked before"
    return text.replace(heading, f"{heading}\n## [{version}] - {date}\n", 1)


def with_change(text: str, line: str) -> str:
    """The changelog *text* with one more line, unreleased, below "Changed"."""
    head, heading, rest = text.partition(f"## [{UNRELEASED}]\n")
    assert heading, "checked before"
    body, older, tail = rest.partition("\n## [")
    if "### Changed\n\n" in body:
        body = body.replace("### Changed\n\n", f"### Changed\n\n{line}\n", 1)
    else:
        body = f"{body.rstrip()}\n\n### Changed\n\n{line}\n".lstrip("\n")
        body = f"\n{body}"
    return head + heading + body + older + tail


# --------------------------------------------------------------------------- versions


@dataclass(frozen=True)
class State:
    """A distribution as it is: version, needs of siblings, and its changelog."""

    version: Version
    siblings: Mapping[str, Requirement]
    unreleased: Collection[str]  # sections of the changelog


@dataclass(frozen=True)
class Bump:
    """What happens to a distribution: its new version, and new ranges of siblings."""

    old: Version
    new: Version
    ranges: Mapping[str, SpecifierSet]


def next_version(version: Version, part: Part) -> Version:
    """The next version after *version*; parts below *part* begin at zero again."""
    numbers = [version.major, version.minor, version.micro]
    index = PARTS.index(part)
    numbers[index:] = [numbers[index] + 1] + [0] * (2 - index)
    return Version(".".join(map(str, numbers)))


def proposal(sections: Collection[str], version: Version) -> Part | None:
    """Which part goes up for what the *sections* of a changelog hold; None for none."""
    if not sections:
        return None
    if set(sections) <= {"Fixed", "Security"}:
        return "patch"
    # Below 1.0 a minor version may break something.
    return "major" if "Removed" in sections and version.major else "minor"


def range_for(version: Version) -> SpecifierSet:
    """What to declare of a sibling of *version*: as far as nothing is broken."""
    lowest = str(version).removesuffix(".0")
    if version.major:
        return SpecifierSet(f">={lowest},<{version.major + 1}")
    return SpecifierSet(f">={lowest},<0.{version.minor + 1}")


def written(specifier: SpecifierSet) -> str:
    """As people write a range: the lower bound first."""
    return ",".join(sorted(str(specifier).split(","), reverse=True))


def parse_table(
    entries: Iterable[str], states: Mapping[str, State]
) -> dict[str, Version]:
    """The new versions that ``mp-sync=patch`` or ``mp-sync=0.2.1`` ask for.

    Raises:
        ValueError: there is no such distribution, or that is no later version.
    """
    found: dict[str, Version] = {}
    for entry in entries:
        name, _, wish = entry.partition("=")
        if name not in states:
            raise ValueError(f"{entry}: not NAME=VERSION or NAME=PART of one of ours")
        old = states[name].version
        part = next((part for part in PARTS if part == wish), None)
        found[name] = next_version(old, part) if part else Version(wish)
        if found[name] <= old:
            raise ValueError(f"{entry}: it is {old} already")
    return found


def proposals(states: Mapping[str, State]) -> dict[str, Version]:
    """A new version for each distribution whose changelog has something unreleased."""
    found: dict[str, Version] = {}
    for name, state in states.items():
        part = proposal(state.unreleased, state.version)
        if part is not None:
            found[name] = next_version(state.version, part)
    return found


def plan(
    states: Mapping[str, State], table: Mapping[str, Version], order: Iterable[str]
) -> dict[str, Bump]:
    """What the new versions in *table* mean for all.

    A range that excludes the new version of a sibling is replaced, and whoever has one
    replaced gets a patch version, if the table has nothing for it.

    Args:
        states: the distributions, by name.
        table: the versions that are wanted, by name.
        order: all names, each one behind those that it needs.
    """
    found: dict[str, Bump] = {}
    for name in order:
        state = states[name]
        ranges = {
            sibling: range_for(found[sibling].new)
            for sibling, requirement in state.siblings.items()
            if sibling in found
            and not requirement.specifier.contains(found[sibling].new, prereleases=True)
        }
        new = table.get(name)
        if new is None and ranges:
            new = next_version(state.version, "patch")
        if new is not None:
            found[name] = Bump(state.version, new, ranges)
    return found


def with_ranges(pyproject: str, siblings: Mapping[str, SpecifierSet]) -> str:
    """A pyproject.toml with other ranges for *siblings*, extras included."""
    for name, specifier in siblings.items():
        # As they are written here: "mp-sync>=0.1,<0.2".  Without a range, as in the
        # group `test`, there is nothing to replace.
        pattern = re.compile(rf'"{re.escape(name)}(?=[<>=!~])[^";]+"')
        pyproject, count = pattern.subn(f'"{name}{written(specifier)}"', pyproject)
        if not count:
            raise ValueError(f"no range of {name} is found")
    return pyproject
