"""What a worker of the joblib backend runs; it imports neither joblib nor numpy."""

from __future__ import annotations

import os

from mp_process.context import SpawnContext, SpawnProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class FreshProcess(SpawnProcess):
    """Begins with nothing of the program: its functions travel by value."""

    imports_main = False


class FreshContext(SpawnContext):
    """Starts fresh processes."""

    Process = FreshProcess


def begin(
    environ: Mapping[str, str],
    initializer: Callable[..., object] | None,
    initargs: tuple[object, ...],
) -> None:
    """Make ready for the first task.

    Args:
        environ: how many threads libraries are to have, which they read when they are
            loaded.
        initializer: the user's, which is called last.
        initargs: its arguments.
    """
    os.environ.update(environ)
    if initializer is not None:
        initializer(*initargs)


def work(function: Callable[[], Any]) -> Any:
    """Call a batch of joblib's."""
    from mp_pool._by_value import by_value

    return by_value(function())
