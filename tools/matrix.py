"""Run all tests on every supported Python; used by ``hatch run matrix``.

    ./tools/hatch run matrix [--python VERSION] ... [--others] [--allow-missing]
                             [PYTEST ARGS]

Each gets an environment of its own with the built wheels of all distributions.
Interpreters are looked for on PATH and among pyenv's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

from dists import ROOT, all_dists, build, install, make_venv, run
from packaging.requirements import Requirement

VERSIONS = ("3.11", "3.12", "3.13")
#: What tests-integration needs besides; hatch.toml says which versions.
INTEGRATION = {
    "coverage", "dill", "distributed", "flake8", "hatchling", "joblib", "numpy",
    "pebble", "setuptools",
}  # fmt: skip
#: Three files at a time, as in `test`.
ALL = ["-n", "3", "--dist", "loadfile", "packages", "tests-integration"]
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
PROBE = (
    "import sys, sysconfig, venv;"
    "gil = not sysconfig.get_config_var('Py_GIL_DISABLED');"
    "print(sys.implementation.name, '%d.%d' % sys.version_info[:2], gil)"
)


def candidates(version: str) -> Iterator[str | Path]:
    yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def find(version: str) -> str | Path | None:
    """Return a Python of *version* that runs: pyenv's shims on PATH may not."""
    for python in candidates(version):
        try:
            done = subprocess.run(
                [python, "-c", PROBE], capture_output=True, text=True, check=False
            )
        except OSError:
            continue
        if done.stdout.split() == ["cpython", version, "True"]:
            return python
    return None


def integration() -> list[str]:
    """What tests-integration needs besides what the distributions' tests do."""
    settings = tomllib.loads((ROOT / "hatch.toml").read_text("utf-8"))
    needed = settings["envs"]["default"]["dependencies"]
    found = [text for text in needed if _name(text) in INTEGRATION]
    assert len(found) == len(INTEGRATION), found
    return found


def _name(requirement: str) -> str:
    return Requirement(requirement.partition("@")[0]).name


def main() -> int:
    parser = argparse.ArgumentParser(description="Run all tests on every Python.")
    parser.add_argument("--python", action="append", choices=VERSIONS)
    parser.add_argument(
        "--others",
        action="store_true",
        help="but for this Python, on which `test` and `alone` have run them",
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="pass without an interpreter"
    )
    options, pytest_args = parser.parse_known_args()
    dists = all_dists()
    tools = {needed for dist in dists.values() for needed in dist.test_group}
    tools |= {*integration(), "pytest-xdist"}
    lines: list[str] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="mp-matrix-") as directory:
        built = Path(directory, "built")
        built.mkdir()
        build(built)
        for version in options.python or VERSIONS:
            if options.others and version == THIS:
                lines.append(f"{version}: left out, this Python")
                continue
            print(f"\n=== Python {version}", flush=True)
            start = time.monotonic()
            python = find(version)
            if python is None:
                failed |= not options.allow_missing
                lines.append(f"{version}: MISSING, not tested")
                continue
            inside = make_venv(Path(directory, version), python)
            install(inside, built, [*dists, *sorted(tools)])
            tests = pytest_args or ALL
            status = run(inside.with_name("pytest"), "-p", "no:cacheprovider", *tests)
            failed |= bool(status)
            verdict = f"FAILED, status {status}" if status else "ok"
            took = time.monotonic() - start
            lines.append(f"{version}: {verdict}, {took:.0f} s, {python}")
    print("\n=== summary", *lines, sep="\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
