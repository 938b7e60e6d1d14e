"""How many CPUs there are, or are to be taken to be, on every Python."""

from __future__ import annotations

import os
import sys


def cpus() -> int | None:
    """The number of CPUs; None if nobody knows.

    Raises:
        ValueError: what the program is told instead is no positive number.
    """
    if sys.version_info < (3, 13):  # later ones look themselves, when they start
        told: object = sys._xoptions.get("cpu_count")
        if told is None:
            told = os.environ.get("PYTHON_CPU_COUNT")
            if sys.flags.ignore_environment or told == "":
                told = None
        if told is not None and told != "default":
            if not isinstance(told, str) or not told.isdecimal() or not int(told):
                raise ValueError(
                    "PYTHON_CPU_COUNT and -X cpu_count are positive numbers or"
                    f" 'default', not {told!r}"
                )
            return int(told)
    return os.cpu_count()
