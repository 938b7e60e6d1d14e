"""Functions and classes that no other process can import."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Callable
from pathlib import Path

import mp_process_scripts as scripts
import pytest

from mp_connection import Connection, Pipe
from mp_connection.handles import register_reducer, unregister_reducer
from mp_process import BaseProcess, UnpicklableError, get_context
from mp_process.context import Method

SECONDS = 30

DEFINITIONS = """\
import mp_process
from mp_connection import Pipe

class Doubling:
    def __init__(self, value):
        self.value = value
    def both(self):
        return self.value + self.value

Base = mp_process.get_context({method!r}).Process
class Loud(Base):
    def run(self):
        print("loud", flush=True)
        super().run()

factor = 3
def work(connection, doubling):
    connection.send((factor, helper(doubling)))
def helper(doubling):
    return doubling.both()
"""
USE = """\
ours, theirs = Pipe()
process = Loud(target=work, args=(theirs, Doubling("ab")), by_value=True)
process.start()
theirs.close()
print(*ours.recv())
process.join()
print(process.exitcode)
"""


@pytest.mark.parametrize("how", ["-c", "stdin", "-i", "script"])
def test_an_interactive_main_module(
    start_method: Method, how: str, tmp_path: Path
) -> None:
    definitions = DEFINITIONS.format(method=start_method)
    text = definitions + USE
    if how == "-c":
        done = scripts.run("-c", text)
    elif how == "stdin":
        done = scripts.run("-", stdin=text)
    elif how == "-i":
        # At a prompt an indented block ends with an empty line.
        lines = [
            f"\n{line}" if line[0] not in " " else line
            for line in text.splitlines()
            if line
        ]
        done = scripts.run("-i", "-q", stdin="\n".join(lines) + "\n")
    else:
        script = tmp_path / "script.py"
        guarded = "".join(f"    {line}\n" for line in USE.splitlines())
        script.write_text(f'{definitions}if __name__ == "__main__":\n{guarded}')
        done = scripts.run(script)
    assert done.stdout.split() == ["loud", "3", "abab", "0"]
    if how != "-i":
        assert done.stderr == ""


def start(method: Method, target: Callable[..., object], *args: object) -> BaseProcess:
    process = get_context(method).Process(target=target, args=args, by_value=True)
    process.start()
    return process


def test_lambdas_and_closures_with_descriptors(start_method: Method) -> None:
    pair: tuple[Connection[object, str], Connection[str, object]] = Pipe()
    ours, theirs = pair
    with ours:
        with theirs:
            greeting = "hello "

            def answer(connection: Connection[str, object]) -> None:
                connection.send(greeting + "there")

            process = start(start_method, answer, theirs)
            second = start(start_method, lambda: theirs.send("from a closure"))
            process.join(SECONDS)
            second.join(SECONDS)
        assert {ours.recv(), ours.recv()} == {"hello there", "from a closure"}
    assert process.exitcode == second.exitcode == 0


class Opaque:
    """Pickled as a reducer that a test registers says."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> str:
        raise TypeError("not by itself")


def test_registered_reducers_apply(start_method: Method) -> None:
    register_reducer(Opaque, lambda opaque: (Opaque, (opaque.number + 1,)))
    try:
        opaque = Opaque(4)
        process = start(start_method, lambda: sys.exit(opaque.number))
    finally:
        unregister_reducer(Opaque)
    process.join(SECONDS)
    assert process.exitcode == (4 if start_method == "fork" else 5)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_cannot_be_pickled_is_named(method: Method) -> None:
    with pytest.raises(UnpicklableError, match=r"args\[1\]\['key'\]") as caught:
        start(method, lambda: None, 0, {"key": (x for x in "ab")})
    assert caught.value.path == "args[1]['key']"


WITHOUT = """
import sys
sys.modules["cloudpickle"] = None
import mp_process
process = mp_process.get_context({method!r}).Process(target=print, by_value=True)
try:
    process.start()
except ModuleNotFoundError as error:
    print(error.name, error)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_without_cloudpickle_it_says_what_to_install(method: Method) -> None:
    done = scripts.run("-c", WITHOUT.format(method=method))
    assert done.stderr == ""
    assert done.stdout == (
        "cloudpickle by_value=True needs cloudpickle, which is not installed:"
        ' pip install "mp-process[cloudpickle]"\n'
    )


def test_fork_needs_no_cloudpickle() -> None:
    text = WITHOUT.format(method="fork").replace("print, b", "sys.exit, b")
    done = scripts.run("-c", f"{text}process.join()\nprint(process.exitcode)")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_cloudpickle_is_not_imported_unless_asked_for() -> None:
    text = """
import sys, mp_process
process = mp_process.get_context("spawn").Process(target=print)
process.start()
process.join()
print("cloudpickle" in sys.modules)
"""
    assert scripts.run("-c", text).stdout.split() == ["False"]
