"""The logger of the project; importing this imports `logging`."""

from __future__ import annotations

import logging
import sys

from mp_connection import log

#: As `multiprocessing` names it: programs ask `logging.getLogger` for it, too.
_NAME = "multiprocessing"

_FORMAT = "[%(levelname)s/%(processName)s] %(message)s"

#: Nobody's until `log_to_stderr`; one for all calls, so that no line comes twice.
_handler = logging.StreamHandler()
_handler.setFormatter(logging.Formatter(_FORMAT))

_logger: logging.Logger | None = None


def get_logger() -> logging.Logger:
    """See `log.get_logger`."""
    global _logger
    if _logger is None:
        logger = logging.getLogger(_NAME)
        logger.propagate = False
        if log._inherited is not None:
            level, to_stderr = log._inherited
            logger.setLevel(level)
            if to_stderr:
                _show(logger)
        log._arrived()
        _logger = logger
    return _logger


def log_to_stderr(level: int | str | None) -> logging.Logger:
    """See `log.log_to_stderr`."""
    logger = get_logger()
    if level is not None:
        logger.setLevel(level)
    _show(logger)
    return logger


def _show(logger: logging.Logger) -> None:
    # Not by setStream, which flushes the old one, and that may be closed by now.
    _handler.stream = sys.stderr
    logger.addHandler(_handler)


def state() -> tuple[int, bool]:
    """What children that are not forked begin with, as `log.restore` takes it."""
    logger = get_logger()
    return logger.getEffectiveLevel(), _handler in logger.handlers
