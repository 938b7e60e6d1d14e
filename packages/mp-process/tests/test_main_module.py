"""Main modules of every kind, run as real programs."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import mp_process_scripts as scripts
import pytest

from mp_testing import StartMethod

assert sys.platform == "linux"

#: Functions, classes and dataclasses of the main module go to a child and come back.
PROGRAM = """
import dataclasses, os, sys
import mp_process
from mp_connection import Pipe

@dataclasses.dataclass
class Point:
    x: int
    y: "int" = 2

class Process(mp_process.Process):
    pass

class Custom:
    def __init__(self, value): self.value = value
    def __eq__(self, other): return self.value == other.value
    __hash__ = None

def work(connection, point, custom):
    assert type(point) is Point and type(custom) is Custom
    assert point == Point(1) and custom == Custom("c")
    # Annotations are what the program wrote, not what our modules would make of them.
    assert Point.__dataclass_fields__["x"].type is int
    connection.send((Point(point.x + 1), Custom([custom]), Point, work, __name__,
                     os.path.basename(sys.argv[0]), os.getcwd()))

def main(method):
    mp_process.set_start_method(method)
    ours, theirs = Pipe()
    if len(sys.argv) > 2:
        os.chdir(sys.argv[2])
    process = Process(target=work, args=(theirs, Point(1), Custom("c")))
    process.start()
    theirs.close()
    assert ours.poll(30)
    point, custom, cls, function, name, argv, directory = ours.recv()
    process.join(30)
    assert process.exitcode == 0
    assert type(point) is Point and point == Point(2), point
    assert type(custom) is Custom and custom == Custom([Custom("c")])
    assert cls is Point and function is work
    assert name == ("__main__" if method == "fork" else "__mp_main__")
    assert argv == os.path.basename(sys.argv[0])
    assert directory == os.getcwd()
    print("fine")

if __name__ == "__main__":
    main(sys.argv[1])
"""


def check(*arguments: str | Path, cwd: Path | None = None) -> None:
    done = scripts.run(*arguments, cwd=cwd)
    assert done.stdout == "fine\n"
    assert done.stderr == ""


def test_script(start_method: StartMethod, tmp_path: Path) -> None:
    """A plain file, by its absolute and its relative name."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    check(script, start_method)
    check("script.py", start_method, cwd=tmp_path)


def test_directory_changes_first(start_method: StartMethod, tmp_path: Path) -> None:
    """The program goes somewhere else before it starts a process."""
    for name in ("plain", "package", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "plain" / "__main__.py").write_text(
        "from helper import nothing\n" + PROGRAM
    )
    (tmp_path / "plain" / "helper.py").write_text("nothing = None\n")
    (tmp_path / "script.py").write_text("import module\n" + PROGRAM)
    (tmp_path / "module.py").write_text(PROGRAM)
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "__main__.py").write_text(PROGRAM)
    for arguments in (["script.py"], ["plain"], ["-m", "module"], ["-m", "package"]):
        check(*arguments, start_method, "elsewhere", cwd=tmp_path)


def test_module(start_method: StartMethod, tmp_path: Path) -> None:
    """``-m`` with a module, a module in a package, and a package."""
    (tmp_path / "single.py").write_text(PROGRAM)
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    relative = "from . import helper\nassert helper.value == 1\n"
    (package / "helper.py").write_text("value = 1\n")
    (package / "inner.py").write_text(relative + PROGRAM)
    (package / "__main__.py").write_text(relative + PROGRAM)
    for name in ("single", "package.inner", "package"):
        check("-m", name, start_method, cwd=tmp_path)


def test_containers(start_method: StartMethod, tmp_path: Path) -> None:
    """A directory, an archive and a part of an archive with a ``__main__.py``."""
    folder = tmp_path / "folder"
    folder.mkdir()
    program = "import beside\nassert beside.value == 1\n" + PROGRAM
    (folder / "__main__.py").write_text(program)
    (folder / "beside.py").write_text("value = 1\n")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for prefix in ("", "part/"):
            archive.writestr(f"{prefix}__main__.py", program)
            archive.writestr(f"{prefix}beside.py", "value = 1\n")
    for name in ("folder", "archive.zip", "archive.zip/part"):
        check(name, start_method, cwd=tmp_path)
    check(tmp_path / "archive.zip", start_method)


