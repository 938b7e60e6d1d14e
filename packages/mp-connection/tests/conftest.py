"""Fixtures of several modules."""

from __future__ import annotations

import os
import sys

import pytest

if sys.platform == "linux":
    from mp_connection import _wire_linux

    NATIVE = _wire_linux.native

    @pytest.fixture(params=["native", "portable"])
    def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        """What carries packets: the extension, or Python; also in new processes."""
        chosen: str = request.param
        if chosen == "native" and NATIVE is None:
            assert os.environ.get("MP_CONNECTION_BACKEND") == "portable"
            pytest.skip("MP_CONNECTION_BACKEND=portable")
        native = NATIVE if chosen == "native" else None
        monkeypatch.setattr(_wire_linux, "native", native)
        monkeypatch.setenv("MP_CONNECTION_BACKEND", chosen)
        return chosen
