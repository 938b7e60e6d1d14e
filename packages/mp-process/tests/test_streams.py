"""Where children write to."""

from __future__ import annotations

import sys
from pathlib import Path

import mp_process_scripts as scripts

from mp_testing import StartMethod

assert sys.platform == "linux"

REDIRECTED = """
import os, sys
import mp_process

def say(text):
    print(text)
    print(text, file=sys.stderr)

def leave(text):
    print(text)
    os._exit(0)  # what is still in a buffer is lost

def start(target, text):
    process = mp_process.get_context(sys.argv[1]).Process(target=target, args=(text,))
    process.start()
    process.join(30)
    assert process.exitcode == 0, process

if __name__ == "__main__":
    start(say, "first")
    old = os.dup(1), os.dup(2)
    for fd in (1, 2):
        os.dup2(os.open(sys.argv[2] + str(fd), os.O_CREAT | os.O_WRONLY), fd)
    start(say, "second")
    controlling, terminal = os.openpty()
    os.dup2(terminal, 1)
    if sys.argv[1] == "fork":
        sys.stdout.reconfigure(line_buffering=True)
    start(leave, "third")
    assert os.read(controlling, 100) == b"third\\r\\n"
    os.close(1)
    start(say if sys.argv[1] == "forkserver" else len, "nowhere")
    if sys.argv[1] == "forkserver":
        os.pipe()  # a descriptor of the parent's own is nobody's output
        start(say, "nowhere")
    for fd in (1, 2):
        os.dup2(old[fd - 1], fd)
    start(say, "last")
"""


def test_output_goes_where_the_parents_does(
    start_method: StartMethod, tmp_path: Path
) -> None:
    """Also if that was changed after the fork server began; nowhere if closed."""
    script = tmp_path / "script.py"
    script.write_text(REDIRECTED)
    done = scripts.run(script, start_method, tmp_path / "file")
    assert done.stdout == done.stderr == "first\nlast\n"
    assert (tmp_path / "file1").read_text() == "second\n"
    nowhere = "nowhere\n" * 2 if start_method == "forkserver" else ""
    assert (tmp_path / "file2").read_text() == f"second\n{nowhere}"


def test_streams_that_the_server_did_not_have(tmp_path: Path) -> None:
    """A program may open its standard streams after the fork server began."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, sys
import mp_process
def start(target, *args):
    process = mp_process.get_context("forkserver").Process(target=target, args=args)
    process.start()
    process.join(30)
    assert process.exitcode == 0, process
if __name__ == "__main__":
    saved = os.dup(1)
    for fd in (1, 2):
        os.close(fd)
        assert os.open(os.devnull, os.O_RDWR) == fd  # closed by exec
    start(len, "")
    os.dup2(saved, 1)
    os.dup2(saved, 2)
    start(print, "here")
"""
    )
    assert scripts.run(script).stdout == "here\n"


def test_output_of_an_import_ahead_comes_once(tmp_path: Path) -> None:
    """It is the server's: its children do not write it again."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import mp_process
print(__name__)
if __name__ == "__main__":
    for _ in range(3):
        process = mp_process.get_context("forkserver").Process(target=len, args=("",))
        process.start()
        process.join(30)
"""
    )
    done = scripts.run(script, PYTHONUNBUFFERED="")
    assert done.stdout == "__main__\n__mp_main__\n"
