"""The benchmark computes rightly, and all that it measures works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

assert sys.platform == "linux"

from bench.curves import CURVES
from bench.fresh import RunError, run
from bench.growth import Measured, Point, describe, load, save
from bench.implementations import KNOWN, OURS, REFERENCE
from bench.memory import descendants, memory_of, parse
from bench.once import taking_part
from bench.ratios import Ratio, amount, geometric_mean, number, ratio
from bench.report import compose
from bench.rows import ROWS
from bench.slopes import exponent, is_worse_than_linear
from bench.table import AREAS, Values, is_slower, table
from dists import ROOT


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """Of each round the best value counts, and rounds that one lacks do not."""
    reference = {0: [4.0, 2.0], 1: [3.0], 2: [8.0], 3: [1.0]}
    other = {0: [1.0, 9.0], 1: [3.0], 2: [2.0]}
    found = ratio(reference, other)
    assert found == Ratio(2.0, 1.0, 4.0)
    assert not found.certain
    assert str(found) == "2.00 (1.00..4.00)"
    assert ratio({0: [1.0]}, {1: [1.0]}) is None


def test_numbers_have_three_digits() -> None:
    """And values a unit that suits them."""
    assert [number(x) for x in (0.123, 1.0, 12.34, 123.4)] == [
        "0.12", "1.00", "12.3", "123",
    ]  # fmt: skip
    assert amount(0.0000123, "second") == "12.3 µs"
    assert amount(3e-9, "second") == "3 ns"
    assert amount(0.25, "second") == "250 ms"
    assert amount(3 << 19, "byte") == "1.5 MiB"
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    """At the upper end, whatever the rest does."""
    points = [(float(n), float(n) ** power) for n in (4, 8, 16)]
    assert exponent([(1.0, 1e9), *points]) == pytest.approx(power)
    assert is_worse_than_linear(exponent(points)) == (power > 1)


def test_one_point_has_no_slope() -> None:
    """So it is not bad."""
    assert exponent([(1.0, 1.0)]) is None
    assert not is_worse_than_linear(None)


def test_sizes_of_memory_are_read() -> None:
    """Those of this process too."""
    assert parse("Rss:  12 kB\nName:\tx\nThreads:\t3\n") == {"Rss": 12288}
    mine = memory_of(os.getpid())
    # The peak is counted in another way, and may be some pages behind.
    assert 0 < mine["Pss"] <= mine["Rss"]
    assert mine["VmHWM"] > 0


def test_descendants_are_found() -> None:
    """Children of children as well."""
    code = "import subprocess; subprocess.run(['sh', '-c', 'echo x; read y; :'])"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stdin
        assert child.stdout.readline() == "x\n"
        found = descendants(os.getpid())
        assert child.pid in found
        assert len(found) >= 2
        child.stdin.write("\n")


def test_curves_survive_their_file(tmp_path: Path) -> None:
    """With the reason why one stopped."""
    points = [Point(size, float(size) ** 2, 1 << 20, size << 20) for size in (1, 2, 4)]
    one = Measured("tasks", OURS, points, "at 8: no memory")
    file = tmp_path / "curves.json"
    save([one], file)
    assert load(file) == [one]
    assert one.is_bad
    assert "WORSE" in describe(one)
    assert "no memory" in describe(one)


def test_a_run_that_fails_says_how() -> None:
    """And one that is late is ended, with all that it started."""
    with pytest.raises(RunError, match="KeyError: 'no such row'"):
        run(["once", "no such row", OURS])
    with pytest.raises(RunError, match="longer than 0 s"):
        run(["once", "start_join_spawn", OURS], limit=0)


def test_every_row_and_curve_has_its_place() -> None:
    """No area is forgotten, and each row has both sides."""
    assert {row.area for row in ROWS.values()} == set(AREAS)
    for row in ROWS.values():
        assert taking_part(row, [REFERENCE, OURS]) == [REFERENCE, OURS]
        assert ("loky" in taking_part(row, [*KNOWN])) == (row.needs == "pool")
    for curve in CURVES.values():
        assert list(curve.sizes) == sorted(set(curve.sizes))


VALUES: Values = {
    "apply": {
        REFERENCE: {0: [2e-6], 1: [2e-6]},
        "control": {0: [2e-6], 1: [2e-6]},
        OURS: {0: [1e-6], 1: [1e-6]},
        "loky": {0: [4e-6]},
    },
    "map": {
        REFERENCE: {0: [1e-6], 1: [1e-6]},
        OURS: {0: [2e-6], 1: [1.25e-6]},
    },
}


def test_what_is_slower_is_shown_like_the_rest() -> None:
    """In its place, in bold."""
    notes = {("map", "loky"): "Unsupported: no", ("apply", "joblib"): "died"}
    lines = list(table(VALUES, notes))
    assert "| apply | 2 µs | 1 µs | 2.00 (2.00..2.00)" in "\n".join(lines)
    slow = next(line for line in lines if line.startswith("| map |"))
    assert "**0.65 (0.50..0.80)**" in slow
    assert slow.endswith("| - | - |")
    assert "- apply, joblib: died" in lines
    assert is_slower(Ratio(0.9, 0.8, 1.1))


def test_the_report_says_what_is_slower_and_what_grows_too_fast() -> None:
    """And nothing of the machine but its kind."""
    steep = [Point(size, float(size) ** 2, 1, 1) for size in (1, 2, 4)]
    curves = [
        Measured("tasks", REFERENCE, steep[:2], "at 4: no memory"),
        Measured("tasks", OURS, steep),
    ]
    machine = {"cpu_count": "2", "hostname": "secret"}
    text = compose(VALUES, {}, machine, curves, {"loky": "3.7"})
    assert "- slower: `map` 0.65 (0.50..0.80)\n" in text
    assert "Worse than linear: tasks in flight" in text
    assert "The standard library stops with tasks in flight at 4: no memory" in text
    assert "CPUs: 2" in text
    assert "- loky: 3.7" in text
    assert "secret" not in text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_row_works_on_both() -> None:
    """Once each, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--fast"],
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout == f"{len(ROWS)} rows, 0 failed\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_curve_works_on_both(tmp_path: Path) -> None:
    """At its two smallest sizes."""
    file = tmp_path / "growth.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "growth", "--fast", "--json", str(file)],
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    found = load(file)
    assert len(found) == 2 * len(CURVES)
    for one in found:
        assert [point.size for point in one.points] == [*CURVES[one.curve].sizes[:2]]
        assert all(p.seconds > 0 and p.parent > 0 for p in one.points), one
        assert not one.stopped
