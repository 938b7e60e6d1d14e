"""`Pool`: the object of the manual's section "Process Pools"."""

from __future__ import annotations

import os
import warnings

from mp_pool._calls import default_size, positive
from mp_pool._client import Client
from mp_pool._map_calls import MapCalls
from mp_pool._platform import available_cpus
from mp_pool._terms import Setup
from mp_process import get_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from threading import Thread
    from types import TracebackType
    from typing import Any, Literal, Self, TypeVarTuple, overload

    from mp_pool._backend import Backend
    from mp_pool._result import AsyncResult
    from mp_pool.stats import PoolStats
    from mp_process.context import BaseContext
    from mp_process.process import BaseProcess

    Ts = TypeVarTuple("Ts")


class Pool(MapCalls):
    """Worker processes that carry out calls (manual, "Process Pools").

    Only the process that made the pool may use it; there, any thread may.  A pool that
    is no longer needed is closed or terminated, or used as a context manager; one that
    is dropped is terminated, with a ResourceWarning if it was still open.

    Args:
        processes: how many workers; None for `mp_process.cpu_count`; ``"available"``
            for as many as affinity and the quota of the control group leave to this
            process.
        initializer: called in each worker first, with *initargs*.
        initargs: its arguments.
        maxtasksperchild: tasks after which a worker is replaced by a fresh one, where
            a chunk of a map is one task; None for never.
        context: starts the workers; None for the default context.
        finalizer: called in each worker that ends because the pool is closed or its
            lifetime is over.
        max_rss: bytes of memory that a worker may use while it runs a task; if it uses
            more it is ended and replaced, and the task fails with `MemoryLimitError`.
            It is looked at twenty times a second.
        cpus: sets of CPUs: the first worker runs on the first set, the next on the next
            one, and so on from the beginning; empty for all CPUs.
        trace: a file that gets an event for each task on each worker, in Chrome's
            format, which Perfetto opens; it is written anew.

    Raises:
        ValueError: *processes* is less than 1, or *maxtasksperchild* is no integer or
            less than 1.
        TypeError: *processes* is no integer, or the initializer cannot be called.
        UnpicklableError: the initializer cannot be sent to a worker.
        OSError: the system has no more processes or descriptors.
    """

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            processes: int | Literal["available"] | None = None,
            initializer: Callable[[], object] | None = None,
            *,
            maxtasksperchild: int | None = None,
            context: BaseContext | None = None,
            finalizer: Callable[[], object] | None = None,
            max_rss: int | None = None,
            cpus: Sequence[Collection[int]] = (),
            trace: str | os.PathLike[str] | None = None,
        ) -> None: ...

        @overload
        def __init__(
            self,
            processes: int | Literal["available"] | None,
            initializer: Callable[[*Ts], object] | None,
            initargs: tuple[*Ts],
            maxtasksperchild: int | None = None,
            context: BaseContext | None = None,
            *,
            finalizer: Callable[[], object] | None = None,
            max_rss: int | None = None,
            cpus: Sequence[Collection[int]] = (),
            trace: str | os.PathLike[str] | None = None,
        ) -> None: ...

        # The same by keywords, with or without the first.
        @overload
        def __init__(
            self,
            processes: int | Literal["available"] | None = None,
            *,
            initializer: Callable[[*Ts], object],
            initargs: tuple[*Ts],
            maxtasksperchild: int | None = None,
            context: BaseContext | None = None,
            finalizer: Callable[[], object] | None = None,
            max_rss: int | None = None,
            cpus: Sequence[Collection[int]] = (),
            trace: str | os.PathLike[str] | None = None,
        ) -> None: ...

    def __init__(
        self,
        processes: int | Literal["available"] | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[object] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
        *,
        finalizer: Callable[[], object] | None = None,
        max_rss: int | None = None,
        cpus: Sequence[Collection[int]] = (),
        trace: str | os.PathLike[str] | None = None,
    ) -> None:
        if processes is None:
            processes = default_size()
        elif processes == "available":
            processes = available_cpus()
        processes = positive(processes, "processes")
        if maxtasksperchild is not None:
            try:
                maxtasksperchild = positive(maxtasksperchild, "maxtasksperchild")
            except TypeError as error:
                raise ValueError(f"maxtasksperchild: {error}") from None
        check_initializer(initializer)
        if context is None:
            context = get_context()
        if finalizer is not None and not callable(finalizer):
            raise TypeError(f"finalizer {finalizer!r} cannot be called")
        if max_rss is not None:
            max_rss = positive(max_rss, "max_rss")
        setup = Setup(
            initializer, tuple(initargs), finalizer, [set(each) for each in cpus]
        )
        self._backend: Backend = Client(
            processes,
            maxtasksperchild,
            context,
            setup,
            max_rss,
            None if trace is None else os.path.abspath(trace),
        )

    # --------------------------------------------------------------- life cycle

    def close(self) -> None:
        """Accept no more calls; the workers end when all that was accepted is done."""
        self._backend.close()

    def terminate(self) -> None:
        """End the workers at once, and wait until they are gone.

        What was not complete fails with `PoolTerminatedError`; callbacks are not called
        any more.  Workers get SIGTERM, and SIGKILL half a second later.
        """
        self._backend.terminate()

    def join(self) -> None:
        """Wait until all workers have ended and all callbacks have returned.

        The input of an `imap` that is under way is read to its end now.  A worker that
        is still starting is killed if nothing is left for it to do, neither a task nor
        an initializer or finalizer.

        Raises:
            ValueError: the pool was neither closed nor terminated.
        """
        self._backend.join()

    def stats(self) -> PoolStats:
        """What the pool does just now and has done so far; any thread may ask."""
        return self._backend.stats()

    @property
    def _pool(self) -> Sequence[BaseProcess | Thread]:
        """The workers.  No manual has this name, but programs use it."""
        return self._backend.workers

    @property
    def _processes(self) -> int:
        """How many workers there are to be.  This name is used as well."""
        return self._backend.size

    def _cancel(self, result: AsyncResult[Any], running: bool = True) -> None:
        self._backend.cancel(result, running)

    def __enter__(self) -> Self:
        self._backend.check_running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.terminate()

    def __del__(self) -> None:
        backend = getattr(self, "_backend", None)
        if backend is None or backend.finished:
            return
        if backend.open:
            warnings.warn(f"unclosed running pool {self!r}", ResourceWarning, 2, self)
        # This can be any thread, at any time: nothing is waited for.
        backend.drop()

    def __repr__(self) -> str:
        kind, backend = type(self), self._backend
        name = f"{kind.__module__}.{kind.__qualname__}"
        return f"<{name} state={backend.state} pool_size={backend.size}>"


Pool.__module__ = "mp_pool"


def check_initializer(initializer: object) -> None:
    """Raise TypeError if this is neither None nor can be called."""
    if initializer is not None and not callable(initializer):
        raise TypeError(f"initializer {initializer!r} cannot be called")
