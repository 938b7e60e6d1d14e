"""Test each distribution with nothing but what it declares; ``hatch run alone``.

    ./tools/hatch run alone [DIST ...]

For each one: an empty environment outside the repository; its wheel, which must be
importable with what it requires; then the group ``test`` of its pyproject.toml, and
its tests and mypy on what the sdist holds.  Siblings come from wheels built here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from dists import ROOT, Dist, all_dists, build, check, install, make_venv, run

NO_TESTS = 5  # pytest's exit status when it collects none

#: Whose tests make names in shared memory: one by one, for mp-testing to tell which
#: has left one.  Of the others two files run at a time, and leave none in all.
NAMING = {"mp-managers", "mp-multiprocessing", "mp-sharedctypes"}
SHM = Path("/dev/shm")


def unpack(dist: Dist, built: Path, place: Path) -> Path:
    """Unpack the sdist's tests to where they lie in the repository, below *place*."""
    stem = f"{dist.import_name}-{dist.version}"
    with tarfile.open(built / f"{stem}.tar.gz") as archive:
        archive.extractall(place, filter="data")
    # The same path below the root: test modules get the same names as there.
    target = place / "packages" / dist.name
    target.parent.mkdir()
    (place / stem).rename(target)
    shutil.rmtree(target / "src")  # only the installed one may be found
    for config in (".pytest.toml", ".mypy.ini"):
        shutil.copy(ROOT / config, place)
    return target


def names(owner: int) -> set[str]:
    """Names in shared memory that are a user's."""
    if not SHM.is_dir():
        return set()
    return {path.name for path in SHM.iterdir() if path.stat().st_uid == owner}


def test_alone(dist: Dist, built: Path, place: Path) -> dict[str, str]:
    """Return the verdict of each step."""
    verdicts: dict[str, str] = {}
    tree = unpack(dist, built, place)
    python = make_venv(place / "env")
    step = "import"
    try:
        install(python, built, [dist.name])
        code = f"import {dist.import_name} as m; assert m.__version__ == sys.argv[1]"
        check(python, "-I", "-c", f"import sys; {code}", dist.version, cwd=place)
        verdicts[step] = "ok"
        step = "install for tests"
        install(python, built, [*dist.test_group, "mypy>=2", "pytest-xdist"])
    except subprocess.CalledProcessError as error:
        print(error)
        return verdicts | {step: "FAILED"}

    owner = place.stat().st_uid
    before = names(owner)
    options = () if dist.name in NAMING else ("-n", "2", "--dist", "loadfile")
    status = run(python.with_name("pytest"), *options, tree, cwd=place)
    verdicts["tests"] = {0: "ok", NO_TESTS: "none"}.get(status, "FAILED")
    if left := names(owner) - before:
        print("left in shared memory:", *sorted(left))
        verdicts["names"] = "FAILED"

    # Two runs: a package by name is the installed one, files are given by path.
    mypy = (python, "-m", "mypy", "--strict")
    statuses = [run(*mypy, "-p", dist.import_name, cwd=place)]
    if any((tree / "tests").rglob("*.py")):
        statuses.append(run(*mypy, tree / "tests", cwd=place))
    verdicts["types"] = "FAILED" if any(statuses) else "ok"
    return verdicts


def main(names: list[str]) -> int:
    dists = all_dists()
    if unknown := set(names) - dists.keys():
        sys.exit(f"no such distribution: {', '.join(sorted(unknown))}")
    # The tests' own default again, unless the caller has said how many Pythons.
    if not os.environ.get("MP_INTEROP_MINIMUM"):
        os.environ.pop("MP_INTEROP_MINIMUM", None)
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mp-alone-") as directory:
        built = Path(directory, "built")
        built.mkdir()
        build(built)
        for name in names or dists:
            print(f"\n=== {name} alone", flush=True)
            start = time.monotonic()
            place = Path(directory, name)
            place.mkdir()
            verdicts = test_alone(dists[name], built, place)
            text = ", ".join(f"{step}: {verdict}" for step, verdict in verdicts.items())
            lines.append(f"{name:20} {time.monotonic() - start:6.1f} s  {text}")
    print("\n=== summary", *lines, sep="\n")
    return any("FAILED" in line for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
