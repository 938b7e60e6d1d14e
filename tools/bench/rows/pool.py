"""Pools of two workers; for peers too that have nothing else."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

assert sys.platform == "linux"

from bench.harness import Body, MiB, Row, Timed, add_row, each, row
from bench.implementations import POOL, Implementation
from bench.peers import PoolLike
from bench.targets import add, length, nothing, now, same, zeros

AREA = "pool"
exhaust = partial(deque[object], maxlen=0)


def _life(method: str) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        def life() -> None:
            pool = implementation.pool(method, 2)
            pool.apply(nothing)
            pool.close()

        life()
        yield each(life)

    return body


for method in ("fork", "spawn", "forkserver"):
    add_row(Row(AREA, f"pool_life_{method}", _life(method), needs=POOL))


def _add(name: str, use: Callable[[PoolLike, int], object]) -> None:
    """Add a row of so many tasks through a pool that has worked already."""

    def body(implementation: Implementation) -> Iterator[Timed]:
        pool = implementation.pool("", 2)
        pool.map(same, range(100), 1)

        def timed(loops: int) -> float:
            begin = now()
            use(pool, loops)
            return now() - begin

        yield timed
        pool.close()

    add_row(Row(AREA, name, body, needs=POOL))


def _apply(pool: PoolLike, n: int) -> None:
    for _ in range(n):
        pool.apply(same, 1)


_add("apply", _apply)
_add("apply_async", lambda pool, n: pool.apply_many(same, range(n)))
_add("map", lambda pool, n: pool.map(same, list(range(n)), None))
_add("map_range", lambda pool, n: pool.map(same, range(n), None))
_add("map_by_one", lambda pool, n: pool.map(same, range(n), 1))
_add("starmap", lambda pool, n: pool.starmap(add, [(1, 2)] * n))
_add("imap", lambda pool, n: exhaust(pool.imap(same, range(n))))
_add("imap_unordered", lambda pool, n: exhaust(pool.unordered(same, range(n))))
_add("map_return_1MiB", lambda pool, n: pool.map(zeros, [MiB // 8] * n, 1))


@row(AREA, needs=POOL)
def map_over_1MiB(implementation: Implementation) -> Iterator[Timed]:
    import numpy

    pool = implementation.pool("", 2)
    arrays = [numpy.full(MiB // 8, float(i)) for i in range(50)]
    pool.map(length, arrays[:4], 1)
    yield each(lambda: pool.map(length, arrays, 1))
    pool.close()
