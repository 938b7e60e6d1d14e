"""Fixtures for the tests of every package: start methods, and a check for leaks.

The fork server of mp_process outlives the test that has started it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from types import ModuleType
from typing import Any, Literal, TypeAlias

import pytest

from mp_testing.leaks import KINDS, Watch, allow_fd, allow_pid

StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]

_START_METHODS: tuple[StartMethod, ...] = (
    ("spawn",) if sys.platform == "win32" else ("fork", "spawn", "forkserver")
)
_FAILED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "leaks(*kinds): what the test may leave: children, fds, threads, shm",
    )
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import HealthCheck, settings

        # No test depends on the speed of the machine.
        slow = [HealthCheck.too_slow]
        settings.register_profile("mp", deadline=None, suppress_health_check=slow)
        settings.load_profile("mp")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(params=_START_METHODS)
def start_method(request: pytest.FixtureRequest) -> StartMethod:
    """Run the test once for each start method of the platform."""
    method: StartMethod = request.param
    return method


@pytest.fixture(scope="session", autouse=True)
def bare_main() -> Iterator[None]:
    """Let children have no main module to import: pytest's own takes them long."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    yield
    sys.modules["__main__"] = main


def _fork_server() -> Any:
    """The fork server of this process, where mp_process was used; it may not run."""
    module = sys.modules.get("mp_process._forkserver_posix")
    return None if module is None else module.fork_server()


@pytest.fixture(scope="session", autouse=True)
def end_fork_server() -> Iterator[None]:
    """Stop the fork server that tests have shared."""
    yield
    if (server := _fork_server()) is not None:
        server.stop()


def _keep_fork_server() -> None:
    """Let a server that a test has started serve the next ones too."""
    server = _fork_server()
    if server is not None and server.pid is not None and server._requests is not None:
        allow_pid(server.pid)
        allow_fd(server._requests.fileno())


def _make_register() -> None:
    """The register of named shared memory, which stays: not first within a test."""
    module: Any = sys.modules.get("mp_sharedctypes._register_linux")
    if module is not None:
        module.register()


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a child, a descriptor, a thread or a name behind."""
    # Fixtures of wider scope are set up before this one, and what they hold is seen
    # here; those of the test are set up after it, and torn down before the check.
    kinds = set(KINDS)
    for mark in request.node.iter_markers("leaks"):
        kinds -= set(mark.args)
    _make_register()
    watch = Watch()
    yield
    _keep_fork_server()
    # The traceback of a failed test holds on to its objects: no second failure.
    failed = request.node.stash.get(_FAILED, False)
    leaks = [] if failed else watch.leaks(kinds)
    if "children" in kinds:
        watch.kill_children()
    if leaks:
        pytest.fail("the test left behind:\n" + "\n".join(leaks), pytrace=False)
