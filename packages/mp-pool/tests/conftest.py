"""Pools for tests: made by each start method, and gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest

from mp_connection import noting
from mp_pool import Pool
from mp_process import get_context
from mp_testing import BACKENDS, StartMethod, use_backend

MakePool = Callable[..., Pool]


NATIVE = noting.native


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What notes tasks: the extension, or Python; in workers as well."""
    chosen: str = request.param
    use_backend(chosen, NATIVE, [noting], monkeypatch)
    return chosen


@pytest.fixture
def make_pool(start_method: StartMethod) -> Iterator[MakePool]:
    """Makes pools, and ends them."""
    pools = []

    def make(processes: int | None = 2, *args: Any, **keywords: Any) -> Pool:
        context = get_context(start_method)
        pool = Pool(processes, *args, context=context, **keywords)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        pool.terminate()
        pool.join()


@pytest.fixture
def pool(make_pool: MakePool) -> Pool:
    """A pool of two workers."""
    return make_pool(2)


@pytest.fixture(scope="module", params=get_args(StartMethod))
def shared_pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool of two workers for tests that leave it as it is: no worker may die.

    Starting workers is what takes a test of a pool its time.
    """
    pool = Pool(2, context=get_context(request.param))
    pool.map(abs, range(10), 1)
    yield pool
    pool.terminate()
    pool.join()
