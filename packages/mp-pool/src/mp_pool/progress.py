"""Bars of tqdm and rich for the `progress=` of `map` and `starmap`.

Neither library is needed unless its function is called: `pip install mp-pool[tqdm]` and
`pip install mp-pool[rich]` bring them.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self, TextIO

__all__ = ("ProgressBar", "rich_bar", "tqdm_bar")


class ProgressBar:
    """What `progress=` takes: a bar on the terminal, from its making until `close`.

    Failed tasks count as done, as for every `progress=`.  A context manager, which
    closes it; `tqdm_bar` and `rich_bar` make it.  It may be used for several calls in a
    row, and by any thread; a forked child has to leave it alone.

    Args:
        move: called with how many tasks are done and how many there are; never by two
            threads at a time, nor after *end*.
        end: called once, by the first `close`.
    """

    __slots__ = ("_closed", "_end", "_lock", "_move")

    def __init__(
        self, move: Callable[[int, int], object], end: Callable[[], object]
    ) -> None:
        self._move = move
        self._end = end
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, done: int, total: int) -> None:
        """Show how far the call is; once closed, do nothing.

        Args:
            done: how many tasks are done.
            total: how many there are.
        """
        with self._lock:
            if not self._closed:  # a pool may tell of tasks after an error ended all
                self._move(done, total)

    def close(self) -> None:
        """Show the bar for the last time; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def tqdm_bar(
    description: str = "", *, file: TextIO | None = None, leave: bool = True
) -> ProgressBar:
    """Make a bar of tqdm.

    Args:
        description: what stands before the bar.
        file: where it is written to; None for the standard error.
        leave: whether it stays on the terminal when it is closed.

    Returns:
        The bar, to be closed.

    Raises:
        ModuleNotFoundError: tqdm is not installed.
    """
    try:
        from tqdm import tqdm
    except ModuleNotFoundError as error:
        raise _missing("tqdm", error) from error

    class Bar(tqdm):  # type: ignore[type-arg]  # it takes arguments in its stub only
        # The thread that would watch for bars that stand still shows nothing new here,
        # and a pool that forks had better not have it.
        monitor_interval = 0

    bar = Bar(desc=description or None, file=file, leave=leave, miniters=1, unit="task")

    def move(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return ProgressBar(move, bar.close)


def rich_bar(
    description: str = "", *, file: TextIO | None = None, leave: bool = True
) -> ProgressBar:
    """Make a bar of rich, on a display of its own.

    Args:
        description: what stands before the bar.
        file: where it is written to; None for the standard error.
        leave: whether it stays on the terminal when it is closed.

    Returns:
        The bar, to be closed.  Until then a thread of rich draws it.

    Raises:
        ModuleNotFoundError: rich is not installed.
    """
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ModuleNotFoundError as error:
        raise _missing("rich", error) from error
    console = Console(file=file, stderr=file is None)
    display = Progress(console=console, transient=not leave)
    task = display.add_task(description, total=None)
    display.start()

    def move(done: int, total: int) -> None:
        display.update(task, completed=done, total=total)

    return ProgressBar(move, display.stop)


def _missing(library: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """What to raise where a library, or something that it needs, is not installed."""
    return ModuleNotFoundError(
        f"{library}_bar needs {library}: pip install mp-pool[{library}]",
        name=error.name,
        path=error.path,
    )
