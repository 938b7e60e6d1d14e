"""The extension of mp-connection, or Python in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import ModuleType

import pytest

#: For tests that run with either.
BACKENDS = ("native", "portable")


def use_backend(
    chosen: str,
    native: ModuleType | None,
    users: Iterable[ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Use one of `BACKENDS` in a test, and in processes that it starts.

    Args:
        chosen: which one; a test of an extension that is not wanted is skipped.
        native: the extension, if it is there.
        users: the modules that look for it, under the name ``native``.
        monkeypatch: the test's.
    """
    if chosen == "native" and native is None:
        assert os.environ.get("MP_CONNECTION_BACKEND") == "portable"
        pytest.skip("MP_CONNECTION_BACKEND=portable")
    for module in users:
        monkeypatch.setattr(module, "native", native if chosen == "native" else None)
    monkeypatch.setenv("MP_CONNECTION_BACKEND", chosen)
