"""What carries out the calls of a pool: processes or threads."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from threading import Thread
    from typing import Any, Protocol

    from mp_pool._callbacks import Callback, ErrorCallback
    from mp_pool._imap import IMapIterator
    from mp_pool._result import AsyncResult
    from mp_pool._terms import Terms
    from mp_pool.stats import PoolStats
    from mp_process.process import BaseProcess

    class Backend(Protocol):
        """Callers' side of a pool; `keep` is the pool, for those who need it alive."""

        @property
        def size(self) -> int:
            """How many workers there are."""

        @property
        def state(self) -> str:
            """As it is shown."""

        @property
        def open(self) -> bool:
            """Calls are accepted."""

        @property
        def finished(self) -> bool:
            """Nothing is left to be ended."""

        @property
        def workers(self) -> Sequence[BaseProcess | Thread]:
            """The workers, as they are now."""

        def stats(self) -> PoolStats:
            """What is done and has been."""

        def check_running(self) -> None:
            """Raise what a call has to raise where none is accepted."""

        def close(self) -> None:
            """Accept no more calls, and end when all is done."""

        def terminate(self) -> None:
            """End at once."""

        def drop(self) -> None:
            """End at once, without waiting."""

        def join(self) -> None:
            """Wait for the end."""

        def apply(
            self,
            func: Callable[..., Any],
            args: tuple[Any, ...],
            kwds: dict[str, Any],
            keep: object,
            terms: Terms,
        ) -> Any:
            """Carry a call through."""

        def call(
            self,
            result: AsyncResult[Any],
            func: Callable[..., Any],
            args: tuple[Any, ...],
            kwds: dict[str, Any],
            callback: Callback[Any],
            error_callback: ErrorCallback,
            terms: Terms,
        ) -> None:
            """Have a call carried out."""

        def cancel(self, result: AsyncResult[Any], running: bool) -> None:
            """Have a call not run, or ended if it runs."""

        def map(
            self,
            result: AsyncResult[Any],
            style: int,
            func: Callable[..., Any],
            items: Sequence[Any],
            size: int,
            terms: Terms,
            callback: Callback[Any] = None,
            error_callback: ErrorCallback = None,
            wait: bool = False,
        ) -> None:
            """Have a function called with each of many items."""

        def imap(
            self,
            func: Callable[..., Any],
            items: Iterable[Any],
            ordered: bool,
            size: int,
            buffersize: int | None,
            keep: object,
            terms: Terms,
        ) -> IMapIterator[Any]:
            """Have a function called with each of many items, read little by little."""