def test_compiled(start_method: StartMethod, tmp_path: Path) -> None:
    """A compiled file is a program as well."""
    import py_compile

    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    compiled = py_compile.compile(str(script), str(tmp_path / "script.pyc"))
    script.unlink()
    assert compiled is not None
    check(compiled, start_method)


def test_other_encoding(start_method: StartMethod, tmp_path: Path) -> None:
    """A file that says its encoding, and one with a Windows line end and a mark."""
    text = PROGRAM.replace("fine", "fi\\xf1e").replace("class Custom:", "n = 'ñ'\n\\g")
    text = text.replace("\\g", "class Custom:").replace("fi\\xf1e", "fine")
    (tmp_path / "latin.py").write_bytes(
        b"# -*- coding: latin-1 -*-\n" + text.encode("latin-1")
    )
    (tmp_path / "mark.py").write_bytes(
        b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    )
    check(tmp_path / "latin.py", start_method)
    check(tmp_path / "mark.py", start_method)


def test_command(start_method: StartMethod, tmp_path: Path) -> None:
    """``-c`` has no main module to import: functions of other modules work."""
    (tmp_path / "work.py").write_text(
        "import sys\ndef leave(): sys.exit(6 if sys.argv == ['-c', 'x'] else 7)\n"
    )
    code = f"""
import mp_process, work
process = mp_process.get_context({start_method!r}).Process(target=work.leave)
process.start()
process.join(30)
print(process.exitcode)
"""
    assert scripts.run("-c", code, "x", cwd=tmp_path).stdout == "6\n"


#: A program as it is typed: what it defines has no file.
TYPED = """
import mp_process, sys, work
from mp_connection import Pipe
class Own: pass
def own(*_): sys.exit(3)
class OwnProcess(mp_process.get_context({method!r}).Process): pass

ctx = mp_process.get_context({method!r})
def attempt(cls, target, *args):
    process = cls(target=target, args=args)
    try: process.start()
    except mp_process.UnpicklableError as error:
        assert process.pid is None
        return "refused: " + str(error)
    process.join(30)
    return process.exitcode

print(attempt(ctx.Process, work.leave), attempt(ctx.Process, len, ""))
print(attempt(ctx.Process, own))
print(attempt(OwnProcess, work.leave))
print(attempt(ctx.Process, work.leave, Own()))
"""


@pytest.mark.parametrize("how", ["-c", "stdin", "-i", "notebook"])
def test_no_file(how: str, start_method: StartMethod, tmp_path: Path) -> None:
    """What a prompt, a pipe or a notebook has defined: by fork, or an error says why.

    Functions of modules work.
    """
    (tmp_path / "work.py").write_text("import sys\ndef leave(*_): sys.exit(6)\n")
    code = TYPED.format(method=start_method)
    if how == "-c":
        done = scripts.run("-c", code, cwd=tmp_path)
    elif how == "stdin":
        done = scripts.run("-", cwd=tmp_path, stdin=code)
    elif how == "-i":
        typed = f"exec({code!r})\n"
        done = scripts.run("-i", "-q", cwd=tmp_path, stdin=typed)
    else:
        # A kernel puts a module of its own into the place of the script's.
        (tmp_path / "kernel.py").write_text(
            "import sys, types\n"
            "sys.modules['__main__'] = main = types.ModuleType('__main__')\n"
            f"exec({code!r}, main.__dict__)\n"
        )
        done = scripts.run("kernel.py", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "6 0"
    if start_method == "fork":
        assert lines[1:] == ["3", "6", "6"]
        return
    assert lines[1].startswith("refused: target is own of __main__; it was typed at")
    assert lines[2].startswith("refused: OwnProcess is OwnProcess of __main__; it was")
    assert lines[3] == "1"
    assert done.stderr.count("AttributeError: Can't get attribute 'Own'") == 1
    advice = "put it in a module of its own, start by fork, or pass by_value=True"
    assert advice in done.stderr


def test_grandchildren(start_method: StartMethod, tmp_path: Path) -> None:
    """What a child starts finds the main module too, by any method."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys
import mp_process
def leaf(): sys.exit(4)
def middle(methods):
    if not methods: leaf()
    process = mp_process.get_context(methods[0]).Process(target=middle,
                                                         args=(methods[1:],))
    process.start()
    process.join(30)
    sys.exit(process.exitcode)
if __name__ == "__main__":
    for method in mp_process.get_all_start_methods():
        try:
            middle([sys.argv[1], method])
        except SystemExit as error:
            print(error.code)
"""
    )
    assert scripts.run(script, start_method).stdout == "4\n4\n4\n"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("how", ["script", "module"])
