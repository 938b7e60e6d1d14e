"""Contexts that put the layers together: the whole API, bound to a start method."""

from __future__ import annotations

import sys

from mp_connection import (
    AuthenticationError,
    BufferTooShort,
    Connection,
    Pipe,
    ProcessError,
    TimeoutError,
    get_logger,
    log_to_stderr,
)
from mp_multiprocessing import reduction
from mp_multiprocessing._layers import FromLayer, Needed
from mp_process import context as _process_context
from mp_process.context import (
    ForkProcess as ForkProcess,
    ForkServerProcess as ForkServerProcess,
    Method as Method,
    Process as Process,
    SpawnProcess as SpawnProcess,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger
    from types import ModuleType
    from typing import Any, ClassVar, TypeVarTuple, Unpack, overload

    from typing_extensions import TypeVar as TypeVarWithDefault

    import mp_sync
    from mp_managers import SyncManager
    from mp_pool import Pool
    from mp_sharedctypes.functions import (
        ArrayFunction,
        RawArrayFunction,
        RawValueFunction,
        ValueFunction,
    )

    #: What the caller says of the result, and Any if it says nothing.
    SentT = TypeVarWithDefault("SentT", default=Any)
    ReceivedT = TypeVarWithDefault("ReceivedT", default=Any)
    Ts = TypeVarTuple("Ts")

__all__ = (
    "BaseContext",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Method",
    "Process",
    "SpawnContext",
    "SpawnProcess",
    "assert_spawning",
    "get_spawning_popen",
    "set_spawning_popen",
)

_EXECUTOR = (
    "ProcessPoolExecutor works with this context in drop-in mode only: call"
    " mp_multiprocessing.install() first in the program, or use mp_pool.Executor"
)

_THIRD_PARTY = (
    "the start method {method!r} is a third party's, made of private parts of the"
    " standard package: run the program with MP_DROPIN=0, or have that party use"
    " another one"
)


class BaseContext(_process_context.BaseContext):
    """What is common to all contexts: the API, bound to a start method."""

    ProcessError: ClassVar[type[ProcessError]] = ProcessError
    AuthenticationError: ClassVar[type[AuthenticationError]] = AuthenticationError
    BufferTooShort: ClassVar[type[BufferTooShort]] = BufferTooShort
    TimeoutError: ClassVar[type[TimeoutError]] = TimeoutError

    @staticmethod
    def Pipe(
        duplex: bool = True,
    ) -> tuple[Connection[SentT, ReceivedT], Connection[ReceivedT, SentT]]:
        """Two connections; see `mp_connection.Pipe`."""
        return Pipe(duplex)

    @staticmethod
    def get_logger() -> Logger:
        """The logger; see `mp_connection.get_logger`."""
        return get_logger()

    @staticmethod
    def log_to_stderr(level: int | str | None = None) -> Logger:
        """The logger, writing to standard error; see `mp_connection.log_to_stderr`."""
        return log_to_stderr(level)

    #: How messages are pickled; the module `reduction`.
    reducer: ClassVar[ModuleType] = reduction

    @staticmethod
    def allow_connection_pickling() -> None:
        """Do nothing: connections and sockets can always be sent."""

    # The classes themselves: what one context makes works with processes of any other.
    if TYPE_CHECKING:
        Lock = mp_sync.Lock
        RLock = mp_sync.RLock
        Semaphore = mp_sync.Semaphore
        BoundedSemaphore = mp_sync.BoundedSemaphore
        Condition = mp_sync.Condition
        Event = mp_sync.Event
        Barrier = mp_sync.Barrier
        Queue = mp_sync.Queue
        JoinableQueue = mp_sync.JoinableQueue
        SimpleQueue = mp_sync.SimpleQueue
        RawValue: ClassVar[RawValueFunction]
        RawArray: ClassVar[RawArrayFunction]
        Value: ClassVar[ValueFunction]
        Array: ClassVar[ArrayFunction]
    else:
        Lock = FromLayer()
        RLock = FromLayer()
        Semaphore = FromLayer()
        BoundedSemaphore = FromLayer()
        Condition = FromLayer()
        Event = FromLayer()
        Barrier = FromLayer()
        Queue = FromLayer()
        JoinableQueue = FromLayer()
        SimpleQueue = FromLayer()
        RawValue = FromLayer()
        RawArray = FromLayer()
        Value = FromLayer()
        Array = FromLayer()

    def Manager(self) -> SyncManager:
        """A manager, started by this context; see `mp_managers.SyncManager`.

        Raises:
            ModuleNotFoundError: mp-managers is not installed.
            OSError: the system has no more processes or descriptors.
        """
        with Needed("mp-managers", "Manager"):
            from mp_managers import SyncManager
        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def get_start_method(self, allow_none: bool = False) -> Method | None:
        """The start method of this context; see `mp_process.context.BaseContext`.

        Raises:
            RuntimeError: an executor of `concurrent.futures` asks, which is made of the
                standard package's queues, as this is not drop-in mode.
        """
        # An executor asks first thing.  Later, its queues would fail in one of its
        # threads, and the program would wait for ever.
        asking = sys._getframe(1).f_globals
        if asking.get("__name__") == "concurrent.futures.process":
            package: object = asking.get("mp")
            if package is not sys.modules["mp_multiprocessing"]:
                raise RuntimeError(_EXECUTOR)
        return super().get_start_method(allow_none)

    def get_context(self, method: Method | None = None) -> BaseContext:
        """The context of a start method; for None, this one.

        Raises:
            ValueError: there is no such method on this platform.
            RuntimeError: it was added by a third party, as loky does.
        """
        if method in self._contexts and method not in self.get_all_start_methods():
            raise RuntimeError(_THIRD_PARTY.format(method=method))
        found = super().get_context(method)
        assert isinstance(found, BaseContext)
        return found

    if TYPE_CHECKING:

        @overload
        def Pool(
            self,
            processes: int | None = None,
            initializer: None = None,
            initargs: tuple[()] = (),
            maxtasksperchild: int | None = None,
        ) -> Pool: ...

        @overload
        def Pool(
            self,
            processes: int | None = None,
            *,
            initializer: Callable[[Unpack[Ts]], object],
            initargs: tuple[*Ts] = ...,
            maxtasksperchild: int | None = None,
        ) -> Pool: ...

        @overload
        def Pool(
            self,
            processes: int | None,
            initializer: Callable[[Unpack[Ts]], object],
            initargs: tuple[*Ts] = ...,
            maxtasksperchild: int | None = None,
        ) -> Pool: ...

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        maxtasksperchild: int | None = None,
    ) -> Pool:
        """A pool of processes that this context starts; see `mp_pool.Pool`.

        Raises:
            ModuleNotFoundError: mp-pool is not installed.
        """
        with Needed("mp-pool", "Pool"):
            from mp_pool import Pool
        return Pool(processes, initializer, initargs, maxtasksperchild, self)


class DefaultContext(BaseContext):
    """Follows the default start method, as the package's own functions do."""


class ForkContext(BaseContext, _process_context.ForkContext):
    """Starts processes by fork."""


class SpawnContext(BaseContext, _process_context.SpawnContext):
    """Starts processes by spawn."""


class ForkServerContext(BaseContext, _process_context.ForkServerContext):
    """Starts processes by forkserver."""


BaseContext._contexts = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}
_default_context = DefaultContext()

#: By name; packages that start processes their own way add to it.
_concrete_contexts = BaseContext._contexts


def assert_spawning(obj: object) -> None:
    """Do nothing: here objects may be sent at any time, and not only at a start.

    Third parties call it before they pickle.
    """


def get_spawning_popen() -> None:
    """None: no pickle is made for one process only."""


def set_spawning_popen(popen: object) -> None:
    """Do nothing; see `get_spawning_popen`."""
