"""Chaos for as long as is wanted, in all packages, and a report; ``hatch run soak``.

    ./tools/hatch run soak [--minutes N] [SCENARIO ...]

Each scenario has a process of its own and an equal share of the time, of which the
first quarter warms up: descriptors, threads, children and memory are compared from
there to the end.  A loss is a wrong result, an error that should not be, or a hang.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import json
import mmap
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

assert sys.platform == "linux"

import soak_scenarios
from dists import ROOT

from mp_testing.leaks import KINDS, Watch

#: Beyond its share of the time, a scenario may take so many seconds to come to an end.
PATIENCE = 150.0

#: What is freed need not go back to the system: so many bytes are no leak.
SLACK = 12 << 20

#: How long those that were killed, or whose parents were, have to be gone.
GRACE = 10.0

#: In the environment of all processes of a scenario, wherever they have gone.
MARK = "MP_SOAK"

#: How names in /dev/shm begin.
NAMES = "mp-soak-"


@dataclass
class Tally:
    """What happened in a scenario."""

    name: str
    operations: int = 0
    kills: int = 0
    losses: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.losses or self.leaks)

    def lost(self, text: str) -> None:
        """Something went wrong that nothing may make go wrong."""
        self.losses.append(text)


def memory() -> int:
    """Bytes of memory of this process that are in use."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    text = Path("/proc/self/statm").read_text()
    return int(text.split()[1]) * mmap.PAGESIZE


def marked(mark: str) -> list[str]:
    """Living processes of a scenario."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environ = (path / "environ").read_bytes().split(b"\0")
            if f"{MARK}={mark}".encode() not in environ:
                continue
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it is gone, or another user's
        found.append(f"process {path.name}: {command[:120]}")
    return found


def names(mark: str) -> list[str]:
    """Names in /dev/shm that a scenario has left."""
    prefix = f"{NAMES}{mark}-"
    return [f"/dev/shm/{name}" for name in os.listdir("/dev/shm") if prefix in name]


def settle(mark: str) -> list[str]:
    """Wait until no process and no name of a scenario is left; those that stay."""
    deadline = time.monotonic() + GRACE
    while (left := marked(mark) + names(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


# ------------------------------------------------------------------ one scenario


def run_here(name: str, seconds: float, seed: int) -> Tally:
    """Run a scenario in this process."""
    tally = Tally(name)
    scenario = soak_scenarios.SCENARIOS[name]

    def play(share: float) -> None:
        try:
            scenario(tally, seconds * share, random.Random(seed))
        except BaseException:
            tally.lost(traceback.format_exc())
        soak_scenarios.end_fork_server()

    play(0.25)
    before, watch = memory(), Watch()
    play(0.75)
    # Names are looked for when this process is gone, as others have some, too.
    tally.leaks += watch.leaks(KINDS.keys() - {"shm"}, GRACE)
    grown = memory() - before
    if grown > SLACK:
        tally.leaks.append(f"memory: {grown} bytes")
    return tally


def run_apart(name: str, seconds: float, seed: int) -> Tally:
    """Run a scenario in a process of its own, and look for what that leaves."""
    mark = f"{os.getpid()}-{name.replace(' ', '-')}"
    paths = [ROOT / "tools", *sorted((ROOT / "packages").glob("*/tests"))]
    environ = {
        **os.environ,
        MARK: mark,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    with tempfile.TemporaryDirectory(prefix="mp-soak-") as directory:
        result = Path(directory, "result")
        options = [f"--seconds={seconds}", f"--seed={seed}", f"--result={result}"]
        command = [sys.executable, str(Path(__file__)), "--here", *options, name]
        status = subprocess.run(command, env=environ, check=False).returncode
        if result.exists():
            tally = Tally(**json.loads(result.read_text()))
        else:
            tally = Tally(name)
            tally.lost(f"it hung or crashed: exit status {status}")
    tally.leaks += settle(mark)
    return tally


# ------------------------------------------------------------------------ report


def line(name: object, *columns: object) -> str:
    return f"{name:18}" + "".join(f"{column:>12}" for column in columns)


def report(tallies: list[Tally]) -> str:
    """What all scenarios did, as a table."""
    lines = [line("scenario", "operations", "kills", "losses", "leaks")]
    for tally in tallies:
        counts = tally.operations, tally.kills, len(tally.losses), len(tally.leaks)
        lines.append(line(tally.name, *counts))
    total = [
        sum(tally.operations for tally in tallies),
        sum(tally.kills for tally in tallies),
        sum(len(tally.losses) for tally in tallies),
        sum(len(tally.leaks) for tally in tallies),
    ]
    lines.append(line("all", *total))
    for tally in tallies:
        lines += [f"\nLOSS in {tally.name}: {text}" for text in tally.losses]
        lines += [f"\nLEAK in {tally.name}: {text}" for text in tally.leaks]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="only these")
    parser.add_argument("--minutes", type=float, default=5.0, help="all together")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    chosen = options.names or list(soak_scenarios.SCENARIOS)
    if unknown := set(chosen) - soak_scenarios.SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if options.here:
        faulthandler.dump_traceback_later(options.seconds + PATIENCE, exit=True)
        tally = run_here(chosen[0], options.seconds, options.seed)
        options.result.write_text(json.dumps(asdict(tally)))
        return 0
    print(f"seed {options.seed}", flush=True)
    seconds = options.minutes * 60 / len(chosen)
    tallies = []
    for name in chosen:
        tallies.append(run_apart(name, seconds, options.seed))
        print(report(tallies[-1:]).splitlines()[1], flush=True)
    print("\n" + report(tallies))
    return not all(tally.good for tally in tallies)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
