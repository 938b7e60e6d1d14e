"""Managers and their proxies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

assert sys.platform == "linux"

from bench.harness import Body, Row, Timed, add_row, each, row, together
from bench.implementations import Implementation
from bench.targets import use_dict

if TYPE_CHECKING:
    from multiprocessing.managers import SyncManager

AREA = "managers"


def _life(method: str) -> Body:
    def body(implementation: Implementation) -> Iterator[Timed]:
        context = implementation.context(method)
        yield each(lambda: context.Manager().shutdown())

    return body


for method in ("fork", "spawn"):
    add_row(Row(AREA, f"start_shutdown_{method}", _life(method)))


def _add(
    name: str,
    prepare: Callable[[SyncManager], Callable[[], object]],
    cpus: int | None = 1,
) -> None:
    """Add a row of one call, client and server on one CPU or on all."""

    def body(implementation: Implementation) -> Iterator[Timed]:
        with implementation.context().Manager() as manager:
            yield each(prepare(manager))

    add_row(Row(AREA, name, body, cpus=cpus))


def _dict_get(manager: SyncManager) -> Callable[[], object]:
    proxy = manager.dict({"a": 1})
    return lambda: proxy["a"]


def _dict_set(manager: SyncManager) -> Callable[[], object]:
    proxy: dict[str, int] = manager.dict()  # type: ignore[assignment]  # as good
    return lambda: proxy.__setitem__("a", 1)


def _list_append(manager: SyncManager) -> Callable[[], object]:
    proxy = manager.list([0])
    return lambda: proxy.append(1)


def _namespace(manager: SyncManager) -> Callable[[], object]:
    proxy = manager.Namespace()
    proxy.x = 1
    return lambda: proxy.x


def _lock(manager: SyncManager) -> Callable[[], object]:
    proxy = manager.Lock()

    def both() -> None:
        proxy.acquire()
        proxy.release()

    return both


def _queue(manager: SyncManager) -> Callable[[], object]:
    proxy = manager.Queue()

    def both() -> None:
        proxy.put(1)
        proxy.get()

    return both


def _big(manager: SyncManager) -> Callable[[], object]:
    proxy = manager.dict({"a": list(range(1000))})
    return lambda: proxy["a"]


_add("dict_get", _dict_get)
_add("dict_get_2_cpus", _dict_get, None)
_add("dict_set", _dict_set)
_add("list_append", _list_append)
_add("namespace_get", _namespace)
_add("proxy_lock", _lock)
_add("proxy_queue", _queue)
_add("dict_get_1000_ints", _big)
_add("create_list", lambda manager: manager.list)


@row(AREA)
def dict_4_clients(implementation: Implementation) -> Iterator[Timed]:
    """Four processes, each a get and a set; the time is that of one pair of each."""
    context = implementation.context()
    with context.Manager() as manager:
        proxy = manager.dict({"k": 1})
        yield lambda loops: together(context, [(use_dict, (proxy, loops))] * 4)
