"""What the package offers, and under which names."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import mp_connection
import mp_multiprocessing as mp
import mp_pool
import mp_process
import mp_sharedctypes
import mp_sync
from mp_multiprocessing import queues, sharedctypes, synchronize

MODULES = (
    "connection",
    "context",
    "forkserver",
    "heap",
    "managers",
    "pool",
    "process",
    "queues",
    "reduction",
    "resource_sharer",
    "resource_tracker",
    "shared_memory",
    "sharedctypes",
    "spawn",
    "synchronize",
    "util",
)

#: Neither layers that are not used, nor what takes as long to import as one of them.
LATER = (
    "contextlib",
    "ctypes",
    "importlib.util",
    "logging",
    "mp_managers",
    "mp_pool",
    "mp_sharedctypes",
    "mp_sync",
    "threading",
    "typing",
)


def printed_by(code: str, *options: str) -> str:
    """What a program prints that finds what this one does."""
    program = f"import sys; sys.path[:] = {sys.path!r}\n{code}"
    run = subprocess.run(
        [sys.executable, *options, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return run.stdout


@pytest.mark.parametrize("name", ["", *MODULES])
def test_all_lists_what_the_module_has(name: str) -> None:
    module = importlib.import_module(f"mp_multiprocessing.{name}".rstrip("."))
    assert len(set(module.__all__)) == len(module.__all__)
    assert [n for n in module.__all__ if not hasattr(module, n)] == []


def test_names_are_the_classes_and_functions_of_the_layers() -> None:
    assert mp.Pool is mp_pool.Pool
    assert mp.Process is mp_process.Process
    assert mp.Pipe is mp_connection.Pipe
    assert mp.Connection is mp_connection.Connection
    assert mp.ProcessError is mp_connection.ProcessError
    assert mp.Lock is synchronize.Lock is mp.get_context("spawn").Lock is mp_sync.Lock
    assert mp.Queue is queues.Queue is mp.get_context("spawn").Queue is mp_sync.Queue
    assert mp.current_process is mp_process.current_process
    for name in ("Value", "Array", "RawValue", "RawArray"):
        function = getattr(mp_sharedctypes, name)
        assert getattr(mp, name) is getattr(sharedctypes, name) is function
        assert getattr(mp.get_context("spawn"), name) is function
    with pytest.raises(AttributeError, match="Nothing"):
        mp.get_context().Nothing  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="Nothing"):
        mp.Nothing  # type: ignore[attr-defined]  # noqa: B018


def test_nothing_is_imported_that_is_not_used() -> None:
    """Many programs import this package only because what they use imports it."""
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import mp_multiprocessing as mp\n"
        "lazy = ['managers', 'pool', 'queues', 'sharedctypes', 'shared_memory',"
        " 'synchronize']\n"
        "for module in (getattr(mp, name) for name in lazy):\n"
        "    assert set(module.__all__) <= set(dir(module))\n"
        "    assert not hasattr(module, 'no_such_name')\n"
        "known = {*mp.__all__, 'context', 'pool', 'reduction'}\n"
        "print(known <= set(dir(mp)))\n"
        "own = {name for name in sys.modules if name.startswith(mp.__name__)}\n"
        "print(set(sys.modules) - before - own - {'__future__'})\n"
        "mp.Process, mp.current_process()\n"
        "print([m for m in ('mp_connection', 'mp_process', 'mp_sync', 'mp_pool')"
        " if m in sys.modules])\n"
        "print('Process' in vars(mp), mp.reducer is mp.reduction)\n"
        "mp.pool.MapResult, mp.queues.Full\n"
        "pool = mp.pool\n"
        "print('MapResult' in vars(pool), pool.MapResult is pool.ApplyResult)\n"
    )
    printed = printed_by(code, "-S")
    imported = "['mp_connection', 'mp_process']"
    both = "True True"
    assert printed.splitlines() == ["True", "set()", imported, both, both]


def test_what_takes_long_is_imported_when_it_is_used() -> None:
    """Each child that imports the main module imports this package as well."""
    code = (
        "import sys, mp_multiprocessing as mp\n"
        "mp.get_context('spawn')\n"
        f"print([name for name in {LATER!r} if name in sys.modules])\n"
        "print(mp.Lock is mp.get_context('fork').Lock is mp.context.BaseContext.Lock)\n"
        "print('mp_sync' in sys.modules, 'ctypes' in sys.modules)\n"
        "print(mp.Value('i', 5).value, mp.get_context('fork').RawValue('i', 6).value)"
    )
    printed = printed_by(code, "-S")
    assert printed.splitlines() == ["[]", "True", "True False", "5 6"]


def test_a_context_of_ones_own_extends_what_layers_have() -> None:
    """An attribute of the class is there before its layer is imported."""
    code = (
        "from mp_multiprocessing.context import SpawnContext\n"
        "class Context(SpawnContext):\n"
        "    def Event(self):\n"
        "        event = super().Event()\n"
        "        event.set()\n"
        "        return event\n"
        "    def Value(self, code, value):\n"
        "        return super().Value(code, value + 1)\n"
        "print(Context().Event().is_set(), Context().Value('i', 1).value)\n"
    )
    printed = printed_by(code)
    assert printed == "True 2\n"


def test_modules_are_attributes_without_being_imported() -> None:
    code = (
        "import mp_multiprocessing as mp\n"
        f"for name in {MODULES!r}:\n"
        "    assert getattr(mp, name).__name__ == f'{mp.__name__}.{name}'\n"
        "try:\n"
        "    mp.no_such_module\n"
        "except AttributeError as error:\n"
        "    print(error)\n"
    )
    printed = printed_by(code)
    assert printed == (
        "module 'mp_multiprocessing' has no attribute 'no_such_module'\n"
    )


def test_the_standard_package_is_not_imported() -> None:
    code = (
        "import sys, mp_multiprocessing.pool\n"
        "print([m for m in sys.modules"
        " if m.partition('.')[0] in ('multiprocessing', '_multiprocessing')])"
    )
    printed = printed_by(code)
    assert printed.strip() == "[]"
