"""The error of a barrier; apart, because `threading` costs children its import."""

from __future__ import annotations

import threading

from mp_connection.errors import ProcessError


class BrokenBarrierError(ProcessError, threading.BrokenBarrierError):
    """A barrier is broken, or was reset, so that there is nothing to wait for.

    It is caught as ``threading.BrokenBarrierError``, which the manual's barrier has.
    """
