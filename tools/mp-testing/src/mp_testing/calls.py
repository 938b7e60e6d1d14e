"""What tests see of calls that go on as before."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def noted_calls(monkeypatch: pytest.MonkeyPatch, owner: type[T], name: str) -> list[T]:
    """Have a method without arguments note the objects that it is called on.

    Returns:
        The list that they are appended to, in order, as long as the test runs.
    """
    noted: list[T] = []
    method = getattr(owner, name)

    def call(self: T) -> Any:
        noted.append(self)
        return method(self)

    monkeypatch.setattr(owner, name, call)
    return noted
