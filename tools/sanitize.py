"""Run the tests with the extensions under sanitizers; ``hatch run sanitize``.

    ./tools/hatch run sanitize [PYTEST OPTION ...]

The extensions are compiled with gcc's address and undefined-behaviour sanitizers into
copies of their packages, which go ahead of the installed ones on the path.  The first
error that they find ends the process that made it, and so its test.
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

PACKAGES = {
    "mp_connection": ROOT / "packages" / "mp-connection",
    "mp_sync": ROOT / "packages" / "mp-sync",
}
#: Tests of mp-connection that are about packets.  (One of the others is about how much
#: memory is used, and the sanitizer keeps what was freed.)
PACKETS = (
    *("channel", "concurrency", "connection", "fragments", "handles", "handover"),
    *("interruption", "limits", "lookout", "noting", "pages", "parts", "pipe", "wire"),
)
FLAGS = (
    *("-shared", "-fPIC", "-O1", "-g", "-pthread", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


def build(place: Path, name: str) -> None:
    """Compile an extension into a copy of its package in *place*."""
    package, target = PACKAGES[name], place / name
    shutil.copytree(
        package / "src" / name, target, ignore=shutil.ignore_patterns("*.so")
    )
    sources = [str(path) for path in sorted((package / "native").glob("*.c"))]
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
        for name in PACKAGES:
            build(Path(directory), name)
        environment = os.environ | {
            "PYTHONPATH": directory,
            # The interpreter is not sanitized, so the libraries have to come first.
            "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
            # Interpreters leave memory to the system when they end, and answer to
            # sizes that there cannot be with an exception.
            "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1"
            ":allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "MP_CONNECTION_BACKEND": "native",
            "MP_SYNC_BACKEND": "native",
        }
        for name in PACKAGES:
            check = f"import {name} as m, sys; sys.exit(sys.argv[1] not in m.__file__)"
            subprocess.run(
                [sys.executable, "-c", check, directory], env=environment, check=True
            )
        chosen = list(options)
        if all(option.startswith("-") for option in options):
            tests = PACKAGES["mp_connection"] / "tests"
            chosen += [str(tests / f"test_{name}.py") for name in PACKETS]
            tests = PACKAGES["mp_sync"] / "tests"
            # But for what is about the other backend; and what is made of cells.
            chosen += [str(tests), f"--ignore={tests / 'test_portable.py'}"]
            chosen += [f"--ignore={tests / 'test_portable_steps.py'}"]
            chosen += [str(ROOT / "packages" / "mp-sharedctypes" / "tests")]
        command = [sys.executable, "-m", "pytest", "--timeout=240", *chosen]
        done = subprocess.run(command, env=environment, cwd=ROOT, check=False)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
