"""Building what is published, and checking it; used by ``release.py``.

An extension is compiled by zig, which brings the headers and stubs of every glibc and
of musl: one machine makes wheels for old systems and for Alpine, whatever it runs
itself.  auditwheel then says which tag each deserves.  It knows musl by a name that
Alpine's linker writes and zig's does not; hence patchelf.  musl takes both for itself.
"""

from __future__ import annotations

import csv
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dists import ROOT, Dist, all_dists, build_wheel, check, clean_environ
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename

MACHINE = platform.machine()
EXTENSION = "_native.abi3.so"


@dataclass(frozen=True)
class Target:
    """A C library that wheels are made for."""

    libc: str
    zig: str
    tag: str


TARGETS = (
    Target("glibc", f"{MACHINE}-linux-gnu.2.17", f"manylinux_2_17_{MACHINE}"),
    Target("musl", f"{MACHINE}-linux-musl", f"musllinux_1_2_{MACHINE}"),
)


# ----------------------------------------------------------------------------- building


def build_release(into: Path) -> None:
    """Put all that is published into the directory *into*, which is made anew.

    Raises:
        subprocess.CalledProcessError: something cannot be built, or only without its
            extension, or for fewer systems than it should be.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="mp-release-") as directory:
        for dist in all_dists().values():
            target = ("-t", "sdist", "-d", str(into))
            hatchling = (sys.executable, "-m", "hatchling", "build", *target)
            check(*hatchling, cwd=dist.path)
            source = _unpack(dist, into, Path(directory))
            for libc in TARGETS if _is_native(dist) else ():
                place = Path(directory, dist.name, libc.libc)
                print(f"{dist.name} {dist.version} for {libc.tag}", flush=True)
                environment = _compiler(dist, libc)
                _repair(build_wheel(source, place, environment), libc, into)
            if not _is_native(dist):
                print(f"{dist.name} {dist.version}", flush=True)
                shutil.copy(build_wheel(source, Path(directory, dist.name)), into)


def _is_native(dist: Dist) -> bool:
    return (dist.path / "native").is_dir()


def _unpack(dist: Dist, built: Path, place: Path) -> Path:
    """Unpack the sdist: a wheel is made of what is published, and of nothing else."""
    stem = f"{dist.import_name}-{dist.version}"
    with tarfile.open(built / f"{stem}.tar.gz") as archive:
        archive.extractall(place / "sources", filter="data")
    source = place / "sources" / dist.name
    (place / "sources" / stem).rename(source)
    return source


def _compiler(dist: Dist, target: Target) -> dict[str, str]:
    """What has hatch_build.py compile the extension of *dist* for a *target*."""
    zig = f"{sys.executable} -m ziglang cc -target {target.zig}"
    return {
        f"{dist.import_name.upper()}_EXTENSION": "require",
        "CC": zig,
        # Else it links with what this Python was linked with, its run path included.
        # Without -O zig would compile a runtime for debugging, which takes a minute.
        "LDSHARED": f"{zig} -shared -O2",
        "ZIG_GLOBAL_CACHE_DIR": str(ROOT / ".hatch" / "cache" / "zig"),
    }


def _repair(wheel: Path, target: Target, into: Path) -> None:
    options = ["--only-plat", "--plat", target.tag]
    if target.libc == "musl":
        wheel = _name_musl(wheel)
        options = []  # by name it takes only the host's kind; this one it finds itself
    check(sys.executable, "-m", "auditwheel", "repair", *options, "-w", into, wheel)


def _name_musl(wheel: Path) -> Path:
    """Return the *wheel* with musl named as auditwheel knows it."""
    place = wheel.parent / "unpacked"
    tool = (sys.executable, "-m", "wheel")
    check(*tool, "unpack", "--dest", place, wheel)
    (tree,) = place.iterdir()
    for library in tree.rglob("*.so"):
        name = f"libc.musl-{MACHINE}.so.1"
        check("patchelf", "--replace-needed", "libc.so", name, library)
    check(*tool, "pack", "--dest-dir", place, tree)
    (packed,) = place.glob("*.whl")
    return packed


# ----------------------------------------------------------------------------- checking


def problems(directory: Path) -> list[str]:
    """Describe all that is wrong with what is to be published from a *directory*."""
    found: list[str] = []
    dists = all_dists().values()
    left = {path.name for path in directory.iterdir()}
    for dist in dists:
        stem = f"{dist.import_name}-{dist.version}"
        sdist = directory / f"{stem}.tar.gz"
        wheels = sorted(directory.glob(f"{stem}-*.whl"))
        left -= {sdist.name, *(wheel.name for wheel in wheels)}
        found += [f"{dist.name}: {what}" for what in _sdist_problems(dist, sdist)]
        found += [f"{dist.name}: {what}" for what in tag_problems(dist, wheels)]
        for wheel in wheels:
            found += [f"{wheel.name}: {what}" for what in wheel_problems(dist, wheel)]
    found += [f"{name}: not of these versions" for name in sorted(left)]
    files = sorted(path for path in directory.iterdir() if path.name not in left)
    return found + _said("twine", "check", "--strict", *files)


def _sdist_problems(dist: Dist, sdist: Path) -> Iterator[str]:
    if not sdist.exists():
        yield f"there is no {sdist.name}"
        return
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    version = f"src/{dist.import_name}/_version.py"
    wanted = {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    for name in sorted(wanted | {version} - names):
        if name not in names:
            yield f"{sdist.name} lacks {name}"
    if not any(name.startswith("tests/") for name in names):
        yield f"{sdist.name} lacks the tests"
    for name in sorted(names):
        if name.endswith((".so", ".pyc")) or Path(name).name.startswith(".hypothesis"):
            yield f"{sdist.name} holds {name}"


def tag_problems(dist: Dist, wheels: Sequence[Path]) -> Iterator[str]:
    """Yield what systems are missing, or too many."""
    tags = [{str(tag) for tag in parse_wheel_filename(w.name)[3]} for w in wheels]
    wanted = ["py3-none-any"]
    if _is_native(dist):
        wanted = [f"cp311-abi3-{target.tag}" for target in TARGETS]
    for tag in wanted:
        count = sum(tag in each for each in tags)
        if count != 1:
            yield f"{count} wheels for {tag}"
    for wheel, each in zip(wheels, tags, strict=True):
        if not each.intersection(wanted):
            yield f"{wheel.name} is for none of {', '.join(wanted)}"


def wheel_problems(dist: Dist, wheel: Path) -> list[str]:
    """Describe what is wrong with the contents and the metadata of one *wheel*."""
    info = f"{dist.import_name}-{dist.version}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        text = archive.read(f"{info}/METADATA")
        tags = archive.read(f"{info}/WHEEL").decode().splitlines()
        found = list(record_problems(archive, info))
    found += metadata_problems(dist, text)
    if f"{info}/licenses/LICENSE" not in names:
        found.append("lacks the licence")
    stated = {line.removeprefix("Tag: ") for line in tags if line.startswith("Tag: ")}
    if stated != {str(tag) for tag in parse_wheel_filename(wheel.name)[3]}:
        found.append(f"its name says other tags than it does: {', '.join(stated)}")
    libraries = {name for name in names if name.endswith(".so")}
    wanted = {f"{dist.import_name}/{EXTENSION}"} if _is_native(dist) else set()
    if libraries != wanted:
        found.append(f"holds the libraries {sorted(libraries)}, not {sorted(wanted)}")
    # W102 is a file that the source lacks: the extension, which was looked for above.
    ignored = ("--ignore", "W102") if _is_native(dist) else ()
    source = ("--package", dist.path / "src" / dist.import_name)
    omitted = ("--package-omit", "*.so,*.pyc,__pycache__")
    options = ("--no-config", *source, *omitted, *ignored)
    found += _said("check_wheel_contents", *options, wheel)
    if _is_native(dist):
        found += _said("abi3audit", "--strict", wheel)
        found += _said("auditwheel", "show", wheel, must="consistent with")
    return found


def record_problems(archive: zipfile.ZipFile, info: str) -> Iterator[str]:
    """Yield how the files differ from those that are recorded.

    check-wheel-contents looks at these only.
    """
    lines = archive.read(f"{info}/RECORD").decode().splitlines()
    recorded = {row[0] for row in csv.reader(lines)}
    names = {name for name in archive.namelist() if not name.endswith("/")}
    if names != recorded:
        yield f"records other files than it has: {sorted(names ^ recorded)}"


def metadata_problems(dist: Dist, text: bytes) -> Iterator[str]:
    """Yield where the metadata differ from what the pyproject.toml says."""
    try:
        metadata = Metadata.from_email(text, validate=True)
    except ExceptionGroup as group:
        for error in group.exceptions:
            yield str(error)
        return
    project = dist.metadata["project"]
    requires = {
        str(Requirement(str(requirement).partition(";")[0]))
        for requirement in metadata.requires_dist or ()
    }
    declared = {str(r) for r in (*dist.requires.values(), *dist.extras.values())}
    pairs = {
        "Name": (metadata.name, dist.name),
        "Version": (str(metadata.version), dist.version),
        "Summary": (metadata.summary, project["description"]),
        "License-Expression": (metadata.license_expression, project["license"]),
        "Requires-Dist": (requires, declared),
        "Requires-Python": (
            metadata.requires_python,
            SpecifierSet(project["requires-python"]),
        ),
        "Description-Content-Type": (
            metadata.description_content_type,
            "text/markdown",
        ),
        "Classifier": (metadata.classifiers, sorted(project["classifiers"])),
    }
    for key, (said, wanted) in pairs.items():
        if said != wanted:
            yield f"{key} is {said!r}, and not {wanted!r}"


def _said(module: str, *arguments: str | Path, must: str = "") -> list[str]:
    """Run a tool on wheels; return what it says if it is not content."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environ() | {"NO_COLOR": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # They break lines where names are long.
    if done.returncode == 0 and must in " ".join(done.stdout.split()):
        return []
    return [f"{module}: {done.stdout.strip()}"]
