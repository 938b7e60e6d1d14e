"""Addresses that managers choose by themselves.

The directory is made as `tempfile` would; but importing that costs a manager's process
several times as long as everything else at its start.
"""

from __future__ import annotations

import os
import sys

from mp_connection.log import info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# They begin as the manual's example of a log has them.
_NAME = "listener-manager"
_PREFIX = "pymp-manager-"
#: Bytes of a path that every client can use.
_LONGEST = 90


def own_address() -> str | None:
    """The path of a socket in a new directory that only this user may enter.

    Returns:
        None where the platform has no such sockets, or no place for one.
    """
    bases = () if sys.platform == "win32" else (os.environ.get("TMPDIR"), "/tmp")
    for base in bases:
        if not base or len(os.fsencode(base)) > _LONGEST - len(_PREFIX + _NAME) - 18:
            continue
        directory = os.path.join(base, f"{_PREFIX}{os.urandom(8).hex()}")
        try:
            os.mkdir(directory, 0o700)
        except OSError:
            continue
        info("created temp directory %s", directory)
        return os.path.join(directory, _NAME)
    return None


def remove(address: Any) -> None:
    """Remove what is left of an address of `own_address`, if it is one."""
    if not isinstance(address, str):
        return
    directory, name = os.path.split(address)
    if name == _NAME and os.path.basename(directory).startswith(_PREFIX):
        for take_away, path in ((os.unlink, address), (os.rmdir, directory)):
            try:
                take_away(path)
            except OSError:
                pass
