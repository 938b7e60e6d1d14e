"""Test each distribution with the oldest siblings it declares; ``hatch run oldest``.

    ./tools/hatch run oldest [DIST ...]

A range such as ``mp-sync>=0.2,<0.3`` says that 0.2.0 is enough; this is the proof.  The
oldest version comes from its tag, ``mp-sync-v0.2.0``, or from the tree if it has no tag
and the tree is of that version.  Where every sibling of a distribution comes from the
tree, or is the same there, `alone` has tested it, and it is not tested again.  A bound
that has no source, or that does not go with the others, is a failure.
"""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import alone
from dists import CONSTRAINTS, ROOT, Dist, all_dists, build, build_wheel, git, tags
from packaging.requirements import Requirement
from packaging.version import Version
from release_plan import released_versions, tag_of

#: What a wheel is made of.
PARTS = ("hatch_build.py", "native", "pyproject.toml", "src")


@dataclass(frozen=True)
class Source:
    """A version of a distribution, and where it is to be had."""

    version: Version
    tag: str | None  # None for the tree
    needs: Mapping[str, Requirement]  # of siblings


class NoSourceError(Exception):
    """The siblings that the pins admit are not to be had, or do not go together."""


def oldest(requirement: Requirement, sources: Iterable[Source]) -> Source:
    """The oldest of *sources* that a *requirement* admits.

    Raises:
        NoSourceError: it is not the one that the lower bound names.
    """
    lower = (">=", "==", "~=")
    bounds = [s.version for s in requirement.specifier if s.operator in lower]
    admitted = [
        source
        for source in sources
        if requirement.specifier.contains(source.version, prereleases=True)
    ]
    # Of the same version, what was released: that is what users have.
    admitted.sort(key=lambda source: (source.version, source.tag is None))
    if len(bounds) != 1:
        raise NoSourceError(f"{requirement} has no lower bound")
    if not admitted or admitted[0].version != Version(bounds[0]):
        wanted = tag_of(requirement.name, bounds[0])
        raise NoSourceError(
            f"{requirement}: neither the tree nor a tag ({wanted}) has {bounds[0]};"
            " raise the bound, or fetch the tags"
        )
    return admitted[0]


def goes_with(source: Source, others: Mapping[str, Source]) -> bool:
    """Whether the pins of a *source* admit those of the *others* that it needs."""
    return all(
        requirement.specifier.contains(others[name].version, prereleases=True)
        for name, requirement in source.needs.items()
        if name in others
    )


def pick(
    declared: Mapping[str, Requirement], known: Mapping[str, list[Source]]
) -> dict[str, Source]:
    """Choose a version of each sibling: of those *declared* the oldest.

    Of the others, which its tests need, it is the newest that goes with these.

    Raises:
        NoSourceError: there are none.
    """
    found = {
        name: oldest(declared[name], known[name]) for name in known if name in declared
    }
    for name, source in found.items():
        if not goes_with(source, found):
            raise NoSourceError(
                f"{declared[name]}: {name} {source.version} does not go with the oldest"
                " of the other siblings; raise its bound"
            )
    for name in known.keys() - declared.keys():
        newest = sorted(
            known[name], key=lambda s: (s.tag is None, s.version), reverse=True
        )
        fitting = next((s for s in newest if goes_with(s, found)), None)
        if fitting is not None:
            found[name] = fitting
    return found


# ------------------------------------------------------------------- the repository


def needs_of(
    metadata: Mapping[str, object], names: Iterable[str]
) -> dict[str, Requirement]:
    """What a pyproject.toml always needs of the distributions *names*."""
    project = metadata["project"]
    assert isinstance(project, dict)
    found = map(Requirement, project.get("dependencies", []))
    return {r.name: r for r in found if r.name in set(names)}


def sources(dist: Dist, names: Iterable[str], root: Path = ROOT) -> list[Source]:
    """All versions of *dist* that the repository has."""
    names = set(names)
    here = Version(dist.version)
    found = [Source(here, None, needs_of(dist.metadata, names))]
    for version in released_versions(dist.name, tags(root)):
        tag = tag_of(dist.name, version)
        path = f"packages/{dist.name}"
        if version == here:
            # The tree has changed since, or it is the same and need not be built.
            paths = [f"{path}/{part}" for part in PARTS]
            if not git("diff", "--stat", tag, "--", *paths, root=root):
                continue
        text = git("show", f"{tag}:{path}/pyproject.toml", root=root).decode()
        found.append(Source(version, tag, needs_of(tomllib.loads(text), names)))
    return found


def fetch(name: str, tag: str, place: Path, root: Path = ROOT) -> Path:
    """Unpack the distribution *name* as it was at a *tag*, below *place*."""
    content = git("archive", tag, f"packages/{name}", root=root)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(place / tag, filter="data")
    return place / tag / "packages" / name


def test_with(
    dist: Dist, picked: Mapping[str, Source], built: Path, place: Path
) -> dict[str, str]:
    """Test *dist*, built in *built*, as `alone` does, with those that were *picked*."""
    mine = place / "built"
    shutil.copytree(built, mine)
    wheels = {
        name: build_wheel(fetch(name, source.tag, place), place / source.tag)
        for name, source in picked.items()
        if source.tag is not None
    }
    constraints = mine / CONSTRAINTS
    lines = [
        line
        for line in constraints.read_text("utf-8").splitlines()
        if line.partition(" @ ")[0].replace("_", "-") not in wheels
    ]
    lines += [f"{name} @ {wheel.as_uri()}" for name, wheel in wheels.items()]
    constraints.write_text("\n".join(lines) + "\n", "utf-8")
    return alone.test_alone(dist, mine, place)


def main(names: list[str]) -> int:
    dists = all_dists()
    if unknown := set(names) - dists.keys():
        sys.exit(f"no such distribution: {', '.join(sorted(unknown))}")
    known = {name: sources(dist, dists) for name, dist in dists.items()}
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mp-oldest-") as directory:
        built = Path(directory, "built")
        for name in names or dists:
            declared = dists[name].extras | dists[name].requires
            others = {sibling: s for sibling, s in known.items() if sibling != name}
            try:
                picked = pick(declared, others)
            except NoSourceError as error:
                lines.append(f"{name:20} FAILED: {error}")
                continue
            older = {n: s for n, s in picked.items() if s.tag and n in declared}
            if not older:
                lines.append(f"{name:20} the oldest are those of the tree, see alone")
                continue
            said = ", ".join(f"{n} {s.version}" for n, s in sorted(older.items()))
            print(f"\n=== {name} with {said}", flush=True)
            start = time.monotonic()
            if not built.exists():
                built.mkdir()
                build(built)
            place = Path(directory, name)
            place.mkdir()
            verdicts = test_with(dists[name], picked, built, place)
            text = ", ".join(f"{step}: {verdict}" for step, verdict in verdicts.items())
            took = time.monotonic() - start
            lines.append(f"{name:20} {took:6.1f} s  with {said}: {text}")
    print("\n=== summary", *lines, sep="\n")
    return any("FAILED" in line for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
