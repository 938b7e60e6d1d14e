"""Ctrl-C ends children quietly, also those that have just begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

from mp_connection import Pipe
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

SECONDS = 30

#: Interrupts a fresh interpreter, once, at the end of its `site`.
SITE = """
import os
try:
    os.close(os.open({once!r}, os.O_CREAT | os.O_EXCL))
except FileExistsError:
    pass
else:
    os.kill(os.getpid(), 2)
"""


@pytest.mark.usefixtures("fresh_server")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_interrupted_while_python_starts(
    method: StartMethod,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A child ends with 1 and no traceback; after a fork server there is another."""
    once, ran = tmp_path / "once", tmp_path / "ran"
    (tmp_path / "sitecustomize.py").write_text(SITE.format(once=str(once)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = get_context(method).Process(target=targets.append, args=(str(ran),))
    process.start()
    process.join(SECONDS)
    assert once.exists()
    assert process.exitcode == (1 if method == "spawn" else 0)
    assert ran.exists() == (method == "forkserver")
    assert capfd.readouterr().err == ""


def test_interrupted_while_hooks_of_a_fork_run() -> None:
    """The interrupt is not forgotten, and nothing is printed of it."""
    code = """
import os
import mp_process
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), 2))
process = mp_process.get_context("fork").Process(target=print, args=("ran",))
process.start()
process.join(30)
print(process.exitcode)
"""
    done = scripts.run("-c", code)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_parent_interrupted_as_the_child_exists(
    method: StartMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """start raises, and leaves no child."""
    owner, name = (os, "fork") if method == "fork" else (subprocess, "Popen")
    real = getattr(owner, name)
    this, before = os.getpid(), targets.children()

    def interrupted(*args: Any, **more: Any) -> Any:
        result = real(*args, **more)
        if os.getpid() == this:
            # To this thread: any other one that the runner may have lets it in at once.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return result

    process = get_context(method).Process(target=targets.sleep)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            process.start()
    assert process.pid is None
    assert targets.children() == before


@pytest.mark.usefixtures("fresh_server")
@pytest.mark.parametrize("blocked", [False, True])
def test_mask(start_method: StartMethod, blocked: bool) -> None:
    """Children begin with SIGINT blocked where their parent had it blocked."""
    ours, theirs = Pipe()
    how = signal.SIG_BLOCK if blocked else signal.SIG_UNBLOCK
    before = signal.pthread_sigmask(how, [signal.SIGINT])
    try:
        process = get_context(start_method).Process(
            target=targets.send_mask, args=(theirs,)
        )
        process.start()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        assert (signal.SIGINT in mask) == blocked
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert ours.poll(SECONDS)
    assert ours.recv() == blocked
    process.join(SECONDS)
    ours.close()
    theirs.close()
