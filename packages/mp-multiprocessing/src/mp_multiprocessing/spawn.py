"""What third parties use of the standard package's module of this name."""

from __future__ import annotations

from mp_connection.lean import dumps, loads
from mp_connection.lifecycle import Provider
from mp_process import (
    freeze_support as freeze_support,
    get_executable as get_executable,
    set_executable as set_executable,
)

__all__ = (
    "freeze_support",
    "get_executable",
    "get_preparation_data",
    "set_executable",
)


def get_preparation_data(name: str) -> dict[str, object]:
    """What a child is told beyond what mp-process tells it: nothing.

    Tools that are to be in each child put a function of their own in the place of this
    one, and something into the dictionary that is unpickled before the child imports
    the main module.

    Args:
        name: of no meaning here.
    """
    return {}


def _capture() -> bytes | None:
    data = get_preparation_data("")  # whoever is in its place
    # A pickle within the message: what is unpickled may import `multiprocessing`, which
    # has to be after the child was told which package that is.
    return dumps(data) if data else None


def _restore(state: object) -> None:
    assert isinstance(state, bytes)
    loads(state)


_provider = Provider("mp_multiprocessing.spawn", _capture, _restore)
