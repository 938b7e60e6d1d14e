"""What tests have to know of the inside of a pool."""

from __future__ import annotations

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
