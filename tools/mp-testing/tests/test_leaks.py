"""The plugin fails a test that leaves something behind, and only such a test."""

from __future__ import annotations

import sys

import pytest

assert sys.platform == "linux"

pytest_plugins = ["pytester"]

PRELUDE = """
import os, subprocess, sys, threading, time
import pytest, mp_testing
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
kept = []
"""


@pytest.fixture(autouse=True)
def shm(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of others are not in there."""
    monkeypatch.setenv("MP_TESTING_SHM", str(pytester.mkdir("shm")))


def run(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makepyfile(PRELUDE + body)
    # Without what takes long to import.
    options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    return pytester.runpytest_subprocess(*options, timeout=50)


@pytest.mark.parametrize(
    ("leak", "message"),
    [
        ("kept.append(subprocess.Popen(SLEEP))", "*child *time.sleep*"),
        ("kept.append(subprocess.Popen(['true']))", "*ended, but nobody waited*"),
        ("kept.extend(os.pipe())", "*descriptor *: pipe:*"),
        (
            "threading.Thread(target=time.sleep, args=(5,), daemon=True).start()",
            "*thread <Thread*",
        ),
        ("open(name, 'w').close()", "*/shm/mp-testing*"),
    ],
    ids=["child", "zombie", "fd", "thread", "shm"],
)
def test_a_leak_is_an_error(pytester: pytest.Pytester, leak: str, message: str) -> None:
    """Each kind of leak is reported with the test that caused it, and only there."""
    result = run(
        pytester,
        f"""
name = f"{{os.environ['MP_TESTING_SHM']}}/mp-testing"
@pytest.fixture(scope="module", autouse=True)
def clean():
    yield
    if os.path.exists(name): os.unlink(name)
def test_leak():
    {leak}
def test_next():
    pass
""",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*the test left behind:*", message])


def test_what_is_tidied_up_is_no_leak(pytester: pytest.Pytester) -> None:
    """Stragglers have a second, and fixtures are torn down before the check."""
    result = run(
        pytester,
        """
@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends: os.close(end)
def test_fixture(pipe):
    pass
def test_straggler():
    threading.Thread(target=time.sleep, args=(0.3,)).start()
def test_child():
    subprocess.run(["true"], check=True)
""",
    )
    result.assert_outcomes(passed=3)


def test_what_a_wider_fixture_holds_is_no_leak(pytester: pytest.Pytester) -> None:
    """A helper of module scope may live on, although the first test started it."""
    result = run(
        pytester,
        """
@pytest.fixture(scope="module")
def helper():
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE) as child:
        yield child
        child.kill()
def test_first(helper):
    pass
def test_second(helper):
    assert helper.poll() is None
""",
    )
    result.assert_outcomes(passed=2)


def test_what_is_allowed_is_no_leak(pytester: pytest.Pytester) -> None:
    """Single processes and descriptors, or a kind for one test, can be let through."""
    result = run(
        pytester,
        """
def test_allowed():
    child = subprocess.Popen(SLEEP)
    kept.append(child)
    mp_testing.allow_pid(child.pid)
    for fd in os.pipe(): mp_testing.allow_fd(fd)
def test_still_there():
    assert kept[0].poll() is None
    kept[0].kill(); kept[0].wait()
@pytest.mark.leaks("fds")
def test_marked():
    os.pipe()
""",
    )
    result.assert_outcomes(passed=3)


def test_a_failed_test_fails_once(pytester: pytest.Pytester) -> None:
    """After a failure nothing is reported, but children are killed all the same."""
    result = run(
        pytester,
        """
def test_failing():
    kept.append(subprocess.Popen(SLEEP))
    kept.append(os.pipe())
    assert False
def test_next():
    assert not os.path.exists(f"/proc/{kept[0].pid}")
    kept[0].wait()
""",
    )
    result.assert_outcomes(passed=1, failed=1)


def test_start_method(pytester: pytest.Pytester) -> None:
    """The fixture runs a test under each method."""
    result = run(pytester, "def test_it(start_method): print(start_method)\n")
    result.assert_outcomes(passed=3)


def test_main_is_bare(pytester: pytest.Pytester) -> None:
    """What children import as the main module is not pytest's, which takes long."""
    result = run(
        pytester,
        """
def test_it():
    main = sys.modules["__main__"]
    assert main.__spec__ is None and not hasattr(main, "__file__")
""",
    )
    result.assert_outcomes(passed=1)
