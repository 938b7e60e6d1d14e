"""Contexts and the default start method."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import mp_process_targets as targets
import pytest

import mp_process
from mp_connection import Pipe
from mp_process import (
    BaseContext,
    BaseProcess,
    ForkProcess,
    ForkServerProcess,
    SpawnProcess,
    get_all_start_methods,
    get_context,
    get_start_method,
    set_start_method,
)
from mp_testing import StartMethod

assert sys.platform == "linux"

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(autouse=True)
def unsettled() -> Iterator[None]:
    """Begin and end with a default that nobody has chosen."""
    set_start_method(None, force=True)
    yield
    set_start_method(None, force=True)


def test_methods() -> None:
    """fork comes first: it is the default, on every Python version."""
    assert get_all_start_methods() == METHODS
    get_all_start_methods().clear()
    assert get_all_start_methods() == METHODS
    assert get_start_method(allow_none=True) is None
    assert get_start_method() == "fork"
    assert get_start_method(allow_none=True) == "fork"


def test_set_start_method() -> None:
    """It is settled once, unless by force, and only to what there is."""
    with pytest.raises(ValueError, match="unknown start method 'thread'; there are f"):
        set_start_method("thread")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown start method None"):
        set_start_method(None)
    assert get_start_method(allow_none=True) is None
    set_start_method("spawn")
    assert get_start_method() == "spawn"
    with pytest.raises(RuntimeError, match="the start method is 'spawn' already"):
        set_start_method("fork")
    with pytest.raises(RuntimeError, match="'spawn' already"):
        set_start_method("spawn")
    with pytest.raises(ValueError, match="'thread'"):
        set_start_method("thread", force=True)  # type: ignore[arg-type]
    set_start_method("forkserver", force=True)
    assert get_start_method() == "forkserver"
    set_start_method(None, force=True)
    assert get_start_method(allow_none=True) is None


def test_cpu_count_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is NotImplementedError, as the manual has it."""
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    with pytest.raises(NotImplementedError):
        mp_process.cpu_count()


@pytest.mark.parametrize(
    ("options", "variable", "expected"),
    [
        ((), "7", "7"),
        (("-X", "cpu_count=6"), "7", "6"),
        (("-X", "cpu_count=default"), "7", str(os.cpu_count())),
        ((), "default", str(os.cpu_count())),
        ((), "", str(os.cpu_count())),
        (("-E",), "7", str(os.cpu_count())),
    ],
)
def test_a_program_can_be_told_how_many_cpus_there_are(
    options: tuple[str, ...], variable: str, expected: str
) -> None:
    path = repr([entry for entry in sys.path if entry])
    done = subprocess.run(
        [
            *(sys.executable, *options, "-c"),
            f"import sys; sys.path[:0] = {path}; import mp_process\n"
            "print(mp_process.cpu_count())",
        ],
        env={**os.environ, "PYTHON_CPU_COUNT": variable},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() == expected


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python itself does not start")
@pytest.mark.parametrize("told", ["0", "-1", "many"])
def test_a_wrong_number_of_cpus_is_an_error(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_CPU_COUNT", told)
    with pytest.raises(ValueError, match=told):
        mp_process.cpu_count()


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("Pipe", "mp-connection"),
        ("Manager", "mp-managers"),
        ("Pool", "mp-pool"),
        ("Value", "mp-sharedctypes"),
        ("Lock", "mp-sync"),
    ],
)
def test_what_other_layers_have_is_named(name: str, distribution: str) -> None:
    """Whoever comes from the whole package learns what to install."""
    for context in (get_context("spawn"), BaseContext()):
        with pytest.raises(AttributeError) as raised:
            getattr(context, name)
        assert str(raised.value) == (
            f"the contexts of mp-process have no {name}: for it alone, pip install"
            f" {distribution}; for contexts that have all, pip install"
            " mp-multiprocessing and take those of mp_multiprocessing"
        )
        assert not hasattr(context, name)


def test_other_names_are_plain_errors() -> None:
    with pytest.raises(AttributeError, match=r"<SpawnContext> has no attribute 'no'$"):
        get_context("spawn").no  # type: ignore[attr-defined]  # noqa: B018


def test_asking_settles() -> None:
    """A method that the program has been told is not changed behind its back."""
    assert get_start_method() == "fork"
    with pytest.raises(RuntimeError):
        set_start_method("spawn")


def test_starting_settles() -> None:
    """The first process of the default context settles the method."""
    process = mp_process.Process(target=targets.noop)
    assert get_start_method(allow_none=True) is None
    process.start()
    process.join(30)
    with pytest.raises(RuntimeError):
        set_start_method("spawn")


def test_get_context(start_method: StartMethod) -> None:
    """A context is bound to its method, whatever the default is."""
    ctx = get_context(start_method)
    assert ctx is get_context(start_method)
    assert ctx.get_context() is ctx
    assert ctx.get_context("fork") is get_context("fork")
    assert ctx.get_start_method() == start_method
    assert ctx.get_start_method(allow_none=True) == start_method
    assert ctx.get_all_start_methods() == METHODS
    with pytest.raises(ValueError, match=f"always uses {start_method!r}"):
        ctx.set_start_method("fork")
    assert ctx.current_process() is mp_process.current_process()
    assert ctx.parent_process() is None
    assert ctx.active_children() == []
    assert repr(ctx).endswith("Context>")
    assert ctx.cpu_count() == mp_process.cpu_count() == os.cpu_count()
    for wrong in ("thread", "", 1, ()):
        with pytest.raises(ValueError, match="unknown start method"):
            get_context(wrong)  # type: ignore[arg-type]


def test_classes() -> None:
    """Each context has a class of processes of its own, public by name."""
    classes: dict[StartMethod, type[BaseProcess]] = {
        "fork": ForkProcess,
        "spawn": SpawnProcess,
        "forkserver": ForkServerProcess,
    }
    for method, kind in classes.items():
        assert get_context(method).Process is kind
    default = mp_process.get_start_method()
    assert default is not None
    assert get_context() is get_context(default)


def test_a_child_of_a_context_starts_others_as_it_was_started(
    start_method: StartMethod,
) -> None:
    """Whatever the default of its parent is: that may not work for it."""
    default: Any
    for default in ("spawn", "forkserver", None):
        set_start_method(default, force=True)
        ours, theirs = Pipe()
        ctx = get_context(start_method)
        process = ctx.Process(target=targets.describe, args=(theirs,))
        process.start()
        assert ours.poll(30)
        assert ours.recv()["method"] == start_method
        ours.send("end")
        process.join(30)
        ours.close()
        theirs.close()


def test_default_process_follows_the_default(start_method: StartMethod) -> None:
    """`Process` starts by the method that is the default when it starts."""
    ours, theirs = Pipe()
    process = mp_process.Process(target=targets.describe, args=(theirs,))
    set_start_method(start_method)
    process.start()
    assert ours.poll(30)
    known = ours.recv()
    assert known["class"] == "Process"
    assert known["method"] == start_method
    ours.send("end")
    process.join(30)
    assert process.exitcode == 0
    ours.close()
    theirs.close()
