"""What the package offers, what it costs to import, and what it does without C."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
from typing import Any

import pytest

import mp_sync
from mp_process import get_context
from mp_sync import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    RLock,
    Semaphore,
    _backend,
    arena,
    errors,
)

PATH = f"import sys; sys.path[:] = {sys.path!r}\n"


def run(code: str, **environment: str) -> str:
    """The output of another interpreter."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", PATH + code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_version() -> None:
    """The module says what the installed metadata says."""
    assert mp_sync.__version__ == importlib.metadata.version("mp-sync")


@pytest.mark.parametrize("module", [mp_sync, arena, errors], ids=lambda m: m.__name__)
def test_all(module: object) -> None:
    """`__all__` is sorted and true."""
    names = module.__all__  # type: ignore[attr-defined]
    assert sorted(names) == list(names)
    assert [name for name in names if not hasattr(module, name)] == []


def test_classes_are_pickled_by_their_public_path() -> None:
    for name in mp_sync.__all__:
        value = getattr(mp_sync, name)
        if isinstance(value, type):
            assert value.__module__ == "mp_sync"
            assert getattr(importlib.import_module("mp_sync"), name) is value


def test_the_backend_is_the_one_that_was_asked_for() -> None:
    """Where the tests run it was compiled; nothing falls back in silence."""
    if sys.platform == "linux":
        wanted = os.environ.get("MP_SYNC_BACKEND", "native")
        module = {"native": "_native", "portable": "_portable"}[wanted]
        assert importlib.import_module(f"mp_sync.{module}").Lock is mp_sync.Lock
        assert _backend.backend == wanted


def test_importing_it_imports_little() -> None:
    """Children that are spawned with a lock as an argument import it."""
    heavy: tuple[str, ...] = (
        "typing", "enum", "dataclasses", "socket", "pickle", "threading", "logging",
        "re", "subprocess", "weakref", "signal", "traceback", "tempfile", "selectors",
    )  # fmt: skip
    heavy += () if os.environ.get("MP_SYNC_BACKEND") == "portable" else ("ctypes",)
    code = f"import mp_sync.arena\nprint(*[m for m in {heavy!r} if m in sys.modules])"
    assert run(code) == ""


SHOW = """
import mp_sync
from mp_sync import _backend
lock = mp_sync.Lock()
with lock:
    print(_backend.backend, lock.locked())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is none yet")
class TestBackends:
    """MP_SYNC_BACKEND, and what an installation without the extension does."""

    @pytest.mark.parametrize("backend", ["native", "portable"])
    def test_one_is_forced(self, backend: str) -> None:
        assert run(SHOW, MP_SYNC_BACKEND=backend) == f"{backend} True"

    def test_the_extension_is_preferred(self) -> None:
        assert run(SHOW, MP_SYNC_BACKEND="") == "native True"

    def test_another_name_is_refused(self) -> None:
        with pytest.raises(subprocess.CalledProcessError) as info:
            run(SHOW, MP_SYNC_BACKEND="fast")
        assert "MP_SYNC_BACKEND is native or portable, not 'fast'" in info.value.stderr

    @pytest.mark.parametrize(
        ("backend", "module"), [("native", "mp_sync._native"), ("portable", "ctypes")]
    )
    def test_a_forced_one_that_fails_raises(self, backend: str, module: str) -> None:
        code = f"sys.modules[{module!r}] = None\n{SHOW}"
        with pytest.raises(subprocess.CalledProcessError) as info:
            run(code, MP_SYNC_BACKEND=backend)
        assert "ImportError" in info.value.stderr or (
            "ModuleNotFoundError" in info.value.stderr
        )

    def test_without_the_extension_it_works_and_says_so_once(self) -> None:
        """In one line, and not in children again."""
        code = (
            "sys.modules['mp_sync._native'] = None\n"
            f"{SHOW}\n"
            "import subprocess\n"
            "code = f'import sys; sys.path[:] = {sys.path!r}; '\n"
            "code += 'sys.modules[\"mp_sync._native\"] = None; import mp_sync'\n"
            "subprocess.run([sys.executable, '-S', '-c', code], check=True)\n"
        )
        done = subprocess.run(
            [sys.executable, "-S", "-c", PATH + code],
            env=os.environ | {"MP_SYNC_BACKEND": ""},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.strip() == "portable True"
        warning, _ = done.stderr.splitlines()  # and the line of the source
        assert "RuntimeWarning: mp_sync is without its extension" in warning

    def test_without_either_everything_imports_and_says_why_when_used(self) -> None:
        code = (
            "sys.modules['mp_sync._native'] = sys.modules['ctypes'] = None\n"
            "import mp_sync\n"
            "for name in 'Lock', 'RLock', 'Semaphore', 'BoundedSemaphore', 'Event':\n"
            "    kind = getattr(mp_sync, name)\n"
            "    try:\n"
            "        kind()\n"
            "    except ImportError as error:\n"
            "        print(kind.__module__, str(error)[:40])"
        )
        assert run(code, MP_SYNC_BACKEND="").splitlines() == [
            f"mp_sync {name} needs the extension mp_sync._native"[:48]
            for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event")
        ]

    def test_an_object_of_the_other_backend_is_refused(self) -> None:
        """And not misread."""
        rebuild = {
            "native": _backend._rebuild_portable,
            "portable": _backend._rebuild_native,
        }[_backend.backend]
        with pytest.raises(RuntimeError, match="see MP_SYNC_BACKEND"):
            rebuild(mp_sync.Lock, None)


@pytest.mark.parametrize(
    "make",
    [Lock, RLock, Semaphore, BoundedSemaphore, Event, Condition],
)
def test_a_context_is_passed_over(make: type[Any]) -> None:
    """Programs say it to the standard package's classes, which have to be told."""
    assert isinstance(make(ctx=None), make)
    assert isinstance(make(ctx=get_context()), make)
    with pytest.raises(TypeError):
        make(context=None)


def test_a_context_goes_with_the_other_arguments() -> None:
    with Lock(robust=True, ctx=None), Semaphore(2, ctx=None, robust=True):
        pass
    assert Barrier(1, ctx=None).parties == 1
    with pytest.raises(TypeError):
        Lock(context=1, ctx=None)  # type: ignore[call-arg]
