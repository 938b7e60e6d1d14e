"""The extension, if it is there and wanted.

``MP_CONNECTION_BACKEND`` says ``native`` or ``portable`` to have that and no other.
Both do the same, and processes that talk to each other need not have the same; the
extension takes less time for the messages that most programs send.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def _choose() -> ModuleType | None:
    wanted = os.environ.get("MP_CONNECTION_BACKEND", "")
    if wanted not in ("", "native", "portable"):
        text = f"MP_CONNECTION_BACKEND is native or portable, not {wanted!r}"
        raise ImportError(text)
    if wanted == "portable":
        return None
    try:
        from mp_connection import _native
    except ImportError as error:
        if wanted == "native":
            raise ImportError(
                f"MP_CONNECTION_BACKEND=native, and the extension is missing: {error}",
                name="mp_connection._native",
            ) from error
        return None
    return _native


#: The extension; None where it is missing or not wanted.
native: ModuleType | None = _choose()
