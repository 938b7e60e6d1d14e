"""What a worker has for itself: its number, its state, its CPUs."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mp_pool._terms import Setup


class WorkerState:
    """What a worker keeps from one task to the next; see `worker_state`.

    Any attribute may be set.

    Attributes:
        number: of the worker; a replacement has a new one.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: object) -> None: ...

    def __init__(self, number: int) -> None:
        self.number: int = number


WorkerState.__module__ = "mp_pool"

_state: WorkerState | None = None


def worker_state() -> WorkerState:
    """The state of this worker: the initializer, tasks and the finalizer share it.

    Raises:
        RuntimeError: this process is no worker of a pool.
    """
    if _state is None:
        raise RuntimeError("only a worker process of a pool has a state")
    return _state


def begin_worker(setup: Setup) -> None:
    """Do what is to be done before the first task.

    Raises:
        Exception: whatever the initializer raises.
        OSError: there are no such CPUs.
    """
    global _state
    _state = WorkerState(setup.number)
    if setup.cpus and sys.platform == "linux":
        cpus = setup.cpus[(setup.number - 1) % len(setup.cpus)]
        os.sched_setaffinity(0, cpus)
    if setup.initializer is not None:
        setup.initializer(*setup.initargs)


def end_worker(setup: Setup) -> None:
    """Do what is to be done after the last task."""
    if setup.finalizer is not None:
        setup.finalizer()
