"""Callbacks: one thread runs them all, in the order in which the results came."""

from __future__ import annotations

import sys
import threading
from _queue import Empty, SimpleQueue  # `queue` takes five times as long to import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mp_pool._result import AsyncResult, T

    Callback = Callable[[T], object] | None
    ErrorCallback = Callable[[BaseException], object] | None


class Callbacks:
    """The thread, which is started when a callback is first given.

    A slow callback delays other callbacks and results that have one; nothing else.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._finished = False

    def start(self) -> None:
        """Have the thread running, as a callback will have to be called."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="mp_pool-callbacks", daemon=True
                )
                thread.start()
                self._thread = thread

    def post(
        self,
        result: AsyncResult[T],
        callback: Callback[T],
        error_callback: ErrorCallback,
    ) -> None:
        """Call one of the two with what has arrived, then complete the result."""

        def deliver() -> None:
            try:
                good, value = result._load()
                chosen = callback if good else error_callback
                if chosen is not None:
                    chosen(value)
            except BaseException:
                kind, error, traceback = sys.exc_info()
                assert kind is not None
                what = (kind, error, traceback, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(what))
            finally:
                result._complete()

        self.run(deliver)

    def run(self, function: Callable[[], None]) -> None:
        """Call a function that raises nothing, in its turn."""
        self._queue.put(function)
        if self._finished:
            # The thread may be gone.  Whoever comes too late does it by itself.
            self._drain()

    def finish(self) -> None:
        """Let the thread end behind what was posted."""
        self._finished = True
        self._queue.put(None)

    def _drain(self) -> None:
        """Call what is there, in this thread."""
        while True:
            try:
                function = self._queue.get_nowait()
            except Empty:
                return
            if function is None:
                self._queue.put(None)  # that is for the thread
                return
            function()

    def join(self) -> None:
        """Wait for the thread's end, if this is not that thread."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (deliver := self._queue.get()) is not None:
            deliver()
            del deliver
