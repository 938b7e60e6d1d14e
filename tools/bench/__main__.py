"""The command line."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

assert sys.platform == "linux"

from bench.curves import CURVES
from bench.implementations import CONTROL, KNOWN, OURS, REFERENCE
from bench.rows import ROWS

#: Not committed: the report says what matters of it.
KEPT = Path(__file__).resolve().parent / ".results"
RESULTS, GROWTH = KEPT / "bench.json", KEPT / "growth.json"


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    found = argparse.ArgumentParser(prog="bench")
    add = found.add_argument
    add("what", nargs="?", default="rows", choices=("rows", "growth", "report", "all"))
    add("--only", default="", metavar="REGEX", help="rows or curves, by name or area")
    add("--peers", default="", metavar="NAME,…", help=f"of {', '.join(KNOWN)}")
    add("--rounds", type=int, default=3, help="in which all take turns")
    add("--fast", action="store_true", help="each row once, to see that it works")
    add("--json", type=Path, metavar="FILE", help="where results go, or come from")
    add("--list", action="store_true", help="the names of rows and curves")
    return found


def rows(options: argparse.Namespace) -> int:
    """Measure the rows, and print the table."""
    wanted = [
        row
        for row in ROWS.values()
        if re.search(options.only, row.name) or re.search(options.only, row.area)
    ]
    peers = [name for name in options.peers.split(",") if name]
    if unknown := set(peers) - KNOWN.keys():
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}")
    if options.fast:
        from bench.once import once

        return bool(once(wanted, [REFERENCE, OURS, *peers]))
    from bench.measure import measure
    from bench.stored import save
    from bench.table import table

    file = options.json or RESULTS
    names = [REFERENCE, CONTROL, OURS, *peers]
    found = measure(wanted, names, options.rounds, lambda found: save(found, file))
    print("\n".join(table(found.values(), found.notes)))
    return 0


def growth(options: argparse.Namespace) -> int:
    """Measure the curves; 1 if one of ours is worse than linear."""
    from bench.growth import measure_all, save

    wanted = [curve for name, curve in CURVES.items() if re.search(options.only, name)]
    found = measure_all(wanted, 1 if options.fast else 2, options.fast)
    file = options.json or GROWTH
    file.parent.mkdir(exist_ok=True)
    save(found, file)
    bad = [one.curve for one in found if one.who == OURS and one.is_bad]
    print("worse than linear:", ", ".join(bad) or "none")
    return bool(bad) and not options.fast


def report() -> int:
    """Write the report from what is kept."""
    from bench.report import write

    write(RESULTS, GROWTH)
    return 0


def main() -> int:
    options = parser().parse_args()
    if options.list:
        print(*ROWS, *CURVES, sep="\n")
        return 0
    failed = 0
    if options.what in ("rows", "all"):
        failed |= rows(options)
    if options.what in ("growth", "all"):
        failed |= growth(options)
    if options.what in ("report", "all"):
        failed |= report()
    return failed


if __name__ == "__main__":
    sys.exit(main())
