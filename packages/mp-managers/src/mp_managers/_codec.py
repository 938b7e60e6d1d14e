"""How messages to and from standard peers are written."""

from __future__ import annotations

from mp_managers import _standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def codec_of(serializer: str) -> Any:
    """The module whose ``dump`` and ``load`` write and read messages."""
    if serializer == "pickle":
        return _standard
    from mp_managers import _xml  # few programs want it

    return _xml
