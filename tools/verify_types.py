"""Check that all that is public is typed; used by ``hatch run verify:types``.

    ./tools/hatch run verify:types [DIST ...]

`basedpyright --verifytypes` reads a package as a user's checker does, and reports every
symbol whose type it has to guess.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dists import all_dists, clean_environ


def verify(package: str, place: Path) -> list[str]:
    """Return what is wrong with the types of *package*, which lies in *place*."""
    command = (sys.executable, "-m", "basedpyright", "--outputjson", "--verifytypes")
    done = subprocess.run(
        [*command, package],
        cwd=place,
        # It asks this Python for its path, and passes over what .pth files add.
        env=clean_environ() | {"PYTHONPATH": str(place)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    problems = [
        f"{symbol['name']}: {problem['message']}"
        for symbol in report["symbols"]
        for problem in symbol["diagnostics"]
        if problem["severity"] == "error"
    ]
    score, total = (
        report["completenessScore"],
        sum(report["exportedSymbolCounts"].values()),
    )
    print(f"{package}: {score:.1%} of {total}" if total else f"{package}: nothing yet")
    # What is not found exports nothing either.
    found = report.get("pyTypedPath") is not None
    if not problems and (not found or (total and score < 1)):
        problems = [f"{package}: not complete, or without py.typed"]
    return problems


def main(names: list[str]) -> int:
    dists = all_dists()
    if unknown := set(names) - dists.keys():
        sys.exit(f"no such distribution: {', '.join(sorted(unknown))}")
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mp-verify-") as directory:
        place = Path(directory)
        for dist in dists.values():
            source = dist.path / "src" / dist.import_name
            os.symlink(source, place / dist.import_name)
        for name in names or dists:
            problems += verify(dists[name].import_name, place)
    print(*problems, sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
