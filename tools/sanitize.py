"""Run mp-sync's tests with its extension under sanitizers; ``hatch run sanitize``.

    ./tools/hatch run sanitize [PYTEST OPTION ...]

The extension is compiled with gcc's address and undefined-behaviour sanitizers into a
copy of the package, which goes ahead of the installed one on the path.  The first error
that they find ends the process that made it, and so its test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from dists import ROOT

PACKAGE = ROOT / "packages" / "mp-sync"
FLAGS = (
    *("-shared", "-fPIC", "-O1", "-g", "-pthread", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


def build(place: Path) -> None:
    """Compile the extension into a copy of the package in *place*."""
    target = place / "mp_sync"
    shutil.copytree(
        PACKAGE / "src" / "mp_sync", target, ignore=shutil.ignore_patterns("*.so")
    )
    sources = [str(path) for path in sorted((PACKAGE / "native").glob("*.c"))]
    include = f"-I{sysconfig.get_path('include')}"
    command = ["gcc", *FLAGS, "-DPy_LIMITED_API=0x030B0000", include, *sources]
    subprocess.run([*command, "-o", str(target / "_native.abi3.so")], check=True)


def library(name: str) -> str:
    """Where a library of the compiler's lies."""
    done = subprocess.run(
        ["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def main(options: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="mp-sanitize-") as directory:
        build(Path(directory))
        environment = os.environ | {
            "PYTHONPATH": directory,
            # The interpreter is not sanitized, so the libraries have to come first.
            "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
            # Interpreters leave memory to the system when they end.
            "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "MP_SYNC_BACKEND": "native",
        }
        check = "import mp_sync as m, sys; sys.exit(sys.argv[1] not in m.__file__)"
        subprocess.run(
            [sys.executable, "-c", check, directory], env=environment, check=True
        )
        chosen = list(options)
        if all(option.startswith("-") for option in options):
            tests = PACKAGE / "tests"
            # But for what is about the other backend; and what is made of cells.
            chosen += [str(tests), f"--ignore={tests / 'test_portable.py'}"]
            chosen += [f"--ignore={tests / 'test_portable_steps.py'}"]
            chosen += [str(ROOT / "packages" / "mp-sharedctypes" / "tests")]
        command = [sys.executable, "-m", "pytest", "--timeout=240", *chosen]
        done = subprocess.run(command, env=environment, cwd=ROOT, check=False)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
