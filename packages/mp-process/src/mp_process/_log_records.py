"""Log records on their way from one process to another."""

from __future__ import annotations

import logging
import pickle

#: Whose values arrive anywhere: neither classes of users nor anything that is large.
_PLAIN = frozenset((type(None), bool, int, float, str, bytes))

_formatter = logging.Formatter()


class _Packed:
    """A value that may be of a class which the receiver cannot import."""

    def __init__(self, value: object) -> None:
        self.text = _text(value)
        try:
            self.data = pickle.dumps(value)
        except Exception:
            self.data = b""

    def value(self) -> object:
        """The value; its text where it does not travel."""
        try:
            return pickle.loads(self.data) if self.data else self.text
        except Exception:
            return self.text


def _text(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def encode(record: logging.LogRecord) -> bytes:
    """A record as bytes: its message made, an exception as text."""
    attributes = dict(vars(record))
    attributes["msg"] = record.getMessage()
    attributes["args"] = None
    if record.exc_info:
        if not record.exc_text:
            attributes["exc_text"] = _formatter.formatException(record.exc_info)
        attributes["exc_info"] = None
    for name, value in attributes.items():
        if type(value) not in _PLAIN:
            attributes[name] = _Packed(value)
    return pickle.dumps(attributes)


def handle(data: bytes) -> None:
    """Give a record to the logger of its name, which has its say."""
    attributes = {
        name: value.value() if isinstance(value, _Packed) else value
        for name, value in pickle.loads(data).items()
    }
    record = logging.makeLogRecord(attributes)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
