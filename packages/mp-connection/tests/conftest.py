"""Fixtures of several modules."""

from __future__ import annotations

import os
import sys

import pytest

from mp_connection import _backend, _parts

NATIVE = _backend.native
#: Where it is looked up.
USERS: list[object] = [_parts]
if sys.platform == "linux":
    from mp_connection import _wire_linux

    USERS.append(_wire_linux)


@pytest.fixture(params=["native", "portable"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The extension, or Python in its place; also in new processes."""
    chosen: str = request.param
    if chosen == "native" and NATIVE is None:
        assert os.environ.get("MP_CONNECTION_BACKEND") == "portable"
        pytest.skip("MP_CONNECTION_BACKEND=portable")
    for module in USERS:
        monkeypatch.setattr(module, "native", NATIVE if chosen == "native" else None)
    monkeypatch.setenv("MP_CONNECTION_BACKEND", chosen)
    return chosen
