"""Threads that look like processes."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Started = dict[int, "Process"]

#: The processes that each thread has started, by identity.
_children: WeakKeyDictionary[threading.Thread, Started] = WeakKeyDictionary()
_guard = threading.Lock()


class Process(threading.Thread):
    """A thread with what a process has beside (manual, "multiprocessing.dummy").

    Args:
        group: always None.
        target: what `run` calls; None for nothing.
        name: of no meaning; by default made of the class's name and a number.
        args: positional arguments of the target.
        kwargs: keyword arguments of the target.
        daemon: whether the program ends without waiting for it; None inherits it.
    """

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        super().__init__(group, target, name, tuple(args), kwargs or {}, daemon=daemon)
        self._exitcode = 0

    def start(self) -> None:
        """Start the thread, at most once.

        Raises:
            RuntimeError: it was started before, or no thread can be started.
        """
        body: Callable[[], object] = self.run

        def noting() -> None:
            # Of a subclass too, whose `run` need not call ours.
            try:
                body()
            except SystemExit as error:  # which `threading` would pass over, too
                self._exitcode = _code(error.code)
            except BaseException:
                self._exitcode = 1
                raise
            finally:
                delattr(self, "run")  # no cycle is left behind

        # As setattr, or type checkers take `run` for an attribute.
        setattr(self, "run", noting)  # noqa: B010
        super().start()
        starter = threading.current_thread()
        with _guard:
            _children.setdefault(starter, {})[id(self)] = self

    @property
    def exitcode(self) -> int | None:
        """None before the end; 0, what `sys.exit` was given, or 1 for an exception."""
        if self.ident is None or self.is_alive():
            return None
        return self._exitcode


def _code(code: object) -> int:
    if code is None:
        return 0
    return code if isinstance(code, int) else 1


def active_children() -> list[threading.Thread]:
    """The processes that the current thread has started and that run."""
    mine = threading.current_thread()
    with _guard:
        started = _children.get(mine, {})
        for key, process in list(started.items()):
            if not process.is_alive():
                del started[key]
        return list(started.values())


def current_process() -> threading.Thread:
    """The thread that this runs in."""
    return threading.current_thread()


Process.__module__ = "mp_multiprocessing.dummy"
