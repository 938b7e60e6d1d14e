"""The logger, as the manual's section "Logging" shows it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mp_connection
import mp_multiprocessing as mp

assert sys.platform == "linux"

# The manual's session, with a process in place of a manager.
SESSION = """
import logging
import mp_multiprocessing as multiprocessing

if __name__ == "__main__":
    logger = multiprocessing.{context}log_to_stderr()
    logger.setLevel(logging.INFO)
    logger.warning("doomed")
    m = multiprocessing.get_context("{method}").Process(name="SyncManager-1")
    m.start()
    m.join()
    del m
"""


@pytest.mark.parametrize("context", ["", "get_context('spawn')."])
def test_the_manuals_session(
    tmp_path: Path, start_method: mp.Method, context: str
) -> None:
    file = tmp_path / "session.py"
    file.write_text(SESSION.format(method=start_method, context=context))
    done = subprocess.run(
        [sys.executable, file],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stderr.splitlines() == [
        "[WARNING/MainProcess] doomed",
        "[INFO/SyncManager-1] child process calling self.run()",
        "[INFO/SyncManager-1] process exiting with exitcode 0",
    ]


def test_contexts_give_the_one_logger(start_method: mp.Method) -> None:
    ctx = mp.get_context(start_method)
    logger = logging.getLogger("multiprocessing")
    assert ctx.get_logger() is mp.get_logger() is mp_connection.get_logger() is logger
