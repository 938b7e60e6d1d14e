"""Run mypy on everything, for every platform; used by ``hatch run types``.

    ./tools/hatch run types [NAME ...]      only these distributions or directories

One mypy process per distribution, as test modules of different ones share names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dists import ROOT, TESTING, all_dists

PLATFORMS = ("linux", "win32", "darwin")
PARTS = ("src", "tests", "examples", "hatch_build.py")


def targets() -> dict[str, list[Path]]:
    """Return what is checked in one go, by name."""
    found = {
        name: [dist.path / part for part in PARTS] for name, dist in all_dists().items()
    }
    # typing/ is check_installed_types.py's.
    whole = ROOT / "tests-integration"
    found["tests-integration"] = [*sorted(whole.glob("*.py")), whole / "conformance"]
    tools = ROOT / "tools"
    found["tools"] = [*sorted(tools.glob("*.py")), tools / "tests", tools / "bench"]
    found[TESTING.name] = [TESTING / "src", TESTING / "tests"]
    return {
        name: [path for path in paths if path.is_file() or any(path.rglob("*.py"))]
        for name, paths in found.items()
    }


def check_platform(platform: str, chosen: dict[str, list[Path]]) -> int:
    """Check all of *chosen* for *platform* and return how many failed."""
    failed = 0
    for name, paths in chosen.items():
        if not paths:
            continue
        # A cache for each platform: the option is part of what a cached result
        # depends on, and one cache would be thrown away at each change.
        options = ("--platform", platform, "--cache-dir", f".mypy_cache/{platform}")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", *options, *paths],
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        failed += bool(done.returncode)
        verdict = done.stdout if done.returncode else "ok\n"
        # In one piece, as another thread writes as well.
        sys.stdout.write(f"{name} on {platform}: {verdict}")
        sys.stdout.flush()
    return failed


def main(names: list[str]) -> int:
    known = targets()
    if unknown := set(names) - known.keys():
        sys.exit(f"no such thing: {', '.join(sorted(unknown))}")
    chosen = {name: known[name] for name in names or known}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(PLATFORMS))) as executor:
        counts = executor.map(lambda p: check_platform(p, chosen), PLATFORMS)
    failed = sum(counts)
    print(f"{failed} failed" if failed else "all passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
