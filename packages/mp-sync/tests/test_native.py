"""The extension's sources compile without a warning, also for builds without a GIL."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

assert sys.platform == "linux"

SOURCES = sorted((Path(__file__).parents[1] / "native").glob("*.c"))
COMPILER = shutil.which("gcc") or shutil.which("cc")
FLAGS = ("-fsyntax-only", "-Wall", "-Wextra", "-Werror")


@pytest.mark.skipif(COMPILER is None, reason="there is no compiler")
@pytest.mark.parametrize("macro", ["Py_LIMITED_API=0x030B0000", "Py_GIL_DISABLED=1"])
def test_it_compiles(macro: str) -> None:
    assert COMPILER is not None
    if "GIL" in macro and sys.version_info < (3, 13):
        pytest.skip("this Python's headers know of no builds without a GIL")
    include = f"-I{sysconfig.get_path('include')}"
    done = subprocess.run(
        [COMPILER, *FLAGS, f"-D{macro}", include, *SOURCES],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
