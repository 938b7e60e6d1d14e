"""One manager for the tests of a module, as starting one costs more than most tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from mp_testing import allow_pid

if sys.platform == "linux":
    from mp_managers_targets import Manager

    @pytest.fixture(scope="module")
    def manager() -> Iterator[Manager]:
        """A manager that all tests of a module use."""
        shared = Manager()
        shared.start()
        assert shared._process is not None
        assert shared._process.pid is not None
        allow_pid(shared._process.pid)
        shared._number_of_objects()  # this thread's connection opens now
        yield shared
        shared.shutdown()
