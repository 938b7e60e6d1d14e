"""Pools of other libraries behind one face."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

assert sys.platform == "linux"

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from multiprocessing.pool import Pool

Task = Callable[..., Any]


class PoolLike(Protocol):
    """What the rows of pools do."""

    def apply(self, task: Task, *args: object) -> object: ...
    def apply_many(self, task: Task, items: Sequence[object]) -> None: ...
    def map(self, task: Task, items: Sequence[object], chunk: int | None) -> object: ...
    def imap(self, task: Task, items: Sequence[object]) -> Iterable[object]: ...
    def unordered(self, task: Task, items: Sequence[object]) -> Iterable[object]: ...
    def starmap(self, task: Task, items: Sequence[tuple[object, ...]]) -> object: ...
    def close(self) -> None: ...


class StandardPool:
    """A pool with the interface of `multiprocessing.Pool`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def apply(self, task: Task, *args: object) -> object:
        return self._pool.apply(task, args)

    def apply_many(self, task: Task, items: Sequence[object]) -> None:
        results = [self._pool.apply_async(task, (item,)) for item in items]
        for result in results:
            result.get()

    def map(self, task: Task, items: Sequence[object], chunk: int | None) -> object:
        return self._pool.map(task, items, chunk)

    def imap(self, task: Task, items: Sequence[object]) -> Iterable[object]:
        return self._pool.imap(task, items)

    def unordered(self, task: Task, items: Sequence[object]) -> Iterable[object]:
        return self._pool.imap_unordered(task, items)

    def starmap(self, task: Task, items: Sequence[tuple[object, ...]]) -> object:
        return self._pool.starmap(task, items)

    def close(self) -> None:
        self._pool.close()
        self._pool.join()


def _even(items: Sequence[object]) -> int:
    """The size of chunks that a pool of two would choose."""
    return -(-len(items) // 8)


class ExecutorPool:
    """An executor with futures."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def apply(self, task: Task, *args: object) -> object:
        return self._executor.submit(task, *args).result()

    def apply_many(self, task: Task, items: Sequence[object]) -> None:
        for future in [self._executor.submit(task, item) for item in items]:
            future.result()

    def map(self, task: Task, items: Sequence[object], chunk: int | None) -> object:
        return list(self._executor.map(task, items, chunksize=chunk or _even(items)))

    def imap(self, task: Task, items: Sequence[object]) -> Iterable[object]:
        return self._executor.map(task, items)

    def unordered(self, task: Task, items: Sequence[object]) -> Iterator[object]:
        from concurrent.futures import as_completed

        for future in as_completed([self._executor.submit(task, x) for x in items]):
            yield future.result()

    def starmap(self, task: Task, items: Sequence[tuple[object, ...]]) -> object:
        columns = zip(*items, strict=True)
        return list(self._executor.map(task, *columns, chunksize=_even(items)))

    def close(self) -> None:
        self._executor.shutdown(wait=True)


class JoblibPool:
    """`joblib.Parallel`, which has no call for a single task: its list has one."""

    def __init__(self, workers: int) -> None:
        joblib = import_module("joblib")
        self._delayed = joblib.delayed
        self._auto = joblib.Parallel(workers)
        self._single = joblib.Parallel(workers, batch_size=1)
        stream = {"batch_size": 1, "return_as": "generator"}
        self._stream = joblib.Parallel(workers, **stream)
        stream["return_as"] = "generator_unordered"
        self._any_order = joblib.Parallel(workers, **stream)

    def apply(self, task: Task, *args: object) -> object:
        return self._single([self._delayed(task)(*args)])[0]

    def apply_many(self, task: Task, items: Sequence[object]) -> None:
        self._auto(self._delayed(task)(item) for item in items)

    def map(self, task: Task, items: Sequence[object], chunk: int | None) -> object:
        parallel = self._single if chunk == 1 else self._auto
        return parallel(self._delayed(task)(item) for item in items)

    def imap(self, task: Task, items: Sequence[object]) -> Iterator[object]:
        yield from self._stream(self._delayed(task)(item) for item in items)

    def unordered(self, task: Task, items: Sequence[object]) -> Iterator[object]:
        yield from self._any_order(self._delayed(task)(item) for item in items)

    def starmap(self, task: Task, items: Sequence[tuple[object, ...]]) -> object:
        return self._auto(self._delayed(task)(*args) for args in items)

    def close(self) -> None:
        executor = import_module("joblib.externals.loky").get_reusable_executor()
        executor.shutdown(wait=True)


class PebblePool:
    """`pebble.ProcessPool`."""

    def __init__(self, method: str, workers: int) -> None:
        context = import_module("multiprocessing").get_context(method or "fork")
        pool = import_module("pebble").ProcessPool
        self._pool = pool(max_workers=workers, context=context)

    def apply(self, task: Task, *args: object) -> object:
        return self._pool.schedule(task, args=args).result()

    def apply_many(self, task: Task, items: Sequence[object]) -> None:
        for future in [self._pool.schedule(task, args=(item,)) for item in items]:
            future.result()

    def map(self, task: Task, items: Sequence[object], chunk: int | None) -> object:
        done = self._pool.map(task, items, chunksize=chunk or _even(items))
        return list(done.result())

    def imap(self, task: Task, items: Sequence[object]) -> Iterator[object]:
        yield from self._pool.map(task, items, chunksize=1).result()

    def unordered(self, task: Task, items: Sequence[object]) -> Iterator[object]:
        raise NotImplementedError("no map without order")

    def starmap(self, task: Task, items: Sequence[tuple[object, ...]]) -> object:
        columns = zip(*items, strict=True)
        return list(self._pool.map(task, *columns, chunksize=_even(items)).result())

    def close(self) -> None:
        self._pool.close()
        self._pool.join()


def _futures(method: str, workers: int) -> PoolLike:
    context = import_module("multiprocessing").get_context(method or "fork")
    executor = import_module("concurrent.futures").ProcessPoolExecutor
    return ExecutorPool(executor(workers, mp_context=context))


def _own_method(method: str, name: str) -> None:
    if method:
        raise NotImplementedError(f"{name} starts processes in its own way")


def _loky(method: str, workers: int) -> PoolLike:
    _own_method(method, "loky")
    return ExecutorPool(import_module("loky").ProcessPoolExecutor(workers))


def _joblib(method: str, workers: int) -> PoolLike:
    _own_method(method, "joblib")
    return JoblibPool(workers)


PEERS: dict[str, Callable[[str, int], PoolLike]] = {
    "futures": _futures,
    "joblib": _joblib,
    "loky": _loky,
    "pebble": PebblePool,
}
