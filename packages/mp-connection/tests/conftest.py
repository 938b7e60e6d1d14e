"""Fixtures of several modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from mp_connection import _backend, _parts
from mp_testing import BACKENDS, use_backend

NATIVE = _backend.native
#: Where it is looked up.
USERS: list[ModuleType] = [_parts]
if sys.platform == "linux":
    from mp_connection import (
        _alone_linux,
        _packets_linux,
        _receiver_linux,
        _wire_linux,
    )

    USERS += [_alone_linux, _packets_linux, _receiver_linux, _wire_linux]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The extension, or Python in its place; also in new processes."""
    chosen: str = request.param
    use_backend(chosen, NATIVE, USERS, monkeypatch)
    return chosen


if sys.platform == "linux":
    from mp_connection_channels import Channels

    from mp_connection.channel import PacketChannel, packet_pair

    @pytest.fixture
    def pair() -> Iterator[Channels]:
        """Two shared ends."""
        first, second = (PacketChannel(end, True) for end in packet_pair(True))
        yield first, second
        first.close()
        second.close()
