"""What the package offers, and what it costs to import."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

import mp_process
from mp_process import context, errors, process

MODULES = (mp_process, context, errors, process)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all(module: ModuleType) -> None:
    """`__all__` is sorted, and names each public thing that the module defines."""
    names = module.__all__
    assert isinstance(names, tuple)
    assert len(set(names)) == len(names)
    assert all(hasattr(module, name) for name in names)  # loads what is loaded late
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in ("annotations", "TYPE_CHECKING")
    }
    assert public == {name for name in names if name != "__version__"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_classes_are_pickled_by_their_public_path(module: ModuleType) -> None:
    """A class is found under its name in the module that it says it is from."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type) and value.__module__ != "builtins":
            assert value.__module__ in ("mp_process", "mp_connection")
            assert getattr(importlib.import_module(value.__module__), name) is value


def test_errors_have_one_base() -> None:
    """ProcessError is the base of every error class."""
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), mp_process.ProcessError)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux starts processes")
def test_start_up_imports_little() -> None:
    """A child imports none of the slow modules on its way to its target.

    Without site, whose extensions may import anything.
    """
    heavy = (
        "typing", "enum", "dataclasses", "socket", "pickle", "threading", "logging",
        "re", "subprocess", "weakref", "signal", "traceback", "tempfile", "selectors",
    )  # fmt: skip
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import mp_process._startup\n"
        f"print(*[name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == []
