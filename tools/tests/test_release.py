"""A release of the real tree, in a copy; and wheels that nobody should publish."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import check_graph
import dists
import pytest
import release
import release_wheels
from packaging.version import Version
from release_plan import Bump, changelog_problems, next_version

DISTS = dists.all_dists()
HEADING = "## [Unreleased]\n\n### Fixed\n\n- A thing.\n"


@pytest.fixture
def copied(tmp_path: Path) -> dict[str, dists.Dist]:
    for dist in DISTS.values():
        for file in (
            dist.path / "pyproject.toml",
            release.changelog_of(dist),
            release.version_file(dist),
        ):
            target = tmp_path / file.relative_to(dists.ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return dists.all_dists(tmp_path)


def test_this_tree_can_be_released() -> None:
    assert release.tree_problems() == []


def test_a_new_version_reaches_all_that_need_it(copied: dict[str, dists.Dist]) -> None:
    root = copied["mp-connection"].path.parents[1]
    file = release.changelog_of(copied["mp-connection"])
    if not release.unreleased(copied["mp-connection"]):
        text = file.read_text("utf-8")
        file.write_text(text.replace("## [Unreleased]\n", HEADING, 1), "utf-8")
    found = release.planned(copied, ["mp-connection=minor"])
    assert found.keys() == DISTS.keys()
    for name, bump in found.items():
        release.apply(copied[name], bump)
        said = release.describe(name, bump, ["Fixed"])
        assert f"{DISTS[name].version} -> {bump.new}" in said
    after = dists.all_dists(root)
    wanted = next_version(Version(DISTS["mp-connection"].version), "minor")
    assert after["mp-connection"].version == str(wanted)
    assert check_graph.problems(root) == []
    for dist in after.values():
        text = release.changelog_of(dist).read_text("utf-8")
        assert changelog_problems(text, dist.version, release.today()) == []
        assert release.unreleased(dist) == {}
    assert release.planned(after, []) == {}


def test_a_release_of_nothing_is_refused(copied: dict[str, dists.Dist]) -> None:
    file = release.changelog_of(copied["mp-pool"])
    version = Version(DISTS["mp-pool"].version)
    bump = Bump(version, next_version(version, "patch"), {})
    text = file.read_text()
    if release.unreleased(copied["mp-pool"]):
        release.apply(copied["mp-pool"], bump)
        assert file.read_text() != text
    again = dists.all_dists(copied["mp-pool"].path.parents[1])
    with pytest.raises(ValueError, match="mp-pool: its changelog has nothing"):
        release.planned(again, ["mp-pool=patch"])


def test_wheels_for_the_wrong_systems_are_found() -> None:
    pure, native = DISTS["mp-pool"], DISTS["mp-sync"]
    machine = release_wheels.MACHINE

    def problems(dist: dists.Dist, *tags: str) -> list[str]:
        wheels = [Path(f"{dist.import_name}-1.0-{tag}.whl") for tag in tags]
        return list(release_wheels.tag_problems(dist, wheels))

    old = f"cp311-abi3-manylinux2014_{machine}.manylinux_2_17_{machine}"
    musl = f"cp311-abi3-musllinux_1_2_{machine}"
    assert problems(pure, "py3-none-any") == []
    assert problems(native, old, musl) == []
    assert problems(native, old) == [f"0 wheels for {musl}"]
    assert len(problems(native, f"cp311-abi3-linux_{machine}", musl)) == 2
    assert len(problems(pure, f"cp311-abi3-linux_{machine}")) == 2


def test_a_wheel_that_differs_from_the_tree_is_found(tmp_path: Path) -> None:
    dist = DISTS["mp-pool"]
    wheel = dists.build_wheel(dist.path, tmp_path)
    info = f"mp_pool-{dist.version}.dist-info"
    with zipfile.ZipFile(wheel, "a") as archive:
        text = archive.read(f"{info}/METADATA")
        assert list(release_wheels.record_problems(archive, info)) == []
        archive.writestr("mp_pool/more.py", "")
        (problem,) = release_wheels.record_problems(archive, info)
        assert "['mp_pool/more.py']" in problem
    assert list(release_wheels.metadata_problems(dist, text)) == []
    for old, new, key in (
        (b"\nVersion: ", b"\nVersion: 1!", "Version"),
        (b"Requires-Dist: mp-process", b"Requires-Dist: mp-processes", "Requires-Dist"),
        (b"Requires-Python: >=3.11", b"Requires-Python: >=3.8", "Requires-Python"),
        (b"MIT", b"BSD-3-Clause", "License-Expression"),
    ):
        changed = text.replace(old, new, 1)
        (problem,) = release_wheels.metadata_problems(dist, changed)
        assert problem.startswith(f"{key} is ")
    broken = text.replace(b"Name: ", b"Nme: ", 1)
    assert list(release_wheels.metadata_problems(dist, broken)) != []
