"""What a scheduler wants done."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Generic, Self, TypeVar

    ChunkT = TypeVar("ChunkT", bound="Unit")
else:
    from mp_connection.lean import Generic

    ChunkT = None


class Unit:
    """What the scheduler has to know of a chunk.

    Attributes:
        deaths: workers that died holding it as their oldest, before it had begun.
        small: it can be taken back after it was sent.
        turn: its place in the order of submission.
        unwanted: it was cancelled: it is not sent, and not sent again.
        divisible: it can be split, and what of it has not begun comes back.
    """

    divisible: ClassVar[bool] = False

    __slots__ = ("deaths", "small", "turn", "unwanted")

    def __init__(self, small: bool = True) -> None:
        self.deaths = 0
        self.turn = 0
        self.small = small
        self.unwanted = False

    @property
    def tasks(self) -> int:
        """How many tasks of it are to be run; it matters if it is divisible."""
        return 1

    def split(self, tasks: int) -> Self:
        """Make a unit of its first tasks, so many, and keep the rest."""
        raise NotImplementedError


class Action:
    """Something that has to be done about a worker.

    Args:
        worker: its number.
    """

    __slots__ = ("worker",)

    def __init__(self, worker: int) -> None:
        self.worker = worker

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.worker})"


class Start(Action):
    """Start the worker."""

    __slots__ = ()


class Stop(Action):
    """Let the worker end when it has read all that was sent to it."""

    __slots__ = ()


class Drop(Action):
    """End the worker, which has not got ready yet, and need not do so any more."""

    __slots__ = ()


class Kill(Action):
    """End the worker at once."""

    __slots__ = ()


class TakeBack(Action):
    """Take a chunk back that the worker has not received: `taken_back`, if there is."""

    __slots__ = ()


class TakeBackWaiting(Action):
    """Take all chunks back that wait behind one that the worker has received.

    None if it has not received its oldest: taking that would change the order.
    """

    __slots__ = ()


class ChunkAction(Action, Generic[ChunkT]):
    """Something that has to be done about a chunk.

    Args:
        worker: the worker concerned; -1 if none is.
        chunk: the chunk.
    """

    __slots__ = ("chunk",)

    def __init__(self, worker: int, chunk: ChunkT) -> None:
        self.worker = worker
        self.chunk = chunk


class Send(ChunkAction[ChunkT]):
    """Send the chunk to the worker."""

    __slots__ = ()


class Fail(ChunkAction[ChunkT]):
    """The worker, which has died, took the chunk with it."""

    __slots__ = ()


class Cancel(ChunkAction[ChunkT]):
    """The chunk will not be run, because the pool runs nothing any more."""

    __slots__ = ()
