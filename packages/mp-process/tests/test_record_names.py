"""The process's name in log records, and what processes log themselves."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import logging
from pathlib import Path

import mp_process_scripts
import pytest

# A child writes a record to standard output, through a logger of the program's own.
PROGRAM = """
{before}
import mp_process

def work():
    import logging, sys
    logging.basicConfig(
        format="%(processName)s %(message)s", stream=sys.stdout, force=True
    )
    logging.getLogger("own").warning("works")

if __name__ == "__main__":
    for method in mp_process.get_all_start_methods():
        process = mp_process.get_context(method).Process(target=work, name=method[::-1])
        process.start()
        process.join()
    work()
    mp_process.current_process().name = "renamed"
    work()
"""
WORKED = ["krof", "nwaps", "revreskrof", "MainProcess", "renamed"]

FACTORY_AROUND = """
import logging
factory = logging.getLogRecordFactory()
logging.setLogRecordFactory(lambda *args, **more: factory(*args, **more))
"""
FACTORY_INSTEAD = """
import logging
class Record(logging.LogRecord):
    pass
logging.setLogRecordFactory(Record)
"""


def run(path: Path, text: str) -> list[str]:
    """The words that a program prints; it is to print no error."""
    file = path / "program.py"
    file.write_text(text)
    done = mp_process_scripts.run(file)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import logging",
        "import multiprocessing",
        "import logging, multiprocessing",
        FACTORY_AROUND,
        FACTORY_INSTEAD,
    ],
    ids=["late", "early", "standard", "both", "factory", "subclass"],
)
def test_records_bear_the_name_of_the_process(tmp_path: Path, before: str) -> None:
    words = run(tmp_path, PROGRAM.format(before=before))
    assert words == [word for name in WORKED for word in (name, "works")]


def test_a_child_has_its_name_while_it_imports_the_main_module(tmp_path: Path) -> None:
    text = """
import logging, sys
import mp_process
logging.basicConfig(format="%(processName)s", stream=sys.stdout)
logging.warning("importing")
if __name__ == "__main__":
    process = mp_process.get_context("spawn").Process(name="child")
    process.start()
    process.join()
"""
    assert run(tmp_path, text) == ["MainProcess", "child"]


IN_A_CHILD = """
import mp_process
def work():
{body}
if __name__ == "__main__":
    process = mp_process.get_context("{method}").Process(target=work, name="child")
    process.start()
    process.join()
"""


def in_a_child(path: Path, method: str, body: str) -> list[str]:
    indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return run(path, IN_A_CHILD.format(body=indented, method=method))


def test_names_that_others_gave_stay(tmp_path: Path, start_method: str) -> None:
    """Records from elsewhere, those without names, and the standard children's."""
    body = """
import copy, logging, multiprocessing, pickle
def show(**more):
    record = logging.makeLogRecord(dict(more))
    again = pickle.loads(pickle.dumps(copy.copy(record)))
    print(record.processName, again.processName, flush=True)
show()
show(processName="MainProcess")
show(processName="elsewhere")
logging.logMultiprocessing = False
show()
logging.logMultiprocessing = True
process = multiprocessing.get_context("fork").Process(target=show, name="standard")
process.start()
process.join()
"""
    assert in_a_child(tmp_path, start_method, body) == [
        *("child", "child"),
        *("MainProcess", "MainProcess"),
        *("elsewhere", "elsewhere"),
        *("None", "None"),
        *("standard", "standard"),
    ]


def test_the_attribute_behaves_as_any(tmp_path: Path, start_method: str) -> None:
    body = """
import logging, sys
record = logging.makeLogRecord({})
print("{0.processName} {processName}".format(record, **vars(record)))
del record.processName
print(hasattr(record, "processName"), "processName" in vars(record))
try:
    del record.processName
except AttributeError as error:
    print(error)
print(type(logging.__loader__).__module__.split(".")[0])
print(logging.__loader__ is logging.__spec__.loader)
print([finder for finder in sys.meta_path if "mp_" in type(finder).__module__])
"""
    assert in_a_child(tmp_path, start_method, body) == [
        *("child", "child", "False", "False", "processName"),
        *("_frozen_importlib_external", "True", "[]"),
    ]


def test_children_that_log_nothing_do_not_import_logging(
    tmp_path: Path, start_method: str
) -> None:
    body = 'import sys; print("logging" in sys.modules)'
    assert in_a_child(tmp_path, start_method, body) == ["False"]


def test_an_import_of_logging_that_fails_can_be_repeated(tmp_path: Path) -> None:
    body = """
import sys
sys.modules["string"] = None
try:
    import logging
except ImportError:
    print("failed")
del sys.modules["string"]
import logging
print(logging.makeLogRecord({}).processName)
"""
    assert in_a_child(tmp_path, "spawn", body) == ["failed", "child"]


TALKATIVE = """
import logging, mp_connection, mp_process
def work():
    mp_connection.get_logger().warning("doomed")
    raise SystemExit(3)
if __name__ == "__main__":
    logger = mp_connection.log_to_stderr()
    logger.setLevel(logging.{level})
    process = mp_process.get_context("{method}").Process(target=work, name="child")
    process.start()
    process.join()
"""


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
def test_children_log_what_they_do(
    tmp_path: Path, start_method: str, level: str
) -> None:
    file = tmp_path / "program.py"
    file.write_text(TALKATIVE.format(level=level, method=start_method))
    assert mp_process_scripts.run(file).stderr.splitlines() == [
        line
        for line in (
            "[INFO/child] child process calling self.run()",
            "[WARNING/child] doomed",
            "[DEBUG/child] process shutting down",
            "[INFO/child] process exiting with exitcode 3",
            "[DEBUG/MainProcess] process shutting down",
        )
        if logging.getLevelName(line[1:].partition("/")[0])
        >= logging.getLevelName(level)
    ]


def test_grandchildren_inherit_the_level(tmp_path: Path) -> None:
    text = """
import mp_connection, mp_process
def grandchild():
    print(mp_connection.get_logger().getEffectiveLevel(), flush=True)
def child(methods):
    if not methods:
        return grandchild()
    process = mp_process.get_context(methods[0]).Process(
        target=child, args=(methods[1:],)
    )
    process.start()
    process.join()
if __name__ == "__main__":
    mp_connection.get_logger().setLevel(15)
    for methods in ("spawn spawn", "fork spawn", "forkserver fork spawn"):
        child(methods.split())
"""
    assert run(tmp_path, text) == ["15", "15", "15"]
