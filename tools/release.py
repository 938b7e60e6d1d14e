"""Releases, step by step; ``hatch run release bump`` and so on.

    ./tools/hatch run release bump                 # proposes versions
    ./tools/hatch run release bump --proposed      # writes them
    ./tools/hatch run release bump mp-sync=patch mp-pool=0.3.0     # or these
    ./tools/hatch run release check [DIRECTORY]    # the tree, and what is in there
    ./tools/hatch run release build [DIRECTORY]    # into dist/release, and checks it
    ./tools/hatch run release tag [DIST ...]       # says which tags
    ./tools/hatch run release tag --yes [DIST ...] # makes them

A commit comes before `release build`, and an upload at the end is nobody's but yours.
Only `release tag --yes` changes anything but files of this tree.

An extension is built for manylinux_2_17 and musllinux_1_2 of this machine's processor,
on whatever Linux it runs.  For another processor, `release build` runs on a machine of
that kind.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import check_graph
import oldest
import release_wheels
from dists import ROOT, Dist, all_dists, git, tags
from packaging.version import Version
from release_plan import (
    UNRELEASED,
    Bump,
    State,
    changelog_problems,
    parse_table,
    plan,
    proposals,
    read_changelog,
    tag_of,
    with_change,
    with_ranges,
    with_release,
    written,
)

DIRECTORY = ROOT / "dist" / "release"


def today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def changelog_of(dist: Dist) -> Path:
    return dist.path / "CHANGELOG.md"


def version_file(dist: Dist) -> Path:
    return dist.path / "src" / dist.import_name / "_version.py"


def unreleased(dist: Dist) -> dict[str, list[str]]:
    """What the changelog of *dist* has that no release has."""
    entries = read_changelog(changelog_of(dist).read_text("utf-8"))
    return entries[0].sections if entries[0].version == UNRELEASED else {}


def states(dists: dict[str, Dist]) -> dict[str, State]:
    found: dict[str, State] = {}
    for name, dist in dists.items():
        declared = dist.extras | dist.requires
        siblings = {other: declared[other] for other in declared if other in dists}
        found[name] = State(Version(dist.version), siblings, unreleased(dist))
    return found


# ----------------------------------------------------------------------------- commands


def tree_problems(root: Path = ROOT) -> list[str]:
    """Describe what in the tree is in the way of a release."""
    dists = all_dists(root)
    found = check_graph.problems(root)
    existing = set(tags(root))
    known = {name: oldest.sources(dist, dists, root) for name, dist in dists.items()}
    for name, dist in dists.items():
        text = changelog_of(dist).read_text("utf-8")
        wrong = changelog_problems(text, dist.version, today())
        tag = tag_of(name, dist.version)
        source = f"packages/{name}/src"
        if (
            not wrong
            and tag in existing
            and not unreleased(dist)
            and git("diff", "--stat", tag, "--", source, root=root)
        ):
            wrong.append(f"changed since {tag}, and its changelog says nothing")
        others = {other: where for other, where in known.items() if other != name}
        try:
            oldest.pick(dist.extras | dist.requires, others)
        except oldest.NoSourceError as error:
            wrong.append(str(error))
        found += [f"{name}: {what}" for what in wrong]
    return found


def planned(dists: dict[str, Dist], entries: Sequence[str]) -> dict[str, Bump]:
    """What *entries* ask for, or without any what the changelogs propose.

    Raises:
        ValueError: they ask for what is not possible.
    """
    now = states(dists)
    table = parse_table(entries, now) if entries else proposals(now)
    order = TopologicalSorter({name: set(now[name].siblings) for name in now})
    found = plan(now, table, order.static_order())
    for name, bump in found.items():
        if not now[name].unreleased and not bump.ranges:
            raise ValueError(f"{name}: its changelog has nothing unreleased")
    return found


def describe(name: str, bump: Bump, sections: Sequence[str]) -> str:
    ranges = [other + written(specifier) for other, specifier in bump.ranges.items()]
    why = ", ".join([*sections, *ranges])
    return f"{name:20} {bump.old!s:>8} -> {bump.new!s:8} {why}"


def apply(dist: Dist, bump: Bump) -> None:
    """Write a new version into the files of *dist*."""
    file = version_file(dist)
    text = file.read_text("utf-8")
    file.write_text(text.replace(f'"{bump.old}"', f'"{bump.new}"'), "utf-8")
    project = dist.path / "pyproject.toml"
    text = project.read_text("utf-8")
    project.write_text(with_ranges(text, bump.ranges), "utf-8")
    file = changelog_of(dist)
    text = file.read_text("utf-8")
    for other, specifier in bump.ranges.items():
        text = with_change(text, f"- It needs {other} {written(specifier)}.")
    file.write_text(with_release(text, bump.new, today()), "utf-8")


def bump(entries: Sequence[str], proposed: bool) -> int:
    dists = all_dists()
    try:
        found = planned(dists, entries)
    except ValueError as error:
        print(error)
        return 1
    for name, change in found.items():
        print(describe(name, change, list(unreleased(dists[name]))))
        if entries or proposed:
            apply(dists[name], change)
    if not found:
        print("nothing is unreleased")
    elif entries or proposed:
        print("written; read the changelogs, run all tests, and commit")
    else:
        print("a proposal, nothing is written: --proposed, or NAME=PART ... does it")
    return 0


def report(found: list[str]) -> int:
    print(*found, f"{len(found)} problems", sep="\n")
    return bool(found)


def build(directory: Path) -> int:
    release_wheels.build_release(directory)
    status = report(tree_problems() + release_wheels.problems(directory))
    if not status:
        print(f"upload them by: python -m twine upload {directory}/*")
    return status


def tag(names: Sequence[str], really: bool) -> int:
    dists = all_dists()
    if missing := set(names) - dists.keys():
        return report([f"no such distribution: {name}" for name in sorted(missing)])
    existing = set(tags())
    wanted = {
        name: tag_of(name, dists[name].version)
        for name in names or dists
        if tag_of(name, dists[name].version) not in existing
    }
    found = tree_problems()
    if git("status", "--porcelain"):
        found.append("the tree has changes that are not committed")
    for name in wanted:
        if unreleased(dists[name]):
            found.append(f"{name}: something is unreleased; release bump comes first")
    if found:
        return report(found)
    for name, text in wanted.items():
        command = ("tag", "--annotate", text, "-m", f"{name} {dists[name].version}")
        print("git", *command[:3])
        if really:
            git(*command)
    if wanted:
        made = "now" if really else "not done; --yes does it, and then"
        print(f"{made}: git push origin {' '.join(wanted.values())}")
    return report([])


def main(arguments: Sequence[str] | None = None) -> int:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser("release", None, __doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("bump", help="new versions, ranges and changelogs")
    command.add_argument("entries", nargs="*", metavar="NAME=VERSION|major|minor|patch")
    command.add_argument("--proposed", action="store_true", help="write the proposal")
    command = commands.add_parser("check", help="the tree, and a directory")
    command.add_argument("directory", nargs="?", type=Path)
    command = commands.add_parser("build", help="all that is published, checked")
    command.add_argument("directory", nargs="?", type=Path, default=DIRECTORY)
    command = commands.add_parser("tag", help="tags for versions that have none")
    command.add_argument("names", nargs="*", metavar="DIST")
    command.add_argument("--yes", action="store_true", help="really make them")
    options = parser.parse_args(arguments)
    match options.command:
        case "bump":
            return bump(options.entries, options.proposed)
        case "check":
            wheels = options.directory and release_wheels.problems(options.directory)
            return report(tree_problems() + (wheels or []))
        case "build":
            return build(options.directory.resolve())
        case _:
            return tag(options.names, options.yes)


if __name__ == "__main__":
    sys.exit(main())
