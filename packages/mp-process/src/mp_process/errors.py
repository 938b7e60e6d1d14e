"""The errors of this layer; the base classes stand in `mp_connection.errors`."""

from __future__ import annotations

from mp_connection.errors import (
    BufferTooShort as BufferTooShort,
    ProcessError as ProcessError,
    TimeoutError as TimeoutError,
    UnpicklableError as UnpicklableError,
)

__all__ = (
    "BufferTooShort",
    "ForkServerError",
    "ProcessError",
    "TimeoutError",
    "UnpicklableError",
)


class ForkServerError(ProcessError):
    """The fork server ended while it was asked for a process, twice in a row."""


ForkServerError.__module__ = "mp_process"
