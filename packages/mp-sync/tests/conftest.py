"""What tests allocate, beyond the life of one test."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from mp_sync_targets import AnyLock

import mp_sync

if sys.platform == "linux":
    from mp_sync import arena

    @pytest.fixture(autouse=True)
    def own_heap(monkeypatch: pytest.MonkeyPatch) -> None:
        """Let each test allocate from arenas of its own, which are gone afterwards."""
        monkeypatch.setattr(arena, "_heap", arena._Heap())


@pytest.fixture(params=["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def lock(request: pytest.FixtureRequest) -> Iterator[AnyLock]:
    """Each kind of lock, free."""
    yield getattr(mp_sync, request.param)()
    # Or it would live, and its memory, until the test is no longer looked at.
    del request.node.funcargs["lock"]
