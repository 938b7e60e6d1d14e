"""Takes the portable backend where the extension is missing, and says so once."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SAID = "MP_SYNC_FALLBACK_KNOWN"


def _import() -> Any:
    if sys.platform == "linux":
        from mp_sync import _portable

        return _portable
    raise ImportError(f"it is for Linux, and not for {sys.platform} yet")


def choose(reason: str | None) -> Any:
    """What has the types of the backend.

    Args:
        reason: why the extension is not used; None if the portable backend was asked
            for, which then has to work.
    """
    try:
        _portable = _import()
    except ImportError as error:
        if reason is None:
            raise
        from mp_sync import _missing

        return _missing.types(f"{reason}; nor is there the portable one: {error}")
    if reason is not None and _SAID not in os.environ:
        os.environ[_SAID] = "1"  # for children, who would say it again
        import warnings

        warnings.warn(
            "mp_sync is without its extension and uses the portable backend, which is"
            f" slower ({reason}); MP_SYNC_BACKEND=portable chooses it in silence",
            RuntimeWarning,
            stacklevel=2,
        )
    return _portable
