"""The examples in the READMEs run and print what stands below them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A program, and the block of expected output if one follows.
EXAMPLE = re.compile(
    r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)


def examples() -> list[object]:
    found: list[object] = []
    for readme in sorted(ROOT.glob("packages/*/README.md")):
        matches = EXAMPLE.findall(readme.read_text("utf-8"))
        for number, (program, output) in enumerate(matches):
            name = f"{readme.parent.name}-{number}"
            found.append(pytest.param(program, output, id=name))
    return found


@pytest.mark.parametrize(("program", "output"), examples())
def test_example(tmp_path: Path, program: str, output: str) -> None:
    """As a user would run it: a file, away from the repository."""
    file = tmp_path / "example.py"
    file.write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", file],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)
