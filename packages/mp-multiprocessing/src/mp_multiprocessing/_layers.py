"""Layers that this package does without until somebody wants something of them.

They are imported at the first use: a program pays only for what it has of them.  Where
one is not installed, the error says which distribution is missing.
"""

from __future__ import annotations

from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("needed",)


@contextmanager
def needed(distribution: str, what: str) -> Iterator[None]:
    """Around the import of a layer: say what to install where it is missing.

    Args:
        distribution: the layer.
        what: who needs it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != distribution.replace("-", "_"):
            raise
        raise ModuleNotFoundError(
            f"{what} needs {distribution}, which is not installed:"
            f" pip install {distribution}",
            name=error.name,
        ) from None
