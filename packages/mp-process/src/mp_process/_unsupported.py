"""Names of platform modules, for platforms where they are not written yet.

Importing the package works there; starting a process says what is missing.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from mp_process._child import Child
    from mp_process._descriptor import Descriptor
    from mp_process._process import BaseProcess


def _refuse() -> NoReturn:
    raise NotImplementedError(
        f"mp-process cannot start processes on {sys.platform} yet"
    )


class Lifeline:
    """Refuses to be made."""

    child_end: Descriptor
    parent_end: Descriptor

    def __init__(self) -> None:
        _refuse()

    def close(self) -> None:
        _refuse()


def arm(end: Descriptor) -> None:
    _refuse()


def parent_is_gone(end: Descriptor, seconds: float | None = 0) -> bool:
    _refuse()


def launch(process: BaseProcess) -> Child:
    _refuse()
