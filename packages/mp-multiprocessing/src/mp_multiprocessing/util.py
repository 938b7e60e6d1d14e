"""What third parties use of the standard package's module of this name.

The manual does not describe it.  New programs should use `logging`, `weakref.finalize`,
`atexit`, `tempfile` and `mp_connection.lifecycle` directly.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import ReferenceType, WeakValueDictionary, ref

from mp_connection import get_logger as get_logger, log_to_stderr as log_to_stderr
from mp_connection.lifecycle import after_fork, at_exit, run_exit_callbacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = (
    "DEBUG",
    "INFO",
    "LOGGER_NAME",
    "NOTSET",
    "SUBDEBUG",
    "SUBWARNING",
    "Finalize",
    "ForkAwareLocal",
    "ForkAwareThreadLock",
    "abstract_sockets_supported",
    "debug",
    "get_logger",
    "get_temp_dir",
    "info",
    "is_exiting",
    "log_to_stderr",
    "register_after_fork",
    "spawnv_passfds",
    "sub_debug",
    "sub_warning",
)

T = TypeVar("T")
R = TypeVar("R")

# ------------------------------------------------------------------------------ logs

NOTSET, SUBDEBUG, DEBUG, INFO, SUBWARNING = 0, 5, 10, 20, 25
LOGGER_NAME = "multiprocessing"

logging.addLevelName(SUBDEBUG, "SUBDEBUG")
logging.addLevelName(SUBWARNING, "SUBWARNING")


def sub_debug(msg: str, *args: object) -> None:
    """Log at level SUBDEBUG, which is below DEBUG."""
    get_logger().log(SUBDEBUG, msg, *args, stacklevel=2)


def debug(msg: str, *args: object) -> None:
    """Log at level DEBUG."""
    get_logger().log(DEBUG, msg, *args, stacklevel=2)


def info(msg: str, *args: object) -> None:
    """Log at level INFO."""
    get_logger().log(INFO, msg, *args, stacklevel=2)


def sub_warning(msg: str, *args: object) -> None:
    """Log at level SUBWARNING, which is below WARNING."""
    get_logger().log(SUBWARNING, msg, *args, stacklevel=2)


# ------------------------------------------------------------------------- finalizers

#: Finalizers that have not run, which nobody else need keep.
_waiting: dict[int, object] = {}
_numbers = itertools.count()
_exiting = False


class Finalize(Generic[R]):
    """Calls a function once: when it is called, an object is collected, or at exit.

    In a forked child it does nothing: what is to be finalized is the parent's.

    Args:
        obj: whose end it waits for; None for that of the process.
        callback: what to call.
        args: positional arguments of it.
        kwargs: keyword arguments of it.
        exitpriority: for when the process ends: higher ones are called first; None
            for not then.

    Raises:
        ValueError: both *obj* and *exitpriority* are None: it would never be called.
    """

    def __init__(
        self,
        obj: object,
        callback: Callable[..., R],
        args: Iterable[object] = (),
        kwargs: Mapping[str, object] | None = None,
        exitpriority: int | None = None,
    ) -> None:
        if obj is None and exitpriority is None:
            raise ValueError("without an object, exitpriority says when to finalize")
        self._call: Callable[[], R] | None = _bound(callback, args, kwargs)
        self._pid = os.getpid()
        self._key = next(_numbers)
        self._reference: ReferenceType[object] | None = None
        if obj is not None:
            self._reference = ref(obj, lambda _: self())
        self._forget = _nothing
        if exitpriority is not None:
            self._forget = at_exit(self, priority=exitpriority)
        _waiting[self._key] = self

    def __call__(self) -> R | None:
        """Call the function, unless it was called, cancelled or is the parent's.

        Returns:
            What the function returns; None if it is not called.
        """
        call = self._take()
        if call is None or self._pid != os.getpid():
            return None
        return call()

    def cancel(self) -> None:
        """Let the function never be called."""
        self._take()

    def still_active(self) -> bool:
        """Whether the function is still to be called."""
        return self._call is not None

    def _take(self) -> Callable[[], R] | None:
        if _waiting.pop(self._key, None) is None:
            return None  # somebody else is at it
        call, self._call = self._call, None
        self._reference = None
        self._forget()
        return call


def _bound(
    callback: Callable[..., R],
    args: Iterable[object],
    kwargs: Mapping[str, object] | None,
) -> Callable[[], R]:
    given, named = tuple(args), dict(kwargs or {})
    return lambda: callback(*given, **named)


def _nothing() -> None:
    pass


def _note_exit() -> None:
    global _exiting
    _exiting = True


at_exit(_note_exit, priority=1 << 30, forked=True)


def is_exiting() -> bool:
    """Whether this process has begun to call what was registered for its end."""
    return _exiting


def _exit_function() -> None:
    """Do now what is done at exit; for those who are about to call `os._exit`."""
    run_exit_callbacks()


# ------------------------------------------------------------------------------ forks

_forked: WeakValueDictionary[int, object] = WeakValueDictionary()
_forked_calls: dict[int, Callable[[object], object]] = {}


def register_after_fork(obj: T, func: Callable[[T], object]) -> None:
    """Call ``func(obj)`` in each forked child, as long as *obj* lives.

    Args:
        obj: referred to weakly.
        func: kept as long as *obj*.
    """
    key = next(_numbers)
    _forked_calls[key] = func  # type: ignore[assignment]
    _forked[key] = obj


def _after_fork() -> None:
    global _exiting
    _exiting = False
    for key, func in sorted(_forked_calls.items()):
        obj = _forked.get(key)
        if obj is None:
            del _forked_calls[key]
        else:
            try:
                func(obj)
            except Exception:
                logging.getLogger(LOGGER_NAME).exception("after a fork")


after_fork(_after_fork)


class ForkAwareThreadLock:
    """A lock between threads that is free in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        register_after_fork(self, ForkAwareThreadLock._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire it; see `threading.Lock`."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Release it."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *args: object) -> None:
        self._lock.release()


