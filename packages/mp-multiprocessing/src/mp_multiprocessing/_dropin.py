"""Drop-in mode: what imports the standard `multiprocessing` gets this package.

A finder in front of all others answers for ``multiprocessing`` and its submodules with
the very modules of this package: there are never two copies of one.  Children begin
with it too: forked ones by themselves, others because they are told before they import
anything of the program's, and so is the fork server.
"""

from __future__ import annotations

import os
import sys

from mp_connection.lifecycle import Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_multiprocessing._finder import Finder

__all__ = ("VARIABLE", "install", "is_installed", "is_switched_off")

_STANDARD = "multiprocessing"
_OURS = "mp_multiprocessing"

#: The variable of the environment that switches drop-in mode off.
VARIABLE = "MP_DROPIN"

_TOO_LATE = (
    "the standard multiprocessing package was imported before: call"
    " mp_multiprocessing.install() first in the program, or run it by"
    " python -m mp_multiprocessing"
)


_finder: Finder | None = None


def install() -> bool:
    """Let ``multiprocessing`` and its submodules be this package, here and in children.

    It comes before anything imports the standard package, at the top of the main
    module; ``python -m mp_multiprocessing program.py`` does it for a program as it is.
    A second call, as by a main module that a child imports, does nothing.

    Returns:
        Whether it is so now: with ``MP_DROPIN=0`` in the environment nothing is done.

    Raises:
        RuntimeError: the standard package is imported already.
        NotImplementedError: this is not CPython on Linux.
    """
    if is_switched_off() and not is_installed():
        return False
    _install()
    return True


def is_installed() -> bool:
    """Whether this process is in drop-in mode."""
    return _finder is not None


def is_switched_off() -> bool:
    """Whether the environment says that the standard package is to be used."""
    return os.environ.get(VARIABLE) == "0"


def _is_supported() -> bool:
    return sys.implementation.name == "cpython" and sys.platform == "linux"


def _install() -> None:
    global _finder
    if _finder is not None:
        return
    if not _is_supported():
        import platform

        raise NotImplementedError(
            "mp_multiprocessing runs on CPython on Linux so far, and this is"
            f" {platform.python_implementation()} on {platform.system()}"
        )
    if any(name.partition(".")[0] == _STANDARD for name in sys.modules):
        raise RuntimeError(_TOO_LATE)
    from mp_multiprocessing._finder import Finder  # takes longer than all of this
    from mp_multiprocessing._joblib import joblib

    finder = Finder(_STANDARD, _OURS)
    sys.meta_path.insert(0, finder)
    joblib.begin()
    # Some look into sys.modules and import nothing, such as `logging`.
    sys.modules[_STANDARD] = sys.modules[_OURS]
    _finder = finder


def _restore(state: object) -> None:
    """In a child: whatever the environment says now, be as the parent is."""
    _install()


_provider = Provider(
    "mp_multiprocessing.dropin", lambda: is_installed() or None, _restore, ahead=True
)
