"""What runs in each fresh interpreter: one row, or one point of a curve.

Its children may import this file as their main module, so it imports nothing outside
its functions that every interpreter does not have anyway.
"""

import sys

assert sys.platform == "linux"


def run_row(name: str, who: str, arguments: list[str]) -> None:
    """Measure a row as pyperf's worker, by pyperf's *arguments*."""
    import pyperf

    from bench.implementations import KNOWN
    from bench.rows import ROWS

    row = ROWS[name]
    runner = pyperf.Runner(metadata={"unit": row.unit, "implementation": who})
    runner.parse_args(["--worker", "--quiet", *arguments])
    with row.open(KNOWN[who]) as timed:
        runner.bench_time_func(name, timed)


def run_once(name: str, who: str) -> None:
    """Do what a row does, once; print the value."""
    from bench.implementations import KNOWN
    from bench.rows import ROWS

    with ROWS[name].open(KNOWN[who]) as timed:
        print(timed(1))


def run_point(name: str, who: str, size: int, fd: int) -> None:
    """Measure a point of a curve; talk to the driver over *fd*."""
    from bench.curves import CURVES
    from bench.holding import Holder
    from bench.implementations import KNOWN

    holder = Holder(fd)
    holder.finish(CURVES[name].body(KNOWN[who], size, holder))


def main(arguments: list[str]) -> None:
    import resource
    import warnings

    warnings.simplefilter("ignore")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kind, name, who, *rest = arguments
    if kind == "row":
        run_row(name, who, rest)
    elif kind == "once":
        run_once(name, who)
    else:
        run_point(name, who, int(rest[0]), int(rest[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
