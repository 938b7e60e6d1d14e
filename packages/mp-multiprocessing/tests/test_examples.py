"""The manual's examples print under each start method what the manual says."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mp_multiprocessing as mp

assert sys.platform == "linux"

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

SQUARES = [i * i for i in range(10)]

#: What each prints; the lines in any order where a set stands.
EXPECTED: dict[str, str | set[str]] = {
    "pool_square": "[1, 4, 9]\n",
    "pool_tour": (
        f"{SQUARES}\n{SQUARES}\n0 1 4\n400\nprocesses: True\n"
        "no patience: mp.TimeoutError\nthe pool goes on: 9\nand now it is closed\n"
    ),
    "pool_results": (
        "".join(f"{i} * 7 = {i * 7}\n" for i in range(5))
        + "".join(f"{i} + 8 = {i + 8}\n" for i in range(5))
        + "imap agrees: True\nimap_unordered agrees: True\n"
        + "".join(
            f"ZeroDivisionError from {name}, as expected\n"
            for name in ("apply", "map", "imap")
        )
        + "-1.0\nlost\n1.0\n"
    ),
    "shared_state": f"3.1415927\n{[-i for i in range(10)]}\n2000\n",
    "structures": (
        "49\n0.1111111111111111\nb'HELLO WORLD'\n"
        "[(3.515625, 39.0625), (33.0625, 4.0), (5.640625, 90.25)]\n"
        "[0, 0, 0, 0, 0, 0, 0] [9, 2, 8]\n2.4 2.4\n"
    ),
    "manager_state": (f"{{1: '1', '2': 2, 0.25: None}}\n{list(reversed(range(10)))}\n"),
    "proxies": (
        "Namespace(x=10, y='hello')\n"
        f"{SQUARES}\nTrue\n16 [4, 9, 16] False True\n"
        "['hello'] hello\n[{}]\n[{'a': 1}]\n10 3\nan IndexError of the server\n"
    ),
    "custom_manager": (
        "7\n56\nFalse ['add', 'mul']\ntold False\n"
        + " ".join(f"<{number}>" for number in SQUARES)
        + f"\nadd(23, 45) = 68\npow(2, 94) = {2**94}\n"
    ),
    "remote_manager": "hello\n",
    "queue_and_pipe": "[42, None, 'hello']\n" * 2,
    "start_methods": "fork hello\nspawn hello\nforkserver hello\n",
    "join_before_get": "1000000\n",
    "task_queues": (
        "".join(f"plus({i}, 8) = {i + 8}\n" for i in range(10))
        + "".join(f"times({i}, 7) = {i * 7}\n" for i in range(10))
    ),
    "process_life": (
        "<Process name='Process-N' parent=N initial daemon> False\n"
        "alive: True exit code: None\n"
        "alive: False\n"
        "ended by SIGTERM: True\n"
    ),
    "bytes_and_objects": (
        "[1, 'hello', None]\n"
        "b'thank you'\n"
        "True array('i', [0, 1, 2, 3, 4, 0, 0, 0, 0, 0])\n"
    ),
    "lock_lines": {f"hello world {i}" for i in range(10)},
    "listener_and_client": (
        "accepted from 127.0.0.1\n"
        "[2.25, None, 'junk', <class 'float'>]\n"
        "b'hello'\n"
        "8 array('i', [42, 1729, 0, 0, 0])\n"
    ),
    "wait_for_many": "".join(f"{i} {list(range(10))}\n" for i in range(4)),
}

#: Those whose processes have names with numbers in them.
NUMBERED = {"process_life"}


@pytest.fixture
def as_default(
    start_method: mp.Method, monkeypatch: pytest.MonkeyPatch
) -> Iterator[mp.Method]:
    """The default start method, as a program sets it; examples can be imported."""
    monkeypatch.syspath_prepend(EXAMPLES)
    settled = mp.get_start_method(allow_none=True)
    mp.set_start_method(start_method, force=True)
    yield start_method
    mp.set_start_method(settled, force=True)


def run_program(name: str, method: mp.Method) -> tuple[str, str]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mp_multiprocessing"),
            *("--start-method", method, EXAMPLES / f"{name}.py"),
        ],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONUNBUFFERED": "",
        },
    )
    return done.stdout, done.stderr


def test_all_examples_are_tested() -> None:
    found = {path.stem for path in EXAMPLES.glob("*.py")}
    others = {"logging_to_stderr", "process_basics", "wordcount", "workers_killed"}
    assert found == EXPECTED.keys() | others


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_prints_what_the_manual_says(
    name: str, as_default: mp.Method, capfd: pytest.CaptureFixture[str]
) -> None:
    importlib.import_module(name).main()
    out, err = capfd.readouterr()
    expected = EXPECTED[name]
    if name in NUMBERED:
        out = re.sub(r"(Process-|parent=)[\d:]+", r"\1N", out)
        out = re.sub("<(Fork|Spawn|ForkServer)Process", "<Process", out)
    if isinstance(expected, set):
        assert set(out.splitlines()) == expected
        assert len(out.splitlines()) == len(expected)
    else:
        assert out == expected
    assert err == ""


def test_a_child_knows_its_parent_and_its_module(start_method: mp.Method) -> None:
    """Of a program, and not of a module that was imported."""
    out, err = run_program("process_basics", start_method)
    pattern = (
        r"main line\nmodule name: __main__\nparent process: \d+\nprocess id: (\d+)\n"
        r"function greet\nmodule name: (\w+)\nparent process: (\d+)\n"
        r"process id: (\d+)\nhello bob\n"
    )
    found = re.fullmatch(pattern, out)
    assert found, out
    main, name, parent, child = found.groups()
    assert name == ("__main__" if start_method == "fork" else "__mp_main__")
    assert child != main
    assert (parent == main) == (start_method != "forkserver")
    assert err == ""


def test_a_manager_logs_its_life(start_method: mp.Method) -> None:
    out, err = run_program("logging_to_stderr", start_method)
    assert out == ""
    lines = err.splitlines()

    def at(pattern: str) -> int:
        found = [i for i, line in enumerate(lines) if re.fullmatch(pattern, line)]
        assert found, f"{pattern} in {err}"
        return found[0]

    assert at(r"\[WARNING/MainProcess\] doomed") == 0
    of_server = [
        at(rf"\[INFO/SyncManager-\d+\] {text}")
        for text in (
            r"child process calling self\.run\(\)",
            "created temp directory /.*/pymp-.*",
            "manager serving at '/.*/listener-.*'",
            "(manager|process) exiting with exitcode 0",
        )
    ]
    assert of_server == sorted(of_server)
    assert at(r"\[INFO/MainProcess\] sending shutdown message to manager") > 0


def test_a_program_outlives_its_workers(start_method: mp.Method) -> None:
    """One for the standard library, where it hangs: it says how to see that."""
    assert run_program("workers_killed", start_method) == (
        "pool: WorkerDiedError\npool: [0, 1, 4]\n"
        "queue: reading, an item\nlock: OwnerDiedError\n",
        "",
    )
