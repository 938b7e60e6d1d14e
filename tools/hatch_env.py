"""Run a pinned hatch in a private environment of this clone, making it if need be.

Everything lives in ``.hatch/`` at the root of the clone: hatch itself and hatch's own
data (the environments it makes), cache and configuration.  So two clones never share an
environment, a fresh clone behaves the same for everyone, and ``rm -rf .hatch`` is a
complete reset.

hatch does not see that the version, the dependencies or the pins of an installed
package changed, and two commands started at once make the same environment twice.
Hence one data directory for each state of those files, made under a lock, and complete
only once its stamp says so: one half made is made again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path

assert sys.platform != "win32"  # for want of flock and exec; hatch itself runs there

import fcntl

HATCH = "hatch==1.18.2"
ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".hatch"
# Set for the commands that hatch runs: a nested tools/hatch must use the same
# environment, even when a file changed meanwhile.
DATA_DIR = "HATCH_DATA_DIR"
STAMP = "complete"


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def interpreter() -> tuple[str, ...]:
    return (sys.version, os.path.realpath(sys.executable))


def environment_state() -> str:
    """Name the state of everything that decides what the environments hold."""
    environments = tomllib.loads((ROOT / "hatch.toml").read_text("utf-8"))["envs"]
    for environment in environments.values():
        environment.pop("scripts", None)
    files = [
        *ROOT.glob("packages/*/pyproject.toml"),
        *ROOT.glob("packages/*/hatch_build.py"),
        *ROOT.glob("packages/*/src/*/_version.py"),
        *ROOT.glob("packages/*/native/*.[ch]"),  # compiled when it is installed
        # Installed, but not editable:
        *ROOT.glob("tools/mp-testing/pyproject.toml"),
        *ROOT.glob("tools/mp-testing/src/**/*.py"),
    ]
    contents = [(str(f.relative_to(ROOT)), f.read_bytes()) for f in sorted(files)]
    return digest(HATCH, interpreter(), environments, contents)


def hold(target: Path, make: Callable[[Path], None]) -> int:
    """Return a descriptor that keeps *target* from being removed, making it first."""
    # The lock file lies beside the directory and is never removed itself, so that
    # everyone always locks the same file.  What we start inherits the lock: if we are
    # killed, the next command waits for our pip to end.
    lock = os.open(f"{target}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    os.set_inheritable(lock, True)
    try:
        while True:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if (target / STAMP).exists():
                return lock
            # No atomic upgrade: another process may get in between and do the work.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (target / STAMP).exists():
                shutil.rmtree(target, ignore_errors=True)
                make(target)
                (target / STAMP).touch()
                remove_unused(target)
    except BaseException:
        os.close(lock)
        raise


def remove_unused(current: Path) -> None:
    """Remove the older directories of the same kind that no command is using."""
    kind = current.name.partition("-")[0]
    for old in current.parent.glob(f"{kind}-*/"):
        if old == current:
            continue
        with open(f"{old}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            (old / STAMP).unlink(missing_ok=True)
            shutil.rmtree(old, ignore_errors=True)


def command_of(tool: Path) -> list[str]:
    return [str(tool / "bin" / "python"), "-m"]


def make_tool(target: Path) -> None:
    print(f"tools/hatch: installing {HATCH} in .hatch/ ...", file=sys.stderr)
    venv.create(target, with_pip=True)
    # No index is named: pip's own configuration says where packages come from.
    command = [*command_of(target), "pip", "install", "--quiet", HATCH]
    subprocess.run(command, check=True, stdout=sys.stderr, close_fds=False)


def make_data(tool: Path, target: Path) -> None:
    print("tools/hatch: making the environment in .hatch/ ...", file=sys.stderr)
    command = [*command_of(tool), "hatch", "env", "create", "default"]
    environ = os.environ | {DATA_DIR: str(target)}
    subprocess.run(command, check=True, env=environ, stdout=sys.stderr, close_fds=False)


def main() -> str:
    for parent in ROOT.parents:
        if (parent / "pyproject.toml").exists() or (parent / "setup.py").exists():
            # hatch walks up and takes the first such directory for the project.
            return f"hatch cannot work in here, because {parent} is a Python project"
    os.chdir(ROOT)
    HOME.mkdir(exist_ok=True)
    # hatch insists on a configuration file; one in the user's home is not ours to make.
    config = HOME / "config.toml"
    config.touch()
    os.environ.setdefault("HATCH_CONFIG", str(config))
    os.environ.setdefault("HATCH_CACHE_DIR", str(HOME / "cache"))

    try:
        # The locks survive exec: they are held until hatch ends.
        tool = HOME / f"tool-{digest(HATCH, interpreter())}"
        hold(tool, make_tool)
        if DATA_DIR not in os.environ:
            data = HOME / f"data-{environment_state()}"
            hold(data, partial(make_data, tool))
            os.environ[DATA_DIR] = str(data)
    except subprocess.CalledProcessError as error:
        return f"tools/hatch: {error}"
    command = [*command_of(tool), "hatch", *sys.argv[1:]]
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
