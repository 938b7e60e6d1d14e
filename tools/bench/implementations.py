"""Who takes part, and how to reach it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, cast

assert sys.platform == "linux"

from bench import peers

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext

#: What a row may need.
API, POOL = "api", "pool"
REFERENCE, CONTROL, OURS = "stdlib", "control", "ours"


class Unsupported(Exception):
    """This implementation cannot do that."""


@dataclass(frozen=True)
class Implementation:
    """One that is measured.

    Args:
        name: as in the tables.
        module: has the API of `multiprocessing`; empty for a peer with a pool alone.
    """

    name: str
    module: str = ""

    @property
    def kinds(self) -> frozenset[str]:
        """What it has."""
        return frozenset({API, POOL} if self.module else {POOL})

    def context(self, method: str = "fork") -> ForkContext:
        """Its context of that start method; typed as one of them, as they are alike."""
        return cast("ForkContext", import_module(self.module).get_context(method))

    def part(self, name: str) -> ModuleType:
        """A submodule, such as `connection`."""
        try:
            return import_module(f"{self.module}.{name}")
        except ModuleNotFoundError as error:
            raise Unsupported(str(error)) from None

    def pool(self, method: str, workers: int) -> peers.PoolLike:
        """A pool under that start method, or any for a method of ``""``."""
        if self.module:
            pool = self.context(method or "fork").Pool(workers)
            return peers.StandardPool(pool)
        try:
            return peers.PEERS[self.name](method, workers)
        except NotImplementedError as error:
            raise Unsupported(str(error)) from None


KNOWN = {
    implementation.name: implementation
    for implementation in (
        Implementation(REFERENCE, "multiprocessing"),
        # The same again: what it differs from 1 is noise.
        Implementation(CONTROL, "multiprocessing"),
        Implementation(OURS, "mp_multiprocessing"),
        Implementation("billiard", "billiard"),
        *(Implementation(name) for name in peers.PEERS),
    )
}