class ForkAwareLocal(threading.local):
    """A `threading.local` that is empty in a forked child."""

    def __init__(self) -> None:
        register_after_fork(self, lambda local: local.__dict__.clear())

    def __reduce__(self) -> tuple[type[ForkAwareLocal], tuple[()]]:
        return type(self), ()


# -------------------------------------------------------------------------- others


def _args_from_interpreter_flags() -> list[str]:
    """The options that make a fresh interpreter behave like this one."""
    import subprocess

    options: list[str] = getattr(subprocess, "_args_from_interpreter_flags")()  # noqa: B009
    return options


def spawnv_passfds(
    path: str | bytes, args: Sequence[str | bytes], passfds: Iterable[int]
) -> int:
    """Start a program that inherits some descriptors and no others.

    Args:
        path: of the program.
        args: its arguments, the name of the program first.
        passfds: the descriptors.

    Returns:
        The process identifier; the caller waits for it.

    Raises:
        OSError: it cannot be started.
    """
    import subprocess

    child = subprocess.Popen(args, executable=path, pass_fds=tuple(passfds))
    child.returncode = 0  # its finalizer is not to wait for it
    return child.pid


def abstract_sockets_supported() -> bool:
    """Whether sockets may have names that are no files."""
    return sys.platform == "linux"


_directory: tuple[int, str] | None = None


def get_temp_dir() -> str:
    """A directory of this process, made at the first call and removed at exit.

    Raises:
        OSError: it cannot be made.
    """
    global _directory
    if _directory is None or _directory[0] != os.getpid():
        import shutil
        import tempfile

        path = tempfile.mkdtemp(prefix="mp-")
        at_exit(lambda: shutil.rmtree(path, ignore_errors=True), priority=-100)
        _directory = os.getpid(), path
    return _directory[1]
