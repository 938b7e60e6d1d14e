"""The interpreter's own tests of multiprocessing, on this project.

    ./tools/hatch run conformance [--python 3.13] [--start-method spawn] [--only TEST]

`test._test_multiprocessing` is run where the interpreter's `test` package is installed,
in drop-in mode, which also holds for the interpreters that the tests start: they belong
to an environment in which a .pth file installs it.  Each class has a process of its
own, and each test a time limit.  What does not pass is held against `private.toml`,
which says what tests are not about public behaviour, and `differences.toml`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

assert sys.platform == "linux"

from conformance_verdicts import Book, Outcome, judge, matches

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "tools"
CASE = HERE / "conformance_case.py"
METHODS = ("fork", "spawn", "forkserver")
KINDS = ("processes", "manager", "threads", "misc")

#: Marks the processes of a run, so that none but those are killed.
MARK = "MP_CONFORMANCE_MARK"

#: What each interpreter of the environment does first.
PTH = """\
import site; site.addsitedir({site!r})
import mp_multiprocessing; mp_multiprocessing.install()
"""


class Environment:
    """Interpreters in which `multiprocessing` is this project.

    Args:
        directory: where to make it.
        python: whose it is.
        site: where the project is installed for it.
    """

    def __init__(self, directory: Path, python: str | Path, site: str) -> None:
        self._directory = directory
        made = directory / "environment"
        subprocess.run([python, "-m", "venv", "--without-pip", made], check=True)
        self.python = made / "bin" / "python"
        packages = next(made.glob("lib/python*/site-packages"))
        (packages / "dropin.pth").write_text(PTH.format(site=site), "utf-8")
        version = "import sys; print('%d.%d' % sys.version_info[:2])"
        self.version = self._output("-c", version).strip()

    def environ(self, **more: str) -> dict[str, str]:
        """The variables for a process of it."""
        left = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        return {**left, **more}

    def _output(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            [self.python, *arguments],
            env=self.environ(),
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, arguments))}:\n{done.stderr}")
        return done.stdout

    def tests(self, method: str, kind: str) -> list[str]:
        """The tests that there are."""
        last = self._output(CASE, method, kind, "--list").splitlines()[-1]
        listed: list[str] = json.loads(last)
        return listed

    def run_class(
        self, method: str, kind: str, tests: Sequence[str], book: Book, seconds: float
    ) -> list[Outcome]:
        """Run tests of one class; after a hang or a crash, the rest of them again."""
        found: dict[str, Outcome] = {}
        left = list(tests)
        while left:
            for outcome in self._attempt(method, kind, left, book, seconds):
                found.setdefault(outcome.test, outcome)
            rest = [test for test in left if test not in found]
            if rest == left:  # it has not even begun
                text = f"no test of its class began, of {kind}"
                found[left[0]] = Outcome(left[0], method, "crash", 0.0, text)
                rest = left[1:]
            left = rest
        return [found[test] for test in tests]

    def _attempt(
        self, method: str, kind: str, tests: Sequence[str], book: Book, seconds: float
    ) -> Iterator[Outcome]:
        mark = f"{os.getpid()}-{time.monotonic_ns()}"
        with tempfile.TemporaryDirectory(dir=self._directory) as name:
            events, log = Path(name, "events"), Path(name, "log")
            events.touch()
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [self.python, CASE, method, kind, events, *tests],
                    cwd=name,
                    env=self.environ(**{MARK: mark, "TMPDIR": name}),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                try:
                    yield from _watch(
                        process, events, log, method, tests, book, seconds
                    )
                finally:
                    kill_marked(mark)
                    process.wait()


def _watch(
    process: subprocess.Popen[bytes],
    events: Path,
    log: Path,
    method: str,
    tests: Sequence[str],
    book: Book,
    seconds: float,
) -> Iterator[Outcome]:
    """What the process says of its tests, and of the one that it does not end."""
    running: str | None = None
    deadline = time.monotonic() + book.limit("", seconds)
    with events.open(encoding="utf-8") as file:
        while True:
            ended = process.poll() is not None
            for line in file:
                event = json.loads(line)
                if "began" in event:
                    running = event["began"]
                elif "ended" in event:
                    running = None
                    yield Outcome(
                        event["ended"],
                        method,
                        event["outcome"],
                        event["seconds"],
                        event["detail"],
                    )
                elif event["fixture"].startswith("setUp"):  # so none of them runs
                    for test in tests:
                        yield Outcome(
                            test, method, event["outcome"], 0.0, event["detail"]
                        )
                else:
                    print(f"{method} {event['fixture']}: {event['detail']}")
                deadline = time.monotonic() + book.limit(running or "", seconds)
            if ended:
                break
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGABRT)  # and it shows its threads
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                if running is None:
                    print(f"{method}: a process hangs at its end\n{_tail(log)}")
                else:
                    yield Outcome(running, method, "hang", seconds, _tail(log))
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
    if running is not None:
        text = f"{_tail(log)}\nexit code {process.returncode}"
        yield Outcome(running, method, "crash", 0.0, text)


def _tail(log: Path) -> str:
    return log.read_bytes()[-4000:].decode("utf-8", "replace")


def kill_marked(mark: str) -> None:
    """Kill, one by one, the processes whose environment has the mark."""
    wanted = f"{MARK}={mark}".encode()
    for _ in range(5):
        found = False
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found = True
                    os.kill(int(entry.name), signal.SIGKILL)
        if not found:
            return
        time.sleep(0.05)


@contextlib.contextmanager
def environment(version: str | None) -> Iterator[Environment]:
    """An environment for a version of Python; None for the running one."""
    with tempfile.TemporaryDirectory(prefix="mp-conformance-") as name:
        directory = Path(name)
        if version is None or version == f"3.{sys.version_info[1]}":
            site = sysconfig.get_path("purelib")
            yield Environment(directory, sys.executable, site)
            return
        sys.path.insert(0, str(TOOLS))
        dists, matrix = map(importlib.import_module, ("dists", "matrix"))
        python = matrix.find(version)
        if python is None:
            raise SystemExit(f"there is no Python {version}")
        built = directory / "built"
        built.mkdir()
        dists.build(built)
        installed = dists.make_venv(directory / "installed", python)
        dists.install(installed, built, list(dists.all_dists()))
        site = str(next((directory / "installed").glob("lib/python*/site-packages")))
        yield Environment(directory, python, site)


def main() -> int:
    """Run, print the tables, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", help="a version, such as 3.13; the running one")
    parser.add_argument("--start-method", action="append", choices=METHODS)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--only", action="append", help="a pattern, as TestLock.*")
    parser.add_argument("--public", action="store_true", help="leave private tests out")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each test")
    options = parser.parse_args()
    book = Book.read()
    outcomes: list[Outcome] = []
    started = time.monotonic()
    with environment(options.python) as place:
        for method in options.start_method or METHODS:
            for kind in options.kind or KINDS:
                classes: dict[str, list[str]] = {}
                for test in place.tests(method, kind):
                    if options.only and not any(matches(test, p) for p in options.only):
                        continue
                    if options.public and book.rule(test, place.version) is not None:
                        continue
                    classes.setdefault(test.partition(".")[0], []).append(test)
                for name, tests in classes.items():
                    found = place.run_class(method, kind, tests, book, options.seconds)
                    good = sum(outcome.is_good for outcome in found)
                    print(f"{method} {name}: {good} of {len(found)}", flush=True)
                    outcomes += found
        version = place.version
    verdict = judge(outcomes, book, version)
    print(f"\nPython {version}, {time.monotonic() - started:.0f} s\n{verdict.table}")
    print(f"public tests that passed, of those that ran: {verdict.share:.2%}")
    for outcome, why in verdict.excused:
        print(f"{why.kind}: {outcome.method} {outcome.test}: {why.reason}")
    for outcome in verdict.better:
        print(f"passes, although listed: {outcome.method} {outcome.test}")
    for outcome in verdict.unexplained:
        head = f"NOT EXPLAINED: {outcome.method} {outcome.test}: {outcome.outcome}"
        print(f"{head}: {outcome.last_line[:200]}")
    return bool(verdict.unexplained) or not outcomes


if __name__ == "__main__":
    sys.exit(main())
