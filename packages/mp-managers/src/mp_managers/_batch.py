"""Many calls in one round trip."""

from __future__ import annotations

from mp_managers._protocol import BATCH, PROXY, RETURN
from mp_managers._session import Announced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

    from mp_managers._proxy import BaseProxy

#: Calls that one message carries.
_MOST = 1000


class Later:
    """The result of a call of a batch, once that is through."""

    __slots__ = ("_proxy", "_reply")

    def __init__(self, proxy: BaseProxy) -> None:
        self._proxy = proxy
        self._reply: Any = None

    @property
    def done(self) -> bool:
        """Whether the call has been made."""
        return self._reply is not None

    def result(self) -> Any:
        """What the call has returned.

        Raises:
            ValueError: it has not been made yet.
            Exception: what it has raised.
        """
        if self._reply is None:
            raise ValueError("the batch has not been sent yet")
        kind, value = self._reply
        if kind == RETURN:
            return value
        if kind == PROXY:
            if not isinstance(value, Announced):
                value = self._proxy._introduce(Announced(*value))
                self._reply = RETURN, value
            return value
        return self._proxy._session.translate([value, kind])


class Batch:
    """Calls of methods of one proxy, which are made together when the block ends.

    Methods are called on it by their names, operators included, and return a `Later`::

        with proxy.batch() as batch:
            first = batch.pop()
            batch.append(1)
        print(first.result())

    They are called one after the other, also after one that has raised.  Nobody else's
    calls are kept from coming in between.
    """

    def __init__(self, proxy: BaseProxy) -> None:
        self._proxy = proxy
        self._calls: list[tuple[Any, str, tuple[Any, ...], dict[str, Any]]] = []
        self._results: list[Later] = []

    def call(self, methodname: str, /, *args: object, **kwds: object) -> Later:
        """Have a method called."""
        later = Later(self._proxy)
        self._calls.append((self._proxy._id, methodname, args, kwds))
        self._results.append(later)
        if len(self._calls) >= _MOST:
            self.send()
        return later

    def send(self) -> None:
        """Make the calls that there are so far.

        Raises:
            ManagerDiedError: the manager is gone; any of them may have been made.
        """
        calls, self._calls = self._calls, []
        results, self._results = self._results, []
        if not calls:
            return
        session = self._proxy._session
        link = (
            session.local.link if hasattr(session.local, "link") else session.my_link()
        )
        if session.standard or getattr(session, "entry", None) is not None:
            replies = [_one_by_one(self._proxy, call) for call in calls]
        else:
            replies = link.call(None, BATCH, (calls,), {})
        for later, reply in zip(results, replies, strict=True):
            later._reply = reply

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Make the calls, also those before an exception, and raise the first error."""
        results = self._results
        self.send()
        if error is None:
            for later in results:
                later.result()

    def __getattr__(self, name: str) -> Callable[..., Later]:
        if name[:1] == "_":
            raise AttributeError(name)

        def method(*args: object, **kwds: object) -> Later:
            return self.call(name, *args, **kwds)

        return method

    def __getitem__(self, key: object) -> Later:
        return self.call("__getitem__", key)

    def __setitem__(self, key: object, value: object) -> None:
        self.call("__setitem__", key, value)

    def __delitem__(self, key: object) -> None:
        self.call("__delitem__", key)


def _one_by_one(
    proxy: BaseProxy, call: tuple[Any, str, tuple[Any, ...], dict[str, Any]]
) -> tuple[str, Any]:
    """A call to a server that has no batches."""
    try:
        return RETURN, proxy._callmethod(*call[1:])
    except Exception as error:
        return "#ERROR", error


Batch.__module__ = Later.__module__ = "mp_managers"
