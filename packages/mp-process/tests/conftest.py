"""A fork server for tests that look at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from mp_connection import lifecycle


@pytest.fixture
def no_other_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are told nothing of layers that the tests of other packages import."""
    providers = vars(lifecycle)["_providers"]
    for name in list(providers):
        if not name.startswith(("mp_connection.", "mp_process.")):
            monkeypatch.delitem(providers, name)


if sys.platform == "linux":
    from mp_process._forkserver_posix import fork_server

    @pytest.fixture
    def fresh_server() -> Iterator[None]:
        """A fork server of this test's own, with its environment and output."""
        _end_server()
        yield
        _end_server()

    def _end_server() -> None:
        server = fork_server()
        server.stop()
        # It may take longer than `stop` waits, on a busy machine.
        with server._lock:
            server._reap(20.0)
