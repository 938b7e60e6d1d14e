"""What the manual's examples of processes do, by each start method."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import mp_process_scripts as scripts

from mp_testing import StartMethod

assert sys.platform == "linux"

#: A child says who it is ("The Process class"), beside the lines of "Safe importing of
#: main module" and of `freeze_support`.
WHO = """
import os, sys
from mp_process import Process, freeze_support, set_start_method

def tell(title):
    print(title, __name__, os.getpid(), os.getppid(), flush=True)

def greet(name):
    tell("child")
    print("hello", name)

if __name__ == "__main__":
    freeze_support()
    set_start_method(sys.argv[1])
    tell("main")
    process = Process(target=greet, args=("bob",))
    process.start()
    process.join()
    print(process.pid)
    Process(target=print, args=("hello world!",)).start()
"""

#: The life of a process that is terminated ("Process and exceptions").
LIFE = """
import signal, sys, time
import mp_process as mp

if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=time.sleep, args=(1000,))
    print(process, process.is_alive())
    process.start()
    print(process, process.is_alive())
    process.terminate()
    process.join()
    print(process, process.is_alive())
    print(process.exitcode == -signal.SIGTERM)
"""


def run(path: Path, text: str, method: str) -> list[str]:
    script = path / "program.py"
    script.write_text(text)
    done = scripts.run(script, method)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_child_says_hello_and_who_it_is(
    start_method: StartMethod, tmp_path: Path
) -> None:
    main, child, hello, pid, last = run(tmp_path, WHO, start_method)
    title, name, parent, _ = main.split()
    assert (title, name) == ("main", "__main__")
    imported = "__main__" if start_method == "fork" else "__mp_main__"
    assert child.startswith(f"child {imported} {pid} ")
    # By forkserver it is the server whose child it is.
    assert (child.split()[3] == parent) == (start_method != "forkserver")
    assert (hello, last) == ("hello bob", "hello world!")


def test_the_life_of_a_process(start_method: StartMethod, tmp_path: Path) -> None:
    lines = [re.sub(r"\d+", "N", line) for line in run(tmp_path, LIFE, start_method)]
    kind = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}[start_method]
    head = f"<{kind}Process name='{kind}Process-N'"
    assert lines == [
        f"{head} parent=N initial> False",
        f"{head} pid=N parent=N started> True",
        f"{head} pid=N parent=N stopped exitcode=-SIGTERM> False",
        "True",
    ]
