"""`noted_calls`: the method still does its work, and the test sees of which objects."""

from __future__ import annotations

import pytest

from mp_testing import noted_calls


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def step(self) -> int:
        self.count += 1
        return self.count


def test_objects_are_noted_and_the_method_goes_on() -> None:
    one, two = Counter(), Counter()
    with pytest.MonkeyPatch.context() as patch:
        noted = noted_calls(patch, Counter, "step")
        assert [one.step(), two.step(), one.step()] == [1, 1, 2]
        assert noted == [one, two, one]
    one.step()
    assert len(noted) == 3