def test_missing_guard(method: StartMethod, how: str, tmp_path: Path) -> None:
    """A program without the guard ends, and is told what to do, once."""
    count = tmp_path / "count"
    script = tmp_path / "unguarded.py"
    script.write_text(
        f"""
import mp_process, mp_process_targets
mp_process_targets.append({str(count)!r})
process = mp_process.get_context({method!r}).Process(target=mp_process_targets.noop)
process.start()
process.join(30)
print("exit code", process.exitcode)
"""
    )
    arguments = [str(script)] if how == "script" else ["-m", "unguarded"]
    done = scripts.run(*arguments, cwd=tmp_path)
    assert done.stdout == "exit code 1\n"
    # This program, the child, and the fork server, which tries it ahead.
    assert len(count.read_text()) == (3 if method == "forkserver" else 2)
    lines = done.stderr.splitlines()
    assert lines[0] == f"Process {process_name(method)} could not start:"
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.count("RuntimeError: ") == 1
    assert '    if __name__ == "__main__":\n        main()\n' in done.stderr
    assert f'File "{script}", line 5' in done.stderr
    assert len(lines) < 20, done.stderr
    # Of ours there is one place: where it was noticed.
    assert done.stderr.count("mp_process/_") == 1


def process_name(method: StartMethod) -> str:
    return {
        "fork": "ForkProcess-1",
        "spawn": "SpawnProcess-1",
        "forkserver": "ForkServerProcess-1",
    }[method]


def test_a_layer_can_do_without_the_main_module(tmp_path: Path) -> None:
    """Its processes need no guard, and are not slowed by what the program imports."""
    count = tmp_path / "count"
    (tmp_path / "layer.py").write_text(
        """
import sys
from mp_process.context import SpawnProcess

class Process(SpawnProcess):
    imports_main = False

def work(number):
    print(number, sys.modules["__main__"].__spec__, sys.argv[1:], flush=True)
"""
    )
    script = tmp_path / "unguarded.py"
    script.write_text(
        f"""
import layer, mp_process_targets
mp_process_targets.append({str(count)!r})
process = layer.Process(target=layer.work, args=(7,))
process.start()
process.join(30)
print("exit code", process.exitcode)
"""
    )
    done = scripts.run(script, "argument")
    assert done.stdout == "7 None ['argument']\nexit code 0\n"
    assert done.stderr == ""
    assert count.read_text() == "x"


def test_missing_guard_under_fork(tmp_path: Path) -> None:
    """fork needs none."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        """
import mp_process
process = mp_process.get_context("fork").Process(target=print, args=("in the child",))
process.start()
process.join(30)
print("exit code", process.exitcode)
"""
    )
    done = scripts.run(script)
    assert done.stdout == "in the child\nexit code 0\n"
    assert done.stderr == ""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_main_module_that_fails(method: StartMethod, tmp_path: Path) -> None:
    """A main module that cannot be imported in the child is told with its error."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import mp_process, mp_process_targets
if __name__ != "__main__":
    input()
process = mp_process.get_context({method!r}).Process(target=mp_process_targets.noop)
process.start()
process.join(30)
print(process.exitcode)
assert input() == "for the program"
print(process.startup_error)
"""
    )
    done = scripts.run(script, stdin="for the program\n")
    code, _, error = done.stdout.partition("\n")
    assert code == "1"
    assert done.stderr.count("Traceback") == 1
    assert "EOFError" in done.stderr
    assert error.rstrip("\n") == done.stderr.rstrip("\n")
