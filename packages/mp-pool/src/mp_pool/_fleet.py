"""All workers of a pool: starting and ending them, and who holds which just now.

`Desk.claims` says who may read and write a worker's channel.  Only the I/O thread
changes what is here.
"""

from __future__ import annotations

from time import monotonic

from mp_pool._lane import Lane
from mp_pool._platform import Poller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mp_pool._desk import Call, Desk
    from mp_pool._terms import Setup
    from mp_process.process import BaseProcess

#: What the names of workers begin with, by start method.
_PREFIXES = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}

#: How long workers may take to end by SIGTERM.
GRACE_SECONDS = 0.5

#: How long a worker that was forked may take to say something.  It is a copy of a
#: process with threads: one of them may have held a lock that the copy waits for.
SILENT_SECONDS = 10.0


class Fleet:
    """The workers.

    Args:
        desk: what is shared with callers.
        make: makes a process object.
        method: the start method.
        setup: what workers are told.

    Attributes:
        poller: wakes the I/O thread.
        past: of workers that are gone: tasks done, failures, nanoseconds, bytes.
        started: how many workers were started.
    """

    def __init__(
        self,
        desk: Desk,
        make: Callable[..., BaseProcess],
        method: str | None,
        setup: Setup,
    ) -> None:
        self._desk = desk
        self._make = make
        self._method = method
        self._setup = setup
        self._lanes: dict[int, Lane] = {}
        self._by_sentinel: dict[int, Lane] = {}
        self._by_channel: dict[int, Lane] = {}
        self._silent: dict[Lane, float] = {}
        self._kill_at: float | None = None
        self._stopping: dict[Lane, float] = {}
        self.past = (0, 0, 0, 0)
        self.started = 0
        #: Workers that ended while a caller had them.
        self.unburied: list[Lane] = []
        self.poller = Poller()

    def __getitem__(self, number: int) -> Lane:
        return self._lanes[number]

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        """The workers, as they are now."""
        return iter(list(self._lanes.values()))

    def __contains__(self, lane: Lane) -> bool:
        return self._lanes.get(lane.number) is lane

    def by_channel(self, fd: int) -> Lane | None:
        """The worker whose channel this is."""
        return self._by_channel.get(fd)

    def by_sentinel(self, fd: int) -> Lane | None:
        """The worker whose sentinel this is."""
        return self._by_sentinel.get(fd)

    # ------------------------------------------------------------ coming and going

    def launch(self, number: int) -> None:
        """Start a worker.

        Raises:
            Exception: whatever starting a process can raise; it is not here then.
        """
        lane = Lane(number)
        self.started += 1
        # Before the start: a forked worker closes what is known here.
        self._lanes[number] = lane
        self._desk.claims[lane] = self._desk
        prefix = _PREFIXES.get(self._method or "", "")
        name = f"{prefix}PoolWorker-{number}"
        try:
            lane.launch(self._make, name, self._setup.of_worker(number))
            self._by_sentinel[lane.sentinel] = lane
            self._by_channel[lane.channel.fileno()] = lane
            self.poller.watch(lane.sentinel, Poller.READ)
            self.listen(lane)
        except Exception:
            lane.wreck()
            self.discard(lane)
            raise

    def expect_sign(self, lane: Lane) -> None:
        """Have a worker killed that was forked just now and says nothing for long."""
        if self._method == "fork":
            self._silent[lane] = monotonic() + SILENT_SECONDS

    def has_spoken(self, lane: Lane) -> None:
        """A worker has said something."""
        self._silent.pop(lane, None)

    def has_ended(self, lane: Lane) -> bool:
        """Whether a worker, whose sentinel is readable, has ended: note it."""
        assert lane.process is not None
        if lane.process.is_alive():
            # The news is of a descriptor that had this number before, or is early.
            return False
        self.poller.watch(lane.sentinel, 0)
        del self._by_sentinel[lane.sentinel]
        lane.over = True
        return True

    def discard(self, lane: Lane) -> None:
        """Let go of a worker that has ended."""
        fd = lane.channel.fileno()
        self.poller.watch(fd, 0)
        self._by_channel.pop(fd, None)
        self._silent.pop(lane, None)
        self._stopping.pop(lane, None)
        _, *counts = lane.counts()
        counts.append(lane.traffic)
        done, failed, busy, traffic = map(sum, zip(self.past, counts, strict=True))
        del self._lanes[lane.number]
        self.past = (done, failed, busy, traffic)
        del self._desk.claims[lane]
        lane.close()

    def kill(self, lane: Lane) -> None:
        """End a worker by SIGTERM; by SIGKILL if that takes too long."""
        if self._kill_at is None:
            self._kill_at = monotonic() + GRACE_SECONDS
        lane.kill(gently=True)
        lane.cut()
        # Whoever else has it is woken by that, be it this thread on behalf of a call.
        if self._desk.claims.get(lane) is self._desk:
            self.listen(lane)

    def end_task(self, lane: Lane) -> None:
        """End one worker, and with it its task: by SIGTERM, or SIGKILL later."""
        self._stopping[lane] = monotonic() + GRACE_SECONDS
        lane.kill(gently=True)

    def due(self, now: float) -> float | None:
        """Kill whose time has come; when to look again."""
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            for lane in self:
                lane.kill(gently=False)
        for lane, at in list(self._silent.items()):
            if now >= at:
                del self._silent[lane]
                lane.silent = True
                lane.kill(gently=False)
        for lane, at in list(self._stopping.items()):
            if now >= at:
                del self._stopping[lane]
                lane.kill(gently=False)
        times = [*self._silent.values(), *self._stopping.values()]
        if self._kill_at is not None:
            times.append(self._kill_at)
        return min(times, default=None)

    def wreck(self) -> None:
        """End all workers, in whatever state they are, and close everything."""
        for lane in self:
            lane.kill(gently=False)
            lane.cut()
        for lane in self:
            lane.wreck()
            lane.close()
        self._lanes.clear()
        self.poller.close()

    def close_in_child(self) -> None:
        """In a forked child: close what is the parent's."""
        for lane in self:
            lane.close_in_child()
        self.poller.close()

    # ------------------------------------------------------------- who holds which

    def listen(self, lane: Lane) -> None:
        """Have the I/O thread woken by what a worker sends, from now on."""
        # One that was cut off would wake it again and again.
        over = lane.over or lane.shut
        self.poller.watch(lane.channel.fileno(), 0 if over else Poller.READ)

    def lend(self, numbers: Iterable[int]) -> None:
        """Offer idle workers to callers."""
        desk = self._desk
        for number in numbers:
            lane = self._lanes[number]
            self.poller.watch(lane.channel.fileno(), 0)
            del desk.claims[lane]
            desk.idle.append(lane)

    def recall(self, number: int) -> bool:
        """Take a lent worker back, unless a caller has it just now."""
        desk, lane = self._desk, self._lanes[number]
        if desk.claims.setdefault(lane, desk) is not desk:
            return False
        try:
            desk.idle.remove(lane)
        except ValueError:
            pass  # a caller has it in hand, and will find it claimed
        self.listen(lane)
        return True

    def take_from(self, call: Call) -> Lane | None:
        """Take the worker that a call has; None if it has none."""
        desk = self._desk
        for lane, owner in list(desk.claims.items()):
            if owner is call:
                desk.claims[lane] = desk
                if lane in self:
                    self.listen(lane)
                    return lane
                del desk.claims[lane]  # it was gone before the caller got it
        return None

    def find_lost(self, lent: Iterable[int]) -> None:
        """Offer workers again that an interrupted caller held in its hands."""
        desk = self._desk
        for number in lent:
            lane = self._lanes[number]
            if lane not in desk.claims and lane not in desk.idle:
                # Should it be in another caller's hands just now, it is offered
                # twice: whoever comes second finds it claimed.
                desk.idle.append(lane)
