"""What tests have to know of the inside of a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mp_pool import Pool
from mp_pool._client import Client
from mp_pool._desk import Desk
from mp_pool._manager import Manager


def client_of(pool: Pool) -> Client:
    assert isinstance(pool._backend, Client)
    return pool._backend


def desk_of(pool: Pool) -> Desk:
    return client_of(pool)._desk


def manager_of(pool: Pool) -> Manager:
    return client_of(pool)._manager


class Closing:
    """An iterable of 1, 2 and 3 that closes a pool when it is iterated over."""

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close

    def __iter__(self) -> Iterator[int]:
        self._close()
        return iter([1, 2, 3])
