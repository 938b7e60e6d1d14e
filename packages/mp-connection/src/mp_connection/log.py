"""The logger (manual, "Logging"), and what the layers log to it.

The module `logging` is imported when somebody asks for the logger, here or in the
process that started this one.  Until then what the layers log costs them one check:
``if log.wanted: log.debug(…)`` on hot paths, elsewhere a plain ``log.info(…)``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger

__all__ = ("debug", "get_logger", "info", "log_to_stderr", "restore", "wanted")

#: Whether anybody has asked for the logger.
wanted: bool = False

#: Below this nothing is shown; known without the logger where it is inherited.
_least = 0

#: The level to begin with, and whether to write to standard error; None at home.
_inherited: tuple[int, bool] | None = None

_DEBUG, _INFO = 10, 20  # those of `logging`


def get_logger() -> Logger:
    """The logger that all layers log to.

    At first it has no level and no handler, and what is logged does not propagate to
    the root logger.  Children begin with all of it under fork, and under spawn and
    forkserver with its effective level and the handler of `log_to_stderr`.

    Returns:
        The logger named "multiprocessing", always the same.  Any thread may ask.
    """
    from mp_connection import _logger

    return _logger.get_logger()


def log_to_stderr(level: int | str | None = None) -> Logger:
    """Have the logger write to ``sys.stderr``.

    The format is ``[%(levelname)s/%(processName)s] %(message)s``.  Calling it again
    adds no second handler, and follows a ``sys.stderr`` that was replaced.

    Args:
        level: what `logging.Logger.setLevel` takes; None leaves the level as it is.

    Returns:
        What `get_logger` returns.

    Raises:
        ValueError: there is no level of this name; no handler is added.
        TypeError: it is neither a number nor a name; no handler is added.
    """
    from mp_connection import _logger

    return _logger.log_to_stderr(level)


def debug(message: str, *args: object) -> None:
    """Log *message* % *args* for those who develop, if anybody wants to see it."""
    if wanted:
        _log(_DEBUG, message, args)


def info(message: str, *args: object) -> None:
    """Log *message* % *args* for those who operate, if anybody wants to see it."""
    if wanted:
        _log(_INFO, message, args)


def _log(level: int, message: str, args: tuple[object, ...]) -> None:
    if level >= _least:
        # The place that it names is that of the layer, two frames up.
        get_logger().log(level, message, *args, stacklevel=3)


def restore(state: object) -> None:
    """In a child that was not forked: begin with the parent's level and output.

    Nothing is imported before there is something to show.

    Args:
        state: what ``mp_connection._logger`` has captured in the parent.
    """
    global wanted, _least, _inherited
    assert isinstance(state, tuple)
    level, to_stderr = state
    _inherited = level, to_stderr
    _least = level
    wanted = True
    _hand_on()


def _arrived() -> None:
    """The logger exists, with what was inherited: from now on it decides itself."""
    global wanted, _least, _inherited
    _inherited = None
    _least = 0
    wanted = True
    _hand_on()


def _hand_on() -> None:
    """Tell the children of this process, if they are not forked."""
    from mp_connection.lifecycle import Provider

    Provider("mp_connection.log", _capture, restore)


def _capture() -> object:
    if _inherited is not None:
        return _inherited
    from mp_connection import _logger

    return _logger.state()
