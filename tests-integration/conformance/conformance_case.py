"""Runs tests of one class of the interpreter's own suite, in one process.

    conformance_case.py METHOD KIND --list
    conformance_case.py METHOD KIND EVENTS ID …

METHOD is a start method, KIND one of processes, manager, threads and misc.  The classes
are made in the main module, where spawned children find them too.  One line of JSON is
appended to the file EVENTS when a test begins and when it ends.

The frame of the suite, its fixtures and helpers, uses a few private names that no test
is about.  Where those are missing, stand-ins are put, so that they cost no tests.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
import time
import unittest
from collections.abc import Callable, Iterator
from types import ModuleType, TracebackType
from typing import IO, Any
from weakref import WeakSet

PACKAGE = "multiprocessing"


class SharedCounter:
    """``append`` and ``len`` across processes, made of what is public."""

    def __init__(self) -> None:
        package = importlib.import_module(PACKAGE)
        self._number = package.RawValue("i", 0)
        self._lock = package.Lock()

    def append(self, _: object) -> None:
        """Count one."""
        with self._lock:
            self._number.value += 1

    def __len__(self) -> int:
        with self._lock:
            return int(self._number.value)


def _nothing(*_: object, **__: object) -> None:
    pass


#: The stand-ins: module, name, value.
STAND_INS: tuple[tuple[str, str, object], ...] = (
    ("process", "_dangling", WeakSet()),
    ("process", "_cleanup", _nothing),
    ("util", "_cleanup_tests", _nothing),
    ("resource_sharer", "stop", _nothing),
    ("connection", "families", ["AF_INET", "AF_UNIX"]),
)


def prepare() -> ModuleType:
    """Import the suite, with stand-ins for what its frame needs.

    Returns:
        The module of the suite.
    """
    for name, attribute, value in STAND_INS:
        module = importlib.import_module(f"{PACKAGE}.{name}")
        if not hasattr(module, attribute):
            setattr(module, attribute, value)
    manager = importlib.import_module(f"{PACKAGE}.managers").BaseManager
    if not hasattr(manager, "_number_of_objects"):
        manager._number_of_objects = lambda self: 0
        manager._debug_info = lambda self: ""
    suite = importlib.import_module("test._test_multiprocessing")
    # It keeps its list in memory that only the standard package has.
    suite._DummyList = SharedCounter  # type: ignore[attr-defined]
    condition: Any = suite._TestCondition
    checked: Callable[[Any, Any], None] = condition.check_invariant

    def check_invariant(self: Any, cond: Any) -> None:
        # It compares private counters of the standard package's conditions.
        if self.TYPE != "processes" or hasattr(cond, "_sleeping_count"):
            checked(self, cond)

    condition.check_invariant = check_invariant
    return suite


class Events(unittest.TestResult):
    """Writes down what happens, for whoever watches."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__()
        self._file = file
        self._pid = os.getpid()
        self._outcomes: list[tuple[str, str]] = []

    def _write(self, **event: object) -> None:
        if os.getpid() == self._pid:  # and not in a child that a test has forked
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()

    def _note(self, test: object, outcome: str, detail: str = "") -> None:
        if isinstance(test, unittest.TestCase):
            self._outcomes.append((outcome, detail))
        else:  # a fixture of the class or the module
            self._write(fixture=str(test), outcome=outcome, detail=detail)

    def startTest(self, test: unittest.TestCase) -> None:
        """Note that a test begins."""
        super().startTest(test)
        self._outcomes = []
        self._started = time.monotonic()
        self._write(began=short_id(test))

    def stopTest(self, test: unittest.TestCase) -> None:
        """Note how it ended: of several outcomes, as of subtests, the worst."""
        ranks = ("error", "fail", "unexpected", "xfail", "skip", "pass")
        found = min(
            self._outcomes or [("pass", "")], key=lambda item: ranks.index(item[0])
        )
        took = round(time.monotonic() - self._started, 3)
        self._write(
            ended=short_id(test), outcome=found[0], detail=found[1], seconds=took
        )
        super().stopTest(test)

    def addError(self, test: Any, err: Any) -> None:
        """Note an error."""
        self._note(test, "error", self._text(err, test))

    def addFailure(self, test: Any, err: Any) -> None:
        """Note a failure."""
        self._note(test, "fail", self._text(err, test))

    def addSkip(self, test: Any, reason: str) -> None:
        """Note a test that does not apply."""
        self._note(test, "skip", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        """Note a failure that the suite expects."""
        self._note(test, "xfail")

    def addUnexpectedSuccess(self, test: Any) -> None:
        """Note a success that the suite does not expect."""
        self._note(test, "unexpected", "unexpected success")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        """Note the failure of a part."""
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            text = f"{subtest}\n{self._text(err, test)}"
            self._note(test, "fail" if failed else "error", text)

    def _text(
        self,
        err: tuple[type[BaseException], BaseException, TracebackType],
        test: unittest.TestCase,
    ) -> str:
        convert: Callable[..., str] = getattr(self, "_exc_info_to_string")  # noqa: B009
        return convert(err, test)[-6000:]


def short_id(test: unittest.TestCase) -> str:
    """The class and the method of a test."""
    return ".".join(test.id().split(".")[-2:])


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The tests of a suite, which are in suites of it."""
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from flat(entry)
        else:
            yield entry


def main(arguments: list[str]) -> None:
    """Run what was asked for."""
    tests = {
        short_id(test): test
        for test in flat(
            unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
        )
    }
    if arguments == ["--list"]:
        print(json.dumps(list(tests)))
        return
    path, *ids = arguments
    # Somebody who runs this in the background may have it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.enable()
    with open(path, "a", encoding="utf-8") as file:
        unittest.TestSuite(tests[name] for name in ids).run(Events(file))


METHOD, KIND = sys.argv[1:3]
_suite = prepare()
if KIND == "misc":
    _suite.install_tests_in_module_dict(globals(), METHOD, exclude_types=True)
else:
    _suite.install_tests_in_module_dict(globals(), METHOD, only_type=KIND)

if __name__ == "__main__":
    main(sys.argv[3:])
