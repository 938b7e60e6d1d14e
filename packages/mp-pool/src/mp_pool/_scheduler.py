"""Who runs what: the decisions of a pool, without I/O, threads, clocks or pickles.

Events come in as method calls; what has to be done goes out as `actions`, in order.
One thread makes all calls.  Chunks are opaque here.

A worker is, as the scheduler sees it:

- *starting*, until `ready`; it gets no chunks, lest they wait for an initializer while
  other workers have nothing to do;
- *working*: it holds chunks, of which the oldest is the one that it runs;
- *idle*: it holds none;
- *lent*: idle, and offered to threads that want to lead it themselves.  Whether one of
  them does is known to nobody but the `recall` function, which takes it back;
- *stopping*: told to end, once it holds nothing;
- *ended*: its process is gone, and what it had sent is being taken in.

A worker that holds a chunk may be given more, so that it need not wait for the parent
between two.  A divisible chunk is given in parts of as many tasks as the worker does in
a short time.  Should another worker then be idle with nothing else to do, a chunk is
taken back: none waits for a long task while a worker is idle.  All of them are taken
back when their worker has not answered for a while, so that later chunks do not
overtake them on other workers; `tick` says what a while is.  A single worker keeps what
it was sent: it runs everything in order, and it might receive a chunk whose predecessor
is being taken back.
"""

from __future__ import annotations

from collections import deque

