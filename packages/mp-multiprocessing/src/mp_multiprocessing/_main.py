"""The command line: runs a program in drop-in mode, in the real ``__main__``.

What is pickled as ``__main__.f`` has to be found there, also by the program's own exit
functions; so the program does not get a namespace of its own, as `runpy` would make it,
but that of the module that Python itself has begun to run.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import os
import pkgutil
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from mp_multiprocessing._dropin import VARIABLE, install, is_switched_off

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType
    from typing import NoReturn

    #: The code of a program, and the names that its module has from the beginning.
    Program = tuple[CodeType, dict[str, object]]

USAGE = """\
usage: python -m mp_multiprocessing [option] -c code | -m module | program.py [arg] ...

Runs a program in which `multiprocessing` is mp_multiprocessing, in all its processes.

  -c code        the program as a string
  -m module      a module, as python -m runs it
  program.py     a file, a directory or a zip file with __main__.py in it
  --start-method fork|spawn|forkserver
                 the default start method, as set_start_method sets it
  --info         say what is in use, and end
  -h, --help     this text

MP_DROPIN=0 in the environment runs the program with the standard package.
"""

DISTRIBUTIONS = (
    "mp-connection",
    "mp-process",
    "mp-sync",
    "mp-sharedctypes",
    "mp-pool",
    "mp-managers",
    "mp-multiprocessing",
)


def main() -> None:
    """Do what the command line says."""
    arguments = sys.argv[1:]
    method = None
    if arguments[:1] == ["--start-method"] and len(arguments) > 1:
        method, arguments = arguments[1], arguments[2:]
    if not arguments:
        _refuse("there is no program to run")
    first, *rest = arguments
    if first in ("-h", "--help"):
        print(USAGE, end="")
    elif first == "--info":
        print(info())
    elif first in ("-c", "-m"):
        if not rest:
            _refuse(f"{first} needs an argument")
        prepare = _command if first == "-c" else _module
        _run(prepare, rest[0], rest[1:], method)
    elif first.startswith("-"):
        _refuse(f"there is no option {first}")
    else:
        _run(_file, first, rest, method)


def _refuse(why: str) -> NoReturn:
    print(f"mp_multiprocessing: {why}\n\n{USAGE}", end="", file=sys.stderr)
    raise SystemExit(2)


def info() -> str:
    """What is in use: one line for the implementation, one for each distribution."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    if is_switched_off():
        lines = [f"multiprocessing is the standard package ({VARIABLE}=0)"]
    else:
        lines = ["multiprocessing is mp_multiprocessing"]
    lines.append(f"python {python} on {platform.system()} {platform.release()}")
    lines.append(f"locks {_lock_backend()}")
    for name in DISTRIBUTIONS:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        lines.append(f"{name} {found}")
    return "\n".join(lines)


def _lock_backend() -> str:
    try:
        import mp_sync
    except ImportError as error:
        return f"none: {error}"
    return "native" if f"{mp_sync.__name__}._native" in sys.modules else "none"


# ------------------------------------------------------------------------- programs


def _run(
    prepare: Callable[[str], Program], what: str, rest: list[str], method: str | None
) -> None:
    try:
        _begin(method)
        sys.argv[:] = [what, *rest]
        code, names = prepare(what)
    except SyntaxError as error:
        sys.excepthook(type(error), error.with_traceback(None), None)
        raise SystemExit(1) from None
    except (ImportError, RuntimeError, ValueError, OSError) as error:
        print(f"mp_multiprocessing: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    namespace = sys.modules["__main__"].__dict__
    namespace.clear()
    namespace.update(
        __name__="__main__",
        __doc__=None,
        __package__=None,
        __loader__=None,
        __spec__=None,
        __annotations__={},
        __builtins__=builtins,
    )
    namespace.update(names)
    try:
        exec(code, namespace)
    except Exception as error:
        _report(error)
        raise SystemExit(1) from None


def _begin(method: str | None) -> None:
    if not install():
        if method is not None:
            raise ValueError(f"--start-method does not go with {VARIABLE}=0")
        return
    if method is not None:
        from mp_process.context import get_all_start_methods, set_start_method

        for known in get_all_start_methods():
            if known == method:
                set_start_method(known)
                break
        else:
            raise ValueError(f"there is no start method {method!r}")


def _report(error: Exception) -> None:
    """Print a traceback that begins with the program's own frames."""
    traceback = _from_program(error.__traceback__)
    sys.last_type, sys.last_value = type(error), error
    sys.last_traceback = traceback
    sys.excepthook(type(error), error.with_traceback(traceback), traceback)


def _from_program(traceback: TracebackType | None) -> TracebackType | None:
    # The first frame is `_run`, which has called what follows.
    return traceback and traceback.tb_next


def _command(code: str) -> Program:
    if not sys.flags.safe_path:
        sys.path[0] = ""
    sys.argv[0] = "-c"
    return compile(code, "<string>", "exec", dont_inherit=True), {}


def _module(name: str) -> Program:
    sys.argv[0] = "-m"  # until it is known, as python -m has it
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        name = f"{name}.__main__"
        spec = importlib.util.find_spec(name)
    if spec is None:
        raise ImportError(f"No module named {name}")
    sys.argv[0] = spec.origin or name
    return _code_of(spec, name), _names_of(spec)


def _file(path: str) -> Program:
    importer = pkgutil.get_importer(path)
    spec = None if importer is None else importer.find_spec("__main__")
    if spec is not None:  # a directory or an archive
        sys.path.insert(0, path)
        if not sys.flags.safe_path:
            del sys.path[1]
        return _code_of(spec, "__main__"), _names_of(spec)
    if os.path.isdir(path):
        raise ImportError(f"can't find '__main__' module in {path!r}")
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    if path.endswith(".pyc"):
        loader: importlib.machinery.SourcelessFileLoader | (
            importlib.machinery.SourceFileLoader
        ) = importlib.machinery.SourcelessFileLoader("__main__", path)
        code = loader.get_code("__main__")
        assert code is not None
    else:
        loader = importlib.machinery.SourceFileLoader("__main__", path)
        code = compile(loader.get_data(path), path, "exec", dont_inherit=True)
    return code, {"__file__": path, "__cached__": None, "__loader__": loader}


def _code_of(spec: importlib.machinery.ModuleSpec, name: str) -> CodeType:
    get_code = getattr(spec.loader, "get_code", None)
    code: CodeType | None = None if get_code is None else get_code(name)
    if code is None:
        raise ImportError(f"{name} has no code that could be run")
    return code


def _names_of(spec: importlib.machinery.ModuleSpec) -> dict[str, object]:
    return {
        "__file__": spec.origin,
        "__cached__": spec.cached,
        "__loader__": spec.loader,
        "__package__": spec.parent,
        "__spec__": spec,
    }
