"""The main module of a child that was not forked.

Functions and classes of the parent's main module are pickled as ``__main__.name``, so
the child imports that module too, under the name ``__mp_main__``, which keeps what is
behind the guard from running, and answers to ``__main__`` with it.
"""

from __future__ import annotations

import os
import sys

from mp_process._freezing import is_frozen
from mp_process._here import here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

    #: How to find a main module: ("module", its name) or ("path", its file).
    Description = tuple[str, str]
else:
    ModuleType = type(sys)  # `types` costs every child half a millisecond

NAME = "__mp_main__"

#: Where this process's own main module came from, if it was imported here.
_imported: Description | None = None

# What a child made of its copy of our main module comes back under that name.
sys.modules.setdefault(NAME, sys.modules["__main__"])

try:
    _first_directory: str | None = os.getcwd()
except OSError:  # it was removed
    _first_directory = None


def _from_first_directory(path: str) -> str:
    """A path as it was meant when the program began; the directory may be another."""
    if _first_directory is None or os.path.isabs(path):
        return path
    return os.path.join(_first_directory, path) if path else _first_directory


def search_path() -> list[str]:
    """`sys.path` as a child can use it, which finds what this process has found."""
    entries: list[object] = list(sys.path)  # others are ignored by importing
    return [
        entry
        if os.path.isabs(entry) or (entry and os.path.exists(entry))
        else _from_first_directory(entry)
        for entry in entries
        if isinstance(entry, str)
    ]


def describe() -> Description | None:
    """How children find the main module; None if it has no file.

    As under ``-c`` and at a prompt.
    """
    if _imported is not None:
        return _imported
    if is_frozen():
        return None  # a child runs the same program, and has it already
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return "module", spec.name  # python -m name
    file = spec.origin if spec is not None else getattr(main, "__file__", None)
    if file is None or file == "<stdin>":  # before 3.13 it is taken for a name
        return None
    return "path", _from_first_directory(file)


#: What there is to do about a main module that a child cannot import.
NOT_FOUND = (
    "it was typed at a prompt, given by -c or read from standard input, and a fresh"
    " process cannot import it: put it in a module of its own, start by fork, or pass"
    " by_value=True"
)


def can_be_found() -> bool:
    """Whether a child that is not forked has what the main module defines."""
    return is_frozen() or describe() is not None


def install(description: Description | None) -> None:
    """Import the parent's main module and let it answer to ``__main__``.

    Raises:
        RuntimeError: it starts a process while it is imported (by way of `start`).
        Exception: whatever it raises.
    """
    global _imported
    if description is None or description == _imported:
        return
    kind, where = description
    module = ModuleType(NAME)
    # It has to be found by name while it runs: classes look for their module.
    hidden = sys.modules["__main__"]
    sys.modules["__main__"] = sys.modules[NAME] = module
    here().importing_main = True
    try:
        code_of = _code_of_module if kind == "module" else _code_of_path
        exec(code_of(module, where), module.__dict__)
    except BaseException:
        sys.modules["__main__"] = hidden
        del sys.modules[NAME]
        raise
    finally:
        here().importing_main = False
    _imported = description


def _code_of_module(module: ModuleType, name: str) -> CodeType:
    from importlib.util import find_spec

    spec = find_spec(name)
    get_code = getattr(spec and spec.loader, "get_code", None)
    code: CodeType | None = get_code(name) if get_code is not None else None
    if spec is None or code is None:
        raise ImportError(f"the main module {name!r} cannot be found in the child")
    module.__spec__ = spec
    module.__package__ = spec.parent
    module.__file__ = spec.origin
    module.__loader__ = spec.loader
    return code


def _code_of_path(module: ModuleType, path: str) -> CodeType:
    from io import open_code

    module.__file__ = path
    container = os.path.dirname(path)
    if not os.path.isdir(container):  # python archive.zip
        from zipimport import zipimporter

        importer = zipimporter(container)
        module.__loader__ = importer
        code = importer.get_code("__main__")
        if code is None:
            raise ImportError(f"the main module of {container!r} has no code")
        return code
    with open_code(path) as file:
        text = file.read()
    if path.endswith(".pyc"):
        import marshal

        compiled: CodeType = marshal.loads(text[16:])  # behind the header of PEP 552
        return compiled
    # Our own __future__ imports are not the program's.
    return compile(text, path, "exec", dont_inherit=True)
