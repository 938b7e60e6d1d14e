"""The bars of tqdm and rich, with the real libraries."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable

import mp_pool_targets as targets
import pytest

from mp_pool import Pool, ThreadPool
from mp_pool.progress import ProgressBar, rich_bar, tqdm_bar

assert sys.platform == "linux"

MakeBar = Callable[..., ProgressBar]

bars = pytest.mark.parametrize(
    ("make_bar", "end"),
    # What the last drawing shows of 40 tasks; each library has its own form.
    [(tqdm_bar, " 40/40 "), (rich_bar, " 100% ")],
    ids=["tqdm", "rich"],
)


def odd(number: int) -> int:
    if not number % 2:
        raise ValueError(number)
    return number


@bars
def test_bar_reaches_the_total(pool: Pool, make_bar: MakeBar, end: str) -> None:
    file = io.StringIO()
    with make_bar("squares", file=file) as bar:
        found = pool.map(targets.square, range(40), 4, progress=bar)
    assert found == [i * i for i in range(40)]
    assert "squares" in file.getvalue()
    assert end in file.getvalue()


@bars
def test_failures_count_as_done(make_bar: MakeBar, end: str) -> None:
    file = io.StringIO()
    with (
        ThreadPool(2) as pool,
        pytest.raises(ValueError, match="0"),
        make_bar(file=file) as bar,
    ):
        pool.map(odd, range(40), 1, progress=bar)
    pool.join()
    assert end in file.getvalue()


@bars
def test_bar_serves_one_call_after_the_other(make_bar: MakeBar, end: str) -> None:
    file = io.StringIO()
    with ThreadPool(2) as pool, make_bar(file=file) as bar:
        pool.map(targets.square, range(70), 1, progress=bar)
        pool.map(targets.square, range(40), 1, progress=bar)
    pool.join()
    assert end in file.getvalue()


@bars
def test_error_closes_the_bar(make_bar: MakeBar, end: str) -> None:
    """After that nothing is shown, whatever the pool still tells."""
    file = io.StringIO()
    bar = make_bar(file=file)
    bar(3, 40)
    with pytest.raises(ZeroDivisionError), bar:
        1 / 0  # noqa: B018
    shown = file.getvalue()
    assert shown.endswith("\n")
    bar(40, 40)
    bar.close()
    assert file.getvalue() == shown
    assert end not in shown


@bars
def test_file_that_is_no_terminal_gets_no_control_codes(
    make_bar: MakeBar, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):  # of rich
        monkeypatch.delenv(name, raising=False)
    file = io.StringIO()
    with make_bar(file=file) as bar:
        bar(40, 40)
    assert end in file.getvalue()
    assert "\x1b" not in file.getvalue()


@bars
def test_standard_output_is_left_alone(
    make_bar: MakeBar, end: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with make_bar() as bar:
        bar(40, 40)
    out, err = capfd.readouterr()
    assert out == ""
    assert end in err


@pytest.mark.parametrize("library", ["tqdm", "rich"])
def test_missing_library_is_named(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name in sys.modules if name.split(".")[0] == library]
    for name in [library, *names]:
        # None: as if it were not there.
        monkeypatch.setitem(sys.modules, name, None)
    make_bar = {"tqdm": tqdm_bar, "rich": rich_bar}[library]
    with pytest.raises(
        ModuleNotFoundError, match=rf"pip install mp-pool\[{library}\]"
    ) as caught:
        make_bar()
    assert caught.value.name is not None
    assert caught.value.name.split(".")[0] == library


def test_libraries_are_imported_when_used() -> None:
    code = "import sys, mp_pool.progress; print({'tqdm', 'rich'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stdout == "set()\n"
