"""The simple queue: a connection whose ends are shared."""

from __future__ import annotations

from mp_connection import Pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic

    from typing_extensions import TypeVar as TypeVarWithDefault

    from mp_connection import Connection

    T = TypeVarWithDefault("T", default=Any)
else:
    from mp_connection.lean import Generic

    T = None


class SimpleQueue(Generic[T]):
    """A queue without a bound and without time-outs (manual, "Pipes and queues").

    ``put`` waits while the kernel's buffer is full, and for large items until a reader
    takes them.  Any number of processes and threads may put and get.

    Args:
        ctx: taken for the sake of programs that say it.

    Raises:
        OSError: there are no descriptors left.
    """

    def __init__(self, *, ctx: object = None) -> None:
        reader: Connection[Any, T]
        writer: Connection[T, Any]
        reader, writer = Pipe(duplex=False)
        self._reader = reader
        self._writer = writer

    def put(self, obj: T) -> None:
        """Put an item in the queue.

        Raises:
            UnpicklableError: part of the object cannot be pickled.
            ChannelClosedError: the queue is closed (an OSError).
        """
        self._writer.send(obj)

    def get(self) -> T:
        """Take an item out of the queue, when there is one.

        Raises:
            ChannelClosedError: the queue is closed (an OSError).
            Exception: whatever unpickling raises; the item is gone.
        """
        return self._reader.recv()

    def empty(self) -> bool:
        """Whether there is no item now.

        Raises:
            ChannelClosedError: the queue is closed (an OSError).
        """
        return not self._reader.poll()

    def close(self) -> None:
        """Let this process put and get no more.  A second call does nothing."""
        self._reader.close()
        self._writer.close()

    def __getstate__(self) -> object:
        return self._reader, self._writer

    def __setstate__(self, state: Any) -> None:
        self._reader, self._writer = state


SimpleQueue.__module__ = "mp_sync"
