"""Drop-in mode: unchanged programs in the real ``__main__``, and their children."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mp_multiprocessing as mp

assert sys.platform == "linux"

#: What a program sees of the package, as a tuple that can be sent.
SEEN = """\
import multiprocessing, multiprocessing.pool, sys

def seen():
    import multiprocessing.connection as connection
    from multiprocessing import process
    standard = [
        name for name, module in list(sys.modules.items())
        if "/multiprocessing/" in (getattr(module, "__file__", None) or "")
        and "mp_multiprocessing" not in module.__file__
    ]
    return multiprocessing.__name__, connection.__name__, process.__name__, standard

OURS = tuple("mp_multiprocessing" + x for x in ("", ".connection", ".process")) + ([],)
"""

CHILDREN = (
    SEEN
    + """
def grandchild(connection):
    connection.send(seen())

def child(connection):
    connection.send(seen())
    process = multiprocessing.Process(target=grandchild, args=(connection,))
    process.start()
    process.join()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    assert seen() == OURS
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    process.start()
    assert ours.recv() == ours.recv() == OURS
    process.join()
    assert process.exitcode == 0
    with context.Pool(1) as pool:
        assert pool.apply(seen) == OURS
    print("all ours")
"""
)


def run(
    *arguments: str | Path,
    code: int = 0,
    cwd: Path | None = None,
    module: bool = True,
    **environ: str,
) -> subprocess.CompletedProcess[str]:
    command = ["-m", "mp_multiprocessing"] if module else []
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, *command, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environ},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_all_descendants_of_an_unchanged_program_use_this_package(
    start_method: mp.Method, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(CHILDREN)
    assert run(program, start_method).stdout == "all ours\n"


def test_install_in_the_main_module_reaches_all_descendants(
    start_method: mp.Method, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"import mp_multiprocessing as mp\nmp.install()\n{CHILDREN}")
    assert run(program, start_method, module=False).stdout == "all ours\n"


def test_a_program_runs_in_the_real_main_module(tmp_path: Path) -> None:
    # At exit, `runpy` would have taken the namespace away.
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, pickle, sys\n"
        "class Kept: pass\n"
        "atexit.register(lambda: print(type(pickle.loads(pickle.dumps(Kept())))))\n"
        "print(__name__, __file__, __spec__, __package__, __doc__, end=' ')\n"
        "print(sys.argv, sys.path[0])\n"
        "print(sys.modules['__main__'].Kept is Kept, sorted(globals()))\n"
    )
    first, second, third = run(program, "a", "-m").stdout.splitlines()
    argv = [str(program), "a", "-m"]
    assert first == f"__main__ {program} None None None {argv} {tmp_path}"
    plain = run(program, module=False).stdout.splitlines()
    assert second == plain[1]
    assert third == "<class '__main__.Kept'>"


def test_modules_packages_archives_and_commands(tmp_path: Path) -> None:
    shown = "import sys; print(__name__, __package__, sys.argv[1:], sys.path[0])\n"
    package = tmp_path / "cake"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(shown)
    (package / "slice.py").write_text(shown)
    archive = tmp_path / "cake.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("__main__.py", shown)
    assert run("-m", "cake", "x", cwd=tmp_path).stdout == (
        f"__main__ cake ['x'] {tmp_path}\n"
    )
    assert run("-m", "cake.slice", "x", cwd=tmp_path).stdout == (
        f"__main__ cake ['x'] {tmp_path}\n"
    )
    assert run(package, "y").stdout == f"__main__  ['y'] {package}\n"
    assert run(archive, "z").stdout == f"__main__  ['z'] {archive}\n"
    assert run("-c", shown.strip(), "-c").stdout == "__main__ None ['-c'] \n"


def test_an_error_of_the_program_shows_its_own_frames(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("def f():\n    raise LookupError('lost')\nf()\n")
    through = run(program, code=1).stderr
    assert through == run(program, code=1, module=False).stderr
    program.write_text("1 +\n")
    assert run(program, code=1).stderr == run(program, code=1, module=False).stderr
    program.write_text("raise SystemExit(7)\n")
    run(program, code=7)


def test_the_environment_switches_it_off(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import mp_multiprocessing\n"
        "print(mp_multiprocessing.install())\n"
        "import multiprocessing\n"
        "print(multiprocessing.__name__)\n"
    )
    assert run(program).stdout == "True\nmp_multiprocessing\n"
    off = run(program, MP_DROPIN="0").stdout
    assert off == "False\nmultiprocessing\n"


def test_a_start_method_can_be_given(tmp_path: Path) -> None:
    code = "import multiprocessing as m; print(m.get_start_method())"
    assert run("--start-method", "spawn", "-c", code).stdout == "spawn\n"
    wrong = run("--start-method", "beam", "-c", code, code=1)
    assert wrong.stderr == "mp_multiprocessing: there is no start method 'beam'\n"


def test_installing_too_late_is_an_error_that_says_so() -> None:
    done = run(
        "-c",
        "import multiprocessing.pool, mp_multiprocessing; mp_multiprocessing.install()",
        module=False,
        code=1,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "RuntimeError: the standard multiprocessing package was imported before: call"
    )


def test_installing_twice_is_as_once() -> None:
    code = (
        "import mp_multiprocessing as mp, sys\n"
        "print(mp.install())\n"
        "before = list(sys.meta_path)\n"
        "print(mp.install(), sys.meta_path == before)"
    )
    assert run("-c", code, module=False).stdout == "True\nTrue True\n"


def test_what_is_not_there_is_no_module() -> None:
    code = (
        "import importlib.util, multiprocessing\n"
        "for name in '_dropin', 'popen_fork', 'connection.x':\n"
        "    try:\n"
        "        __import__('multiprocessing.' + name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error.name, error)\n"
    )
    lines = run("-c", code).stdout.splitlines()
    assert lines[:2] == [
        f"multiprocessing.{name} No module named 'multiprocessing.{name}':"
        " multiprocessing is mp_multiprocessing here"
        for name in ("_dropin", "popen_fork")
    ]
    assert lines[2].startswith("multiprocessing.connection.x No module named")


def test_modules_have_one_copy_whichever_name_comes_first() -> None:
    code = (
        "import multiprocessing.pool as theirs, mp_multiprocessing.pool as ours\n"
        "import mp_multiprocessing.context as ours2\n"
        "from multiprocessing import context as theirs2\n"
        "import multiprocessing.context, sys\n"
        "print(theirs is ours, theirs2 is ours2,\n"
        "      sys.modules['multiprocessing.context'] is ours2,\n"
        "      ours.__spec__.name, multiprocessing.__spec__.name)\n"
    )
    assert run("-c", code).stdout == (
        "True True True mp_multiprocessing.pool mp_multiprocessing\n"
    )


def test_the_fork_server_imports_the_main_module_in_drop_in_mode(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        SEEN
        + "at_import = seen()\n"
        + "def check(connection):\n"
        + "    connection.send((__name__, at_import))\n"
        + "if __name__ == '__main__':\n"
        + "    ours, theirs = multiprocessing.Pipe()\n"
        + "    p = multiprocessing.get_context('forkserver').Process(\n"
        + "        target=check, args=(theirs,))\n"
        + "    p.start()\n"
        + "    p.join()\n"
        + "    print(ours.recv() == ('__mp_main__', OURS))\n"
    )
    assert run(program).stdout == "True\n"


def test_log_records_bear_the_name_of_the_process() -> None:
    code = (
        "import logging, multiprocessing as m\n"
        "logging.basicConfig(format='%(processName)s', level=10)\n"
        "p = m.Process(target=logging.info, args=('x',), name='logging child')\n"
        "p.start(); p.join()\n"
        "logging.info('x')\n"
    )
    assert run("-c", code).stderr == "logging child\nMainProcess\n"


def test_info_says_what_is_in_use() -> None:
    lines = run("--info").stdout.splitlines()
    assert lines[0] == "multiprocessing is mp_multiprocessing"
    assert lines[2] == "locks native"
    versions = [line.split() for line in lines[3:]]
    assert len(versions) == 7
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", found) for _, found in versions)
    off = run("--info", MP_DROPIN="0").stdout
    assert off.startswith("multiprocessing is the standard package (MP_DROPIN=0)\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "there is no program to run"),
        (["-c"], 2, "-c needs an argument"),
        (["-x"], 2, "there is no option -x"),
        (["-m", "no_such_module"], 1, "No module named no_such_module"),
        (["no_such_file.py"], 1, "[Errno 2] No such file or directory"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    arguments: list[str], code: int, said: str
) -> None:
    first = run(*arguments, code=code).stderr.splitlines()[0]
    assert first.startswith(f"mp_multiprocessing: {said}")


def test_help() -> None:
    assert run("--help").stdout.startswith("usage: python -m mp_multiprocessing")


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (
            "sys.implementation.name = 'pypy';"
            " platform.python_implementation = lambda: 'PyPy'",
            "PyPy on Linux",
        ),
        ("sys.platform = 'darwin'", "CPython on Linux"),
    ],
)
def test_elsewhere_it_is_refused_in_one_sentence(patch: str, said: str) -> None:
    begin = "import platform, sys; from mp_multiprocessing import install"
    code = f"{begin}; {patch}; install()"
    last = run("-c", code, module=False, code=1).stderr.splitlines()[-1]
    assert last == (
        "NotImplementedError: mp_multiprocessing runs on CPython on Linux so far, and"
        f" this is {said}"
    )


def test_what_tools_tell_a_child_comes_before_the_main_module(
    start_method: mp.Method, tmp_path: Path
) -> None:
    """They add to the start-up data what does their work when it is unpickled."""
    (tmp_path / "tool.py").write_text(
        "import multiprocessing\n"
        "from multiprocessing import spawn\n"
        "class Stowaway:\n"
        "    def __reduce__(self):\n"
        "        return begin, ()\n"
        "def begin():\n"
        "    print('begun,', multiprocessing.__name__, flush=True)\n"
        "original = spawn.get_preparation_data\n"
        "def replacement(name):\n"
        "    return {**original(name), 'stowaway': Stowaway()}\n"
        "def install():\n"
        "    spawn.get_preparation_data = replacement\n"
    )
    (tmp_path / "program.py").write_text(
        "import multiprocessing, tool\n"
        "if __name__ == '__main__':\n"
        "    tool.install()\n"
        "    process = multiprocessing.Process(target=print, args=('run',))\n"
        "    process.start()\n"
        "    process.join()\n"
        "else:\n"
        "    print('imported', flush=True)\n"
    )
    done = run("--start-method", start_method, "program.py", cwd=tmp_path)
    if start_method == "fork":
        assert done.stdout == "run\n"  # it has what its parent has
    else:
        lines = done.stdout.splitlines()
        assert lines[-3:].index("begun, mp_multiprocessing") < lines[-3:].index("run")
        if start_method == "spawn":
            assert lines == ["begun, mp_multiprocessing", "imported", "run"]


def test_what_third_parties_import_is_there() -> None:
    """Names that the manual does not have, and what they are used for."""
    from mp_multiprocessing import (
        forkserver,
        pool,
        popen_spawn_posix,
        resource_tracker,
        spawn,
    )

    assert popen_spawn_posix.__all__ == ()  # dask imports it, and no more
    assert issubclass(pool.TimeoutError, mp.TimeoutError)
    assert spawn.get_executable() == sys.executable
    assert spawn.get_preparation_data("name") == {}
    assert callable(forkserver.ensure_running)
    tracker = resource_tracker.ResourceTracker()
    tracker.ensure_running()
    tracker.register("/name", "shared_memory")
    tracker.unregister("/name", "shared_memory")
    with mp.Pool(3) as three:
        assert three._processes == 3  # pyswarms cuts its work by it
        assert len(three._pool) == 3
