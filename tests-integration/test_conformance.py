"""The interpreter's own suite on this project: how it is judged, and some of it.

``./tools/hatch run conformance`` runs all of it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from conformance_verdicts import (
    Book,
    Difference,
    Outcome,
    Rule,
    judge,
    matches,
    tabulate,
)

assert sys.platform == "linux"

DIRECTORY = Path(__file__).resolve().parent / "conformance"


def test_patterns_are_for_tests_with_and_without_the_prefix_of_their_class() -> None:
    assert matches("WithProcessesTestLock.test_lock", "TestLock.*")
    assert matches("WithProcessesTestLock.test_lock", "WithProcessesTestLock.*")
    assert matches("OtherTest.test_x", "OtherTest.test_*")
    assert not matches("WithManagerTestLock.test_lock", "WithProcessesTestLock.*")
    assert not matches("WithManagerTestLock.test_lock", "TestRLock.*")


def test_the_book_reads_and_knows_what_is_private_and_what_is_slow() -> None:
    book = Book.read()
    rule = book.rule("TestHeap.test_heap", "3.13")
    assert rule is not None
    assert rule.level == "private"
    assert book.rule("WithProcessesTestLock.test_lock", "3.13") is None
    assert book.limit("WithProcessesTestPool.test_map", 60) == 90
    assert book.limit("WithProcessesTestLock.test_lock", 60) == 60


def test_a_difference_needs_a_reason(tmp_path: Path) -> None:
    (tmp_path / "private.toml").write_text("[[test]]\nid='A'\nlevel='none'\nreason='x'")
    file = tmp_path / "differences.toml"
    file.write_text("[[difference]]\nid = 'T.t'\nkind = 'defect'\nreason = 'x'\n")
    with pytest.raises(ValueError, match=r"what is T\.t"):
        Book.read(tmp_path)
    file.write_text("[[difference]]\nid = 'T.t'\nkind = 'private'\nreason = ''\n")
    with pytest.raises(ValueError, match=r"what is T\.t"):
        Book.read(tmp_path)


def test_verdicts() -> None:
    book = Book(
        [Rule("T.private", "private", "a name"), Rule("T.old", "none", "x", ("3.11",))],
        {},
        [
            Difference("T.better", "deliberate", "no deadlock"),
            Difference("T.passes", "deliberate", "it does", ("fork",)),
            Difference("T.spawn", "private", "a name", ("spawn",)),
        ],
    )
    outcomes = [
        Outcome("T.good", "fork", "pass"),
        Outcome("T.known", "fork", "xfail"),
        Outcome("T.none", "fork", "skip"),
        Outcome("T.private", "fork", "fail"),
        Outcome("T.old", "fork", "error"),
        Outcome("T.better", "fork", "fail"),
        Outcome("T.passes", "fork", "pass"),
        Outcome("T.spawn", "fork", "hang", 60, "File x\nlast line\n"),
    ]
    verdict = judge(outcomes, book, "3.13")
    assert [o.test for o in verdict.unexplained] == ["T.old", "T.spawn"]
    assert verdict.unexplained[1].last_line == "last line"
    assert [(o.test, d.reason) for o, d in verdict.excused] == [
        ("T.better", "no deadlock")
    ]
    assert [o.test for o in verdict.better] == ["T.passes"]
    assert verdict.share == 3 / 6  # all but the private and the skipped one
    lines = [line.split() for line in verdict.table.splitlines()]
    assert lines[1][:2] + lines[1][-4:] == ["fork", "public", "3", "of", "6", "50.00%"]
    assert lines[2][:2] + lines[2][-4:] == ["fork", "private", "0", "of", "1", "0.00%"]
    assert [o.test for o in judge(outcomes, book, "3.11").unexplained] == ["T.spawn"]


def test_tables_have_columns_of_equal_width() -> None:
    assert tabulate(["a", "bcd"], [["xyz", "1"], ["", "2"]]) == (
        "a    bcd\nxyz  1\n     2"
    )


@pytest.mark.skipif(
    importlib.util.find_spec("test") is None
    or importlib.util.find_spec("test._test_multiprocessing") is None,
    reason="this Python was installed without its test package",
)
def test_some_of_the_suite_passes_in_drop_in_mode() -> None:
    patterns = "TestValue.*", "TestSemaphore.*", "TestNoForkBomb.*", "*.test_wait"
    done = subprocess.run(
        [
            *(sys.executable, DIRECTORY / "conformance_run.py", "--public"),
            *("--start-method", "spawn", "--kind", "processes", "--kind", "misc"),
            *(word for pattern in patterns for word in ("--only", pattern)),
        ],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT EXPLAINED" not in done.stdout
    lines = set(done.stdout.splitlines())
    assert {
        "spawn WithProcessesTestValue: 3 of 3",
        "spawn WithProcessesTestSemaphore: 3 of 3",
        "spawn TestNoForkBomb: 1 of 1",
        "spawn TestWait: 1 of 1",
        "public tests that passed, of those that ran: 100.00%",
    } <= lines
