"""The logger: what it begins with, what children are handed, what it costs."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

import mp_connection
from mp_connection import _logger, get_logger, lifecycle, log, log_to_stderr
from mp_connection.lifecycle import captured_state

PATH = mp_connection.__path__[0].rpartition("/")[0]


@pytest.fixture(autouse=True)
def as_new() -> Iterator[None]:
    """Begin and leave with nobody having asked for the logger."""
    logger = logging.getLogger("multiprocessing")
    # Where it does not propagate, pytest itself adds handlers to it.
    propagate, logger.propagate = logger.propagate, True
    handlers, logger.handlers = logger.handlers, []
    states = (log.wanted, log._least, log._inherited, _logger._logger)
    log.wanted, log._least, log._inherited, _logger._logger = False, 0, None, None
    provider = lifecycle._providers.pop("mp_connection.log", None)
    yield
    logger.propagate, logger.handlers = propagate, handlers
    logger.setLevel(logging.NOTSET)
    log.wanted, log._least, log._inherited, _logger._logger = states
    lifecycle._providers.pop("mp_connection.log", None)
    if provider is not None:
        lifecycle._providers["mp_connection.log"] = provider


Capture = pytest.CaptureFixture[str]


def handed() -> object:
    """What a spawned child would be told of the logger."""
    found = [state for function, state in captured_state() if function is log.restore]
    assert len(found) < 2
    return found[0] if found else None


def test_the_logger_begins_with_nothing() -> None:
    logger = get_logger()
    assert logger is logging.getLogger("multiprocessing") is get_logger()
    assert logger.level == logging.NOTSET
    assert logger.handlers == []
    assert not logger.propagate


def test_a_logger_that_was_configured_before_keeps_that() -> None:
    handler = logging.NullHandler()
    configured = logging.getLogger("multiprocessing")
    configured.addHandler(handler)
    configured.setLevel(logging.ERROR)
    assert get_logger().handlers == [handler]
    assert get_logger().level == logging.ERROR


def test_stderr_has_the_format_of_the_manual(capsys: Capture) -> None:
    logger = log_to_stderr()
    assert logger is get_logger()
    logger.setLevel(logging.INFO)
    logger.warning("doomed")
    logger.debug("not shown")
    assert capsys.readouterr().err == "[WARNING/MainProcess] doomed\n"


@pytest.mark.parametrize("level", [logging.DEBUG, "DEBUG"])
def test_stderr_with_a_level(level: int | str, capsys: Capture) -> None:
    assert log_to_stderr(level).level == logging.DEBUG
    log.debug("%s of %d", "one", 2)
    assert capsys.readouterr().err == "[DEBUG/MainProcess] one of 2\n"


def test_a_level_that_is_none_adds_no_handler() -> None:
    with pytest.raises(ValueError, match="Unknown level"):
        log_to_stderr("LOUD")
    with pytest.raises(TypeError):
        log_to_stderr(1.5)  # type: ignore[arg-type]
    assert get_logger().handlers == []
    assert get_logger().level == logging.NOTSET


def test_asking_twice_shows_each_line_once_where_stderr_is_now(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", before)
        log_to_stderr(logging.INFO)
    before.close()
    log_to_stderr()
    log.info("once")
    assert capsys.readouterr().err == "[INFO/MainProcess] once\n"


def test_what_layers_log_names_their_place() -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    get_logger().addHandler(Keep())
    get_logger().setLevel(logging.DEBUG)
    log.info("here")
    log.debug("and here")
    assert [record.filename for record in records] == ["test_log.py"] * 2
    assert [record.levelname for record in records] == ["INFO", "DEBUG"]
    assert {record.funcName for record in records} == {
        "test_what_layers_log_names_their_place"
    }


def test_nobody_asked_and_nothing_is_handed_on() -> None:
    log.info("into the %s", "void")
    assert not log.wanted
    assert handed() is None


def test_children_are_handed_the_level_and_the_output() -> None:
    root = logging.getLogger()
    logger = get_logger()
    assert handed() == (root.getEffectiveLevel(), False)
    logger.setLevel(logging.INFO)
    assert handed() == (logging.INFO, False)
    logger.addHandler(logging.NullHandler())  # the user's own stays at home
    assert handed() == (logging.INFO, False)
    log_to_stderr()
    assert handed() == (logging.INFO, True)


def test_a_child_begins_with_what_it_was_handed(capsys: Capture) -> None:
    log.restore((logging.INFO, True))
    assert handed() == (logging.INFO, True)  # for its own children
    log.debug("not shown")
    assert _logger._logger is None
    log.info("shown")
    assert capsys.readouterr().err == "[INFO/MainProcess] shown\n"
    assert get_logger().level == logging.INFO
    get_logger().setLevel(logging.DEBUG)  # from here on it is this process's
    log.debug("shown now")
    assert capsys.readouterr().err == "[DEBUG/MainProcess] shown now\n"
    assert handed() == (logging.DEBUG, True)


def test_a_child_without_output_is_silent(capsys: Capture) -> None:
    log.restore((logging.INFO, False))
    assert get_logger().level == logging.INFO
    assert get_logger().handlers == []


@pytest.mark.skipif(sys.platform != "linux", reason="the path of the package")
def test_logging_is_imported_when_there_is_something_to_show() -> None:
    program = f"""
import sys; sys.path.insert(0, {PATH!r})
import mp_connection.log as log
def loaded(): print("logging" in sys.modules, end=" ")
log.info("nobody asked"); loaded()
log.restore((30, True)); loaded()
log.info("inherited, but not for this"); loaded()
log.restore((20, True)); log.info("for this"); loaded()
"""
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == ["False", "False", "False", "True"]
    assert done.stderr == "[INFO/MainProcess] for this\n"