from mp_pool._actions import (
    Action,
    Cancel,
    Drop,
    Fail,
    Kill,
    Send,
    Start,
    Stop,
    TakeBack,
    TakeBackWaiting,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Generic

    from mp_pool._actions import ChunkT
else:
    from mp_connection.lean import Generic

    ChunkT = None

#: Chunks that a worker holds at most: so many may be in its socket at once.
DEPTH = 8

#: The same for divisible chunks, if its tasks are short: one runs, and one is there
#: when that is done.  Meanwhile tasks come together, for fewer and larger chunks.
SHORT_DEPTH = 2

#: Deaths before the first task, by a signal and one after the other with no worker
#: getting ready in between, after which the pool is broken.
START_DEATHS = 3

#: Workers that may die while they hold a chunk that had not begun, before the chunk is
#: taken for the reason.
CHUNK_DEATHS = 3

RUNNING, CLOSING, STOPPED = "running", "closing", "stopped"

#: What a worker that died took of its oldest chunk: nothing; all of it, or its rest; a
#: part, and the rest is to be run; a part, and that is to be run again with the rest.
UNTOUCHED, LOST, LOST_PART, RETRIED = "untouched", "lost", "lost part", "retried"


class Worker(Generic[ChunkT]):
    """What is known of one worker.

    Attributes:
        held: chunks sent to it and not answered.
        left: chunks that it may still get; None for any number.
        moved: it has answered since the last tick.
        slow: it has not for a whole tick; it holds one chunk until it does.
        condemned: it is being ended, and what it holds is the last that it gets.
        pace: tasks that it is given together.
    """

    __slots__ = (
        "condemned",
        "ended",
        "held",
        "left",
        "moved",
        "pace",
        "ready",
        "slow",
        "stopping",
    )

    def __init__(self, left: int | None) -> None:
        self.held: deque[ChunkT] = deque()
        self.left = left
        self.moved = False
        self.ready = False
        self.slow = False
        self.stopping = False
        self.ended = False
        self.condemned = False
        self.pace = 1

    @property
    def open(self) -> bool:
        """It may get chunks, as far as it is concerned."""
        closed = self.stopping or self.ended or self.condemned
        return self.ready and self.left != 0 and not closed

    @property
    def ahead(self) -> bool:
        """It holds tasks behind the one that it runs."""
        held = self.held
        return len(held) > 1 or bool(held and held[0].divisible and held[0].tasks > 1)

    def takes(self, small: bool, divisible: bool) -> bool:
        """Whether it may get a chunk now, being open."""
        held = self.held
        if not held:
            return True
        # What cannot be taken back is not sent ahead, nor anything behind it.
        if self.slow or not (small and held[0].small):
            return False
        return len(held) < (SHORT_DEPTH if divisible and self.pace > 1 else DEPTH)


class Scheduler(Generic[ChunkT]):
    """The state of a pool.

    Args:
        size: workers to keep.
        lifetime: chunks after which a worker is replaced; None for never.
        recall: takes a lent worker back; whether it could.
    """

    def __init__(
        self, size: int, lifetime: int | None, recall: Callable[[int], bool]
    ) -> None:
        self.size = size
        self.lifetime = lifetime
        self.actions: deque[Action] = deque()
        self.pending: deque[ChunkT] = deque()
        self.workers: dict[int, Worker[ChunkT]] = {}
        self.lent: set[int] = set()
        self.phase = RUNNING
        #: The pool has stopped because it cannot start workers.
        self.broken = False
        #: Some worker holds more than one chunk, or did a tick ago.
        self.sent_ahead = False
        #: Idle workers may be offered to callers.
        self.lends = lifetime is None
        #: Nothing of the user's is done in a worker before it is ready, nor at its end:
        #: one that is not ready yet when there is nothing left to do need not get so.
        self.drops = False
        self._recall = recall
        self._number = 0
        self._turn = 0
        self._start_deaths = 0
        for _ in range(size):
            self._start()

    @property
    def full(self) -> bool:
        """Whatever is submitted now has to wait for an event of a worker."""
        if self.phase == STOPPED:
            return False
        staying = False
        for worker in self.workers.values():
            if worker.open and worker.takes(small=True, divisible=True):
                return False
            staying |= not worker.stopping
        return staying  # else one is to be started

    @property
    def finished(self) -> bool:
        """Nothing is left to do and nothing more will come."""
        return self.phase != RUNNING and not self.workers and not self.pending

    # -------------------------------------------------------------------- events

    def submit(self, chunks: Iterable[ChunkT]) -> None:
        """Chunks are to be run, in this order."""
        if self.phase == STOPPED:
            for chunk in chunks:
                self.actions.append(Cancel(-1, chunk))
            return
        waiting = bool(self.pending)
        self.add(chunks)
        if not waiting:  # else nobody could take what waits already
            self._settle()

    def add(self, chunks: Iterable[ChunkT]) -> None:
        """As `submit`, and `look_again` will follow; not when the pool has stopped."""
        for chunk in chunks:
            chunk.turn = self._turn + 1
            self._turn += chunk.tasks
            self.pending.append(chunk)

    def ready(self, number: int) -> None:
        """A worker has started and can run tasks."""
        self._start_deaths = 0
        self.workers[number].ready = True
        self._settle()

    def answered(self, number: int, sent: bool = True) -> ChunkT:
        """A worker's answer arrived; the chunk that it is for.

        Args:
            number: the worker.
            sent: it was sent, and not found while the worker runs something long.
        """
        worker = self.workers[number]
        chunk = worker.held.popleft()
        if not sent:
            return chunk
        worker.moved = True
        worker.slow = False
        if self.pending and worker.open:
            self._feed(number, worker)
        else:
            self._settle()
        return chunk

    def answered_part(self, number: int) -> None:
        """An answer arrived for some tasks of a worker's oldest chunk."""
        worker = self.workers[number]
        worker.moved = True
        if worker.slow:
            worker.slow = False
            self._settle()

    def cut_off(self, rest: ChunkT) -> None:
        """A part of what a worker holds will not be begun by it."""
        self._put_back(rest)
        self._settle()

    def taken_back(self, number: int, chunk: ChunkT) -> None:
        """A chunk was taken back before its worker had received it."""
        worker = self.workers[number]
        worker.held.remove(chunk)
        self._put_back(chunk)
        if worker.left is not None:
            worker.left += 1
        self._settle()

    def lend(self) -> list[int]:
        """Idle workers, which from now on are lent."""
        if self.phase != RUNNING or self.pending or not self.lends:
            return []
        idle = [number for number in self._open(0) if number not in self.lent]
        self.lent.update(idle)
        return idle

    def returned(self, number: int, chunk: ChunkT | None) -> None:
        """A lent worker came back.

        Args:
            number: the worker.
            chunk: what its leader had sent, if the answer is still to come.
        """
        worker = self.workers[number]
        self.lent.discard(number)
        if chunk is not None:
            if self.phase == STOPPED:
                self.actions.append(Cancel(-1, chunk))
                return
            self._turn = chunk.turn = self._turn + 1
            worker.held.append(chunk)
        self._settle()

    def ended(self, number: int) -> None:
        """A worker has ended.  What it had sent is still to come, and then `died`."""
        self.workers[number].ended = True

    def died(self, number: int, loss: str, by_itself: bool) -> None:
        """A worker has ended, and all that it had sent was taken in.

        Args:
            number: the worker, which is not led by anybody.
            loss: what it took of the chunk that it was to answer next.
            by_itself: it ended with an exit code, and not by a signal.
        """
        worker = self.workers.pop(number)
        self.lent.discard(number)
        if self.phase == STOPPED:
            return
        if not worker.ready and not worker.stopping:
            self._start_deaths += 1
            if by_itself or self._start_deaths >= START_DEATHS:
                self.broken = True
                self.terminate()
                return
        held = worker.held
        if held:
            oldest = held[0]
            oldest.deaths += loss == UNTOUCHED
            if loss in (LOST, LOST_PART) or oldest.deaths >= CHUNK_DEATHS:
                self.actions.append(Fail(number, oldest))
                if loss != LOST_PART:
                    held.popleft()
        for chunk in held:
            self._put_back(chunk)
        if not worker.stopping:
            self._replace()
        self._settle()

    def not_started(self, number: int) -> None:
        """A worker could not be started at all."""
        del self.workers[number]
        if self.phase != STOPPED:
            self.broken = True
            self.terminate()

    def tick(self) -> None:
        """Some time has passed: what waits behind a slow task comes back."""
        self.sent_ahead = False
        for number, worker in self.workers.items():
            ahead = worker.ahead and not worker.ended and self.size > 1
            # Also if all of it comes back: it need not, see the action.
            self.sent_ahead |= ahead
            if not worker.moved and worker.held:
                worker.slow = True
                if ahead:
                    self.actions.append(TakeBackWaiting(number))
            worker.moved = False

    def condemn(self, number: int, condemned: bool = True) -> None:
        """A worker is being ended and gets no more chunks; or it is spared."""
        self.workers[number].condemned = condemned
        if not condemned:
            self._settle()

    def withdraw(self, chunks: Iterable[ChunkT]) -> None:
        """Some chunks are not wanted any more, wherever they are."""
        for chunk in chunks:
            chunk.unwanted = True
        self.pending = deque(chunk for chunk in self.pending if not chunk.unwanted)
        self._settle()

    def look_again(self) -> None:
        """Lent workers may have become free to be recalled."""
        self._settle()

    def oldest(self, number: int) -> ChunkT | None:
        """The chunk that a worker's next answer is for; None if it has none."""
        held = self.workers[number].held
        return held[0] if held else None

    def close(self) -> None:
        """Nothing more is to be submitted."""
        if self.phase == RUNNING:
            self.phase = CLOSING
            self._settle()

    def terminate(self) -> None:
        """Stop at once."""
        if self.phase == STOPPED:
            return
        self.phase = STOPPED
        for worker in self.workers.values():
            for chunk in worker.held:
                self.actions.append(Cancel(-1, chunk))
            worker.held.clear()
        for chunk in self.pending:
            self.actions.append(Cancel(-1, chunk))
        self.pending.clear()
        # A worker whose start was decided and not carried out yet is not to be.
        unborn = {a.worker for a in self.actions if type(a) is Start}
        pointless = (Start, Send, TakeBack, TakeBackWaiting, Stop, Drop)
        left = [a for a in self.actions if type(a) not in pointless]
        self.actions.clear()
        self.actions.extend(left)
        for number in unborn:
            del self.workers[number]
        for number in self.workers:
            self.actions.append(Kill(number))

    # ----------------------------------------------------------------- decisions

    def _start(self) -> None:
        self._number += 1
        self.workers[self._number] = Worker(self.lifetime)
        self.actions.append(Start(self._number))

    def _replace(self) -> None:
        """Start a worker for one that is gone; while closing, `_reopen` does."""
        if self.phase == RUNNING:
            self._start()

    def _reopen(self) -> None:
        """While closing and with chunks pending: have workers for them.

        They may come when workers have been told to stop already: as those of a map
        whose chunk did not unpickle.
        """
        workers = self.workers.values()
        there = sum(1 for worker in workers if not worker.stopping)
        coming = sum(1 for worker in workers if not (worker.stopping or worker.ready))
        for _ in range(min(self.size - there, len(self.pending) - coming)):
            self._start()

    def _put_back(self, chunk: ChunkT) -> None:
        """Have a chunk wait again, where its turn is."""
        if chunk.unwanted:
            return
        index = 0
        while index < len(self.pending) and self.pending[index].turn < chunk.turn:
            index += 1
        self.pending.insert(index, chunk)

    def _feed(self, number: int, worker: Worker[ChunkT], most: int = DEPTH) -> None:
        """Give a worker that is open up to so many chunks."""
        held, pending = worker.held, self.pending
        # A lifetime is counted in tasks, where they can be told apart.
        pace = worker.pace if worker.left is None else 1
        while pending and len(held) < most and worker.left != 0:
            chunk = pending[0]
            if not worker.takes(chunk.small, chunk.divisible):
                return
            if chunk.divisible and chunk.tasks > pace:
                chunk = chunk.split(pace)
            else:
                pending.popleft()
            held.append(chunk)
            if worker.left is not None:
                worker.left -= 1
            self.sent_ahead |= worker.ahead and self.size > 1
            self.actions.append(Send(number, chunk))

    def _open(self, holding: int) -> list[int]:
        """Workers that hold so many chunks and may get another."""
        return [
            number
            for number, worker in self.workers.items()
            if len(worker.held) == holding and worker.open
        ]

    def _take(self, number: int) -> bool:
        """Have a worker back if it is lent; whether it is here now."""
        if number in self.lent:
            if not self._recall(number):
                return False
            self.lent.discard(number)
        return True

    def _settle(self) -> None:
        """Bring everything to where nothing can be improved."""
        if self.phase == STOPPED:
            return
        self._distribute()
        self._retire()
        if not self.pending:
            self._balance()
            if self.phase == CLOSING:
                self._stop_idle()
        elif self.phase == CLOSING:
            self._reopen()

    def _distribute(self) -> None:
        """Pending chunks to workers: one each for the idle ones, then more."""
        for holding in range(DEPTH):
            for number in self._open(holding) if self.pending else ():
                if not self.pending:
                    return
                if self._take(number):
                    self._feed(number, self.workers[number], holding + 1)

    def _retire(self) -> None:
        """Replace workers that have run what they may."""
        for number, worker in list(self.workers.items()):
            done = worker.left == 0 and not worker.held
            if done and not (worker.stopping or worker.ended):
                self._stop(number, worker)
                self._replace()

    def _balance(self) -> None:
        """Have a chunk taken back for a worker that is idle."""
        idle = sum(1 for number in self._open(0) if number not in self.lent)
        for number, worker in self.workers.items():
            if idle and len(worker.held) > 1 and not worker.ended:
                self.actions.append(TakeBack(number))
                idle -= 1

    def _stop_idle(self) -> None:
        """While closing and with nothing pending: end who has nothing to do."""
        if any(worker.ahead for worker in self.workers.values()):
            return  # one of those tasks may be taken back, for one of these
        for number, worker in self.workers.items():
            busy = worker.held or worker.stopping or worker.ended
            if not busy and self._take(number):
                self._stop(number, worker)

    def _stop(self, number: int, worker: Worker[ChunkT]) -> None:
        worker.stopping = True
        hasty = self.drops and not worker.ready
        self.actions.append(Drop(number) if hasty else Stop(number))
