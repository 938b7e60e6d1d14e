"""Processes that are killed at random while they synchronize, briefly.

``./tools/hatch run chaos 60`` takes a minute for each.
"""

from __future__ import annotations

import os
import sys

import pytest

assert sys.platform == "linux"

import mp_sync_chaos

SECONDS = float(os.environ.get("MP_CHAOS_SECONDS", "0.25"))


@pytest.mark.parametrize("name", mp_sync_chaos.SCENARIOS)
@pytest.mark.timeout(120 + 2 * SECONDS)
def test_nothing_hangs_and_nothing_is_lost(name: str) -> None:
    kills, _ = mp_sync_chaos.chaos(name, SECONDS, int.from_bytes(os.urandom(4)))
    assert kills


@pytest.mark.slow
@pytest.mark.parametrize("name", mp_sync_chaos.SCENARIOS)
def test_nothing_hangs_and_nothing_is_lost_for_longer(name: str) -> None:
    _, rounds = mp_sync_chaos.chaos(name, 2, int.from_bytes(os.urandom(4)))
    assert rounds
