"""Where there is no shared memory yet."""

from __future__ import annotations

import sys


def create(size: int) -> int:
    """Refuse.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(f"there is no shared memory yet on {sys.platform}")
