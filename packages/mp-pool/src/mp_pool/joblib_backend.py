"""A backend of joblib: `Parallel` on a pool of this project, in place of loky's.

It is used as any other of joblib's::

    import joblib
    import mp_pool.joblib_backend

    mp_pool.joblib_backend.register()
    with joblib.parallel_config(backend="mp"):
        ...

Functions and results travel by value, the main module needs no guard, and large arrays
are mapped into the workers, as with loky.  Unlike there, they are copied into memory
without a name, and into no file; and workers that are there for the next call end with
the program, however it ends.
"""

from __future__ import annotations

import atexit
import threading
import warnings

import joblib  # type: ignore[import-untyped]
from joblib.externals.loky.process_executor import (  # type: ignore[import-untyped]
    TerminatedWorkerError,
)
from joblib.parallel import (  # type: ignore[import-untyped]
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from mp_connection.lifecycle import after_fork
from mp_pool._buffers import Buffers
from mp_pool._by_value import by_value
from mp_pool._joblib_worker import FreshContext, begin, work
from mp_pool._pool import Pool
from mp_pool.errors import BrokenPoolError, WorkerDiedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    #: What has to be the same for a pool to be used again: how many workers it has,
    #: and what their environment says.
    Key = tuple[int, tuple[tuple[str, str], ...]]

__all__ = ("make_backend", "register")

#: Seconds for which workers wait for the next call.
_IDLE_SECONDS = 300.0


def register(name: str = "mp", make_default: bool = False) -> None:
    """Let joblib know this backend.

    Args:
        name: under which it is chosen; ``"loky"`` takes the place of joblib's own.
        make_default: whether it is used where nothing is chosen.
    """
    joblib.register_parallel_backend(name, make_backend, make_default=make_default)


def make_backend(**options: Any) -> Any:
    """A backend, as joblib makes one for itself; for those who register it themselves.

    Args:
        options: as joblib gives them: ``nesting_level``, ``inner_max_num_threads``, and
            those of ``parallel_config``.
    """
    return _Backend(**options)


class _Waiting:
    """A pool that waits for the next call.

    Args:
        key: what it is like.
        pool: the pool.
        timer: ends it, unless it is cancelled.
    """

    __slots__ = ("key", "pool", "timer")

    def __init__(self, key: Key, pool: Pool, timer: threading.Timer) -> None:
        self.key, self.pool, self.timer = key, pool, timer


class _Idle:
    """The pool that waits for the next call; any thread may use it."""

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """In a forked child: the pool is not its own, and nobody has the lock."""
        self._lock = threading.Lock()
        self._waiting: _Waiting | None = None

    def take(self, key: Key) -> Pool | None:
        """The pool, if one waits that is like that."""
        with self._lock:
            waiting = self._waiting
            if waiting is None or waiting.key != key:
                return None
            self._waiting = None
        waiting.timer.cancel()
        return waiting.pool

    def put(self, key: Key, pool: Pool, seconds: float) -> None:
        """Let a pool wait, and end the one that has waited."""
        timer = threading.Timer(seconds, self._expire, (pool,))
        timer.daemon = True
        self._replace(_Waiting(key, pool, timer))
        timer.start()

    def clear(self) -> None:
        """End the one that waits."""
        self._replace(None)

    def _replace(self, waiting: _Waiting | None) -> None:
        with self._lock:
            before, self._waiting = self._waiting, waiting
        if before is not None:
            before.timer.cancel()
            before.pool.terminate()

    def _expire(self, pool: Pool) -> None:
        with self._lock:
            if self._waiting is None or self._waiting.pool is not pool:
                return
            self._waiting = None
        pool.terminate()


_idle = _Idle()
after_fork(_idle.forked)
atexit.register(_idle.clear)


class _Job:
    """A batch that is under way, and what came of it."""

    __slots__ = ("_callback", "_error", "_value")

    def __init__(self, callback: Callable[[_Job], object] | None) -> None:
        self._callback = callback
        self._error: BaseException | None = None
        self._value: Any = None

    def succeeded(self, value: Any) -> None:
        """Keep the value, and tell joblib."""
        self._value = value
        self._tell()

    def failed(self, error: BaseException) -> None:
        """Keep the error, and tell joblib."""
        self._error = error
        self._tell()

    def _tell(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(self)

    def result(self) -> Any:
        """The value.

        Raises:
            TerminatedWorkerError: the worker died, or none could begin; the cause says
                how.
            Exception: what the batch raised.
        """
        if isinstance(self._error, (WorkerDiedError, BrokenPoolError)):
            raise TerminatedWorkerError(str(self._error)) from self._error
        if self._error is not None:
            raise self._error
        return self._value


class _Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """What joblib calls; see its documentation of custom backends.

    Its parameters are those of joblib's default backend: ``max_nbytes``, ``mmap_mode``,
    ``inner_max_num_threads``, ``idle_worker_timeout``, ``initializer``, ``initargs``.
    ``temp_folder`` is of no meaning, as no file is made.
    """

    supports_inner_max_num_threads = True
    supports_retrieve_callback = True

    _pool: Pool | None = None
    _key: Key | None = None
    _options: Mapping[str, Any] = {}
    _buffers: Buffers | None = None
    _idle_seconds = _IDLE_SECONDS

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers *n_jobs* means.

        Raises:
            ValueError: it is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs is 0: give the number of workers, or -1 for all")
        if n_jobs is None:
            return 1
        if self.nesting_level != 0 and not self.in_main_thread():
            if n_jobs != 1:
                warnings.warn(
                    "a parallel call below threads of another one has one worker",
                    stacklevel=3,
                )
            return 1
        if n_jobs < 0:
            return max(int(joblib.cpu_count()) + 1 + n_jobs, 1)
        return n_jobs

    def configure(
        self,
        n_jobs: int | None = 1,
        parallel: Any = None,
        prefer: object = None,
        require: object = None,
        **options: Any,
    ) -> int:
        """Have workers for a call; how many they are."""
        count = self.effective_n_jobs(n_jobs)
        if count == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        options = {**self.backend_kwargs, **options}
        if "timeout" in options:
            raise ValueError("idle_worker_timeout is how long workers wait")
        idle = options.get("idle_worker_timeout")
        self._idle_seconds = _IDLE_SECONDS if idle is None else idle
        environ = self._prepare_worker_env(n_jobs=count)
        initializer = options.get("initializer")
        initargs = tuple(options.get("initargs") or ())
        # One with an initializer is for one call, or what is within one `with`: what
        # initializers do cannot be undone, and their arguments may not be comparable.
        self._key = None
        if initializer is None:
            self._key = count, tuple(sorted(environ.items()))
        self._pool = None if self._key is None else _idle.take(self._key)
        if self._pool is None:
            self._pool = Pool(
                count,
                begin,
                (environ, by_value(initializer), by_value(initargs)),
                context=FreshContext(),
            )
        self._buffers = _buffers(options)
        self._options = options
        self.parallel = parallel
        return count

    def submit(
        self, func: Callable[[], Any], callback: Callable[[_Job], object] | None = None
    ) -> _Job:
        """Have a batch run; what goes wrong is told to *callback* as well."""
        job = _Job(callback)
        try:
            if self._pool is None:
                raise RuntimeError("the call that this batch is of was aborted")
            self._pool.apply_async(
                work,
                (by_value(func, self._buffers),),
                callback=job.succeeded,
                error_callback=job.failed,
            )
        except Exception as error:
            # Most batches are submitted by callbacks, where nobody could catch it, and
            # joblib would wait for ever.  It expects to be called by another thread.
            threading.Thread(target=job.failed, args=(error,), daemon=True).start()
        return job

    def retrieve_result_callback(self, out: _Job) -> Any:
        """What came of a batch; see `_Job.result`."""
        return out.result()

    def terminate(self) -> None:
        """A call is over: its workers wait for the next."""
        pool, self._pool = self._pool, None
        self._forget_buffers()
        if pool is not None:
            if self._key is None:
                pool.terminate()
            else:
                _idle.put(self._key, pool, self._idle_seconds)
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End what runs, and the workers with it."""
        pool, self._pool = self._pool, None
        self._forget_buffers()
        if pool is not None:
            pool.terminate()
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel, **self._options)

    def _forget_buffers(self) -> None:
        if self._buffers is not None:
            self._buffers.clear()


def _buffers(options: dict[str, Any]) -> Buffers | None:
    least = options.get("max_nbytes", "1M")
    mode = options.get("mmap_mode", "r")
    if isinstance(least, str):
        least = joblib.disk.memstr_to_bytes(least)
    return None if least is None or mode is None else Buffers(least, mode)
