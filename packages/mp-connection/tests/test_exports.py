"""What the modules export, and what importing them costs."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import types

import pytest

import mp_connection
from mp_connection import errors

PUBLIC = [
    "mp_connection",
    *(
        f"mp_connection.{module.name}"
        for module in pkgutil.iter_modules(mp_connection.__path__)
        if not module.name.startswith("_")
    ),
]

#: Costly, or forbidden.  A child process pays for each of them.
UNWANTED = [
    "asyncio", "ctypes", "dataclasses", "enum", "inspect", "logging", "multiprocessing",
    "pickle", "pickletools", "random", "re", "selectors", "signal", "socket",
    "ssl", "subprocess", "tempfile", "threading", "traceback", "typing",
    "typing_extensions", "weakref",
]  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_public_module_defines_is_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    for key in module.__all__:
        getattr(module, key)  # some are loaded when first used
    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and not isinstance(value, types.ModuleType)
        and key not in ("annotations", "TYPE_CHECKING")
        # Imported to be used, and exported by the module that it is from.
        and not (module is not mp_connection and hidden(module, key, value))
    }
    assert type(module.__all__) is tuple
    assert len(set(module.__all__)) == len(module.__all__)
    assert {key for key in module.__all__ if not key.startswith("_")} == defined
    assert module.__doc__


def hidden(module: types.ModuleType, key: str, value: object) -> bool:
    """Whether a name stands in a module only because the module uses it."""
    return key not in module.__all__ and getattr(value, "__module__", "") != (
        module.__name__
    )


def test_the_errors_are_exported_by_the_package() -> None:
    assert set(errors.__all__) <= set(mp_connection.__all__)


def test_public_classes_name_the_public_path() -> None:
    for name in PUBLIC:
        module = importlib.import_module(name)
        for key in module.__all__:
            value = getattr(module, key)
            if isinstance(value, type) and value.__module__.startswith("mp_"):
                home = importlib.import_module(value.__module__)
                assert getattr(home, value.__qualname__) is value


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux needs")
def test_importing_is_cheap() -> None:
    path = mp_connection.__path__[0].rpartition("/")[0]
    program = (
        f"import sys; sys.path.insert(0, {path!r}); before = set(sys.modules)\n"
        "import mp_connection, mp_connection.lifecycle, mp_connection.channel\n"
        "import mp_connection.lean, mp_connection.handles, mp_connection.connection\n"
        f"print(*(name for name in {UNWANTED!r} if name in sys.modules))\n"
        "print(*sorted(name for name in set(sys.modules) - before"
        " if not name.startswith('mp_connection')))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    unwanted, new = done.stdout.splitlines()
    assert unwanted == ""
    # What the C pickler imports (functools and so on), and small C modules.
    assert len(new.split()) < 32, new


def test_other_pythons_are_refused_in_one_sentence() -> None:
    path = mp_connection.__path__[0].rpartition("/")[0]
    program = (
        f"import sys; sys.path.insert(0, {path!r}); sys.implementation.name = 'pypy'\n"
        "import mp_connection"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: mp-connection, and all that needs it, runs on CPython 3.11 or"
        " later so far, and not on pypy"
    )
