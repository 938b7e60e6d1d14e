"""Shared memory of its own for each test."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "linux":
    from mp_sync import arena

    @pytest.fixture(autouse=True)
    def own_heap(monkeypatch: pytest.MonkeyPatch) -> None:
        """Let each test allocate from arenas of its own, which are gone afterwards."""
        monkeypatch.setattr(arena, "_heap", arena._Heap())
