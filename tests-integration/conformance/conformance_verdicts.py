"""What the outcome of a test means, and the tables that say so; no test runs here."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

#: Outcomes that are as they should be.
GOOD = ("pass", "xfail", "skip")

_PREFIXES = ("WithProcesses", "WithManager", "WithThreads")


@dataclass
class Outcome:
    """One test under one start method."""

    test: str
    method: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it passed, was skipped, or failed as the suite expects."""
        return self.outcome in GOOD

    @property
    def last_line(self) -> str:
        """What an error says."""
        lines = self.detail.strip().splitlines()
        return lines[-1] if lines else ""


def matches(test: str, pattern: str) -> bool:
    """Whether a pattern is for a test, whose class may be without its prefix in it."""
    names = [test]
    names += [test[len(p) :] for p in _PREFIXES if test.startswith(p)]
    return any(fnmatchcase(name, pattern) for name in names)


@dataclass
class Rule:
    """Tests that are not about public behaviour."""

    pattern: str
    level: str
    reason: str
    pythons: tuple[str, ...] = ()


@dataclass
class Difference:
    """Tests of public behaviour that do not pass, and why that is so."""

    pattern: str
    kind: str
    reason: str
    methods: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()


@dataclass
class Book:
    """The classification of tests, and the list of differences."""

    rules: list[Rule]
    slow: dict[str, float]
    differences: list[Difference] = field(default_factory=list)

    @classmethod
    def read(cls, directory: Path = HERE) -> Book:
        """Read both from their files.

        Raises:
            ValueError: a difference has no reason, or one of an unknown kind.
        """
        private = _load(directory / "private.toml")
        rules = [
            Rule(t["id"], t["level"], t["reason"], tuple(t.get("python", ())))
            for t in private["test"]
        ]
        differences = [
            Difference(
                t["id"],
                t["kind"],
                t["reason"],
                tuple(t.get("methods", ())),
                tuple(t.get("python", ())),
            )
            for t in _load(directory / "differences.toml").get("difference", ())
        ]
        for entry in differences:
            if entry.kind not in ("private", "deliberate") or not entry.reason:
                raise ValueError(f"differences.toml: what is {entry.pattern}?")
        return cls(rules, private.get("slow", {}), differences)

    def rule(self, test: str, python: str) -> Rule | None:
        """Why a test is not about public behaviour; None if it is."""
        for rule in self.rules:
            if matches(test, rule.pattern) and python in (rule.pythons or (python,)):
                return rule
        return None

    def difference(self, test: str, method: str, python: str) -> Difference | None:
        """Why a test need not pass; None if it has to."""
        for entry in self.differences:
            if (
                matches(test, entry.pattern)
                and method in (entry.methods or (method,))
                and python in (entry.pythons or (python,))
            ):
                return entry
        return None

    def limit(self, test: str, seconds: float) -> float:
        """How long a test may take."""
        return max([seconds, *(s for p, s in self.slow.items() if matches(test, p))])


def _load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


@dataclass
class Verdict:
    """What a run has shown."""

    table: str
    #: Tests of public behaviour that failed and that no difference excuses.
    unexplained: list[Outcome]
    #: Tests that a difference excuses.
    excused: list[tuple[Outcome, Difference]]
    #: Tests that a difference excuses, and that passed.
    better: list[Outcome]
    #: The share of tests of public behaviour that passed, of those that ran, under all
    #: start methods together; the table has that of each.
    share: float


def judge(outcomes: Sequence[Outcome], book: Book, python: str) -> Verdict:
    """Hold outcomes against the book."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    unexplained: list[Outcome] = []
    excused: list[tuple[Outcome, Difference]] = []
    better: list[Outcome] = []
    for outcome in outcomes:
        rule = book.rule(outcome.test, python)
        level = "public" if rule is None else rule.level
        counts.setdefault((outcome.method, level), Counter())[outcome.outcome] += 1
        if rule is not None:
            continue
        difference = book.difference(outcome.test, outcome.method, python)
        if outcome.is_good:
            if difference is not None and outcome.outcome == "pass":
                better.append(outcome)
        elif difference is None:
            unexplained.append(outcome)
        else:
            excused.append((outcome, difference))
    ran = passed = 0
    rows: list[list[str]] = []
    columns = ("pass", "xfail", "skip", "fail", "error", "unexpected", "hang", "crash")
    for (method, level), found in counts.items():
        good = found["pass"] + found["xfail"]
        total = found.total() - found["skip"]
        if level == "public":
            ran, passed = ran + total, passed + good
        numbers = [str(found[column] or "") for column in columns]
        share = f"{good / total:.2%}" if total else ""
        rows.append([method, level, *numbers, f"{good} of {total}", share])
    table = tabulate(["method", "tests", *columns, "passed", "of those run"], rows)
    return Verdict(table, unexplained, excused, better, passed / ran if ran else 1.0)


def tabulate(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of equal width."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )
