"""What tests allocate, beyond the life of one test."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "linux":
    # Before the fixture below, and kept.
    import mp_sharedctypes._register_linux  # noqa: F401
    from mp_sync import arena

    @pytest.fixture(autouse=True)
    def own_heap(monkeypatch: pytest.MonkeyPatch) -> None:
        """Let each test allocate from arenas of its own, which are gone afterwards."""
        monkeypatch.setattr(arena, "_heap", arena._Heap())
