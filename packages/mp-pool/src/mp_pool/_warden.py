"""Ends tasks that take too long, or whose worker takes too much memory."""

from __future__ import annotations

from time import monotonic

from mp_pool._platform import resident_bytes
from mp_pool._result import Failure
from mp_pool.errors import MemoryLimitError, TaskTimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mp_pool._fleet import Fleet
    from mp_pool._jobs import Chunk
    from mp_pool._lane import Lane
    from mp_pool._scheduler import Scheduler
    from mp_pool.errors import ProcessError

#: How often the memory of workers that are busy is looked at.
MEMORY_SECONDS = 0.05


def earliest(*times: float | None) -> float | None:
    """The first of some times, of which any may not be set."""
    return min((time for time in times if time is not None), default=None)


class Warden:
    """Part of the I/O thread: watches tasks that run.

    Args:
        fleet: the workers.
        scheduler: knows what they hold.
        max_rss: bytes of memory that a worker may use; None for any number.

    Attributes:
        take_back: takes back what a worker is to receive next; whether it could.
    """

    __slots__ = (
        "_fleet",
        "_look_at",
        "_max_rss",
        "_scheduler",
        "_timed",
        "take_back",
    )

    def __init__(
        self, fleet: Fleet, scheduler: Scheduler[Chunk], max_rss: int | None
    ) -> None:
        self._fleet = fleet
        self._scheduler = scheduler
        self._max_rss = max_rss
        self._timed: dict[Lane, tuple[Chunk, float]] = {}
        self._look_at: float | None = None
        self.take_back: Callable[[int], bool]

    @property
    def looks_at_memory(self) -> bool:
        """How much of it a worker uses matters."""
        return self._max_rss is not None

    def watch(self, lane: Lane, chunk: Chunk) -> None:
        """A chunk with a time limit was sent to a worker that had nothing else."""
        self._timed[lane] = chunk, monotonic()

    def due(self, now: float) -> float | None:
        """End what has to be ended; when to look again."""
        times = [self._check(*item, now) for item in list(self._timed.items())]
        if self._max_rss is not None:
            times.append(self._check_memory(self._max_rss, now))
        return earliest(*times)

    def _check(
        self, lane: Lane, watched: tuple[Chunk, float], now: float
    ) -> float | None:
        chunk, sent = watched
        timeout = chunk.job.terms.timeout
        over = lane not in self._fleet or self._oldest(lane) is not chunk
        if over or timeout is None:
            del self._timed[lane]
            return None
        # First the task, then its time: should another have begun in between, then the
        # time is too late and not too early.
        index = lane.begun(chunk)
        at = timeout + (sent if index is None else lane.task_began)
        if now < at:
            return at
        del self._timed[lane]
        task = chunk.first + (chunk.done if index is None else index)
        number = None if chunk.job.single else task
        text = f"{chunk.job.describe(task)} took longer than {timeout} seconds"
        self.end(lane, chunk, TaskTimeoutError(text, chunk.job.name, number))
        return None

    def _check_memory(self, most: int, now: float) -> float | None:
        """Look at the memory of busy workers, now and then."""
        busy = [lane for lane in self._fleet if self._oldest(lane) is not None]
        if not busy:
            self._look_at = None
            return None
        if self._look_at is not None and now < self._look_at:
            return self._look_at
        for lane in busy:
            assert lane.process is not None
            used = resident_bytes(lane.process.pid or 0)
            chunk = self._oldest(lane)
            if used > most and chunk is not None and chunk.verdict is None:
                index = lane.begun(chunk)
                task = chunk.first + (chunk.done if index is None else index)
                number = None if chunk.job.single else task
                text = (
                    f"the worker of {chunk.job.describe(task)} used {used} bytes of"
                    f" memory, and {most} are allowed"
                )
                error = MemoryLimitError(text, chunk.job.name, number)
                self.end(lane, chunk, error)
        self._look_at = now + MEMORY_SECONDS
        return self._look_at

    def end(self, lane: Lane, chunk: Chunk, error: ProcessError) -> bool:
        """End the task that a worker runs, and the worker with it.

        Args:
            lane: the worker.
            chunk: what it runs.
            error: what becomes of the task, unless it ends by itself just now.

        Returns:
            False if the worker has received another chunk as well, which may be what
            it runs already: it is spared for now.
        """
        number = lane.number
        held = self._scheduler.workers[number].held
        self._scheduler.condemn(number)
        while len(held) > 1 and self.take_back(number):
            pass
        if len(held) != 1 or held[0] is not chunk:
            self._scheduler.condemn(number, False)
            return False
        chunk.verdict = Failure(error)
        self._fleet.end_task(lane)
        return True

    def _oldest(self, lane: Lane) -> Chunk | None:
        return self._scheduler.oldest(lane.number)
