"""When to look for a message for a moment before sleeping until it comes.

A process that sleeps in the kernel is woken in 5 to 35 µs where the sender runs on
another CPU, most of that on virtual machines, and the CPU that fell asleep beneath it
is slower still: several times what a short request and its answer cost.  Whoever has
just sent something therefore looks for what comes back as long as a wake-up would take,
and sleeps only then.  As long as both ends are quick, neither ever sleeps.

That is of use only if the far end is quick and has a CPU for itself; every receiver
finds out by what its looking gave, and begins with what others' first look gave.
"""

from __future__ import annotations

import os

from mp_connection._channel import poller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    #: The method of a poll object that waits for a number of milliseconds.
    Poll = Callable[[float | None], list[tuple[int, int]]]

#: How often to look: some 40 µs, as long as falling asleep and being woken takes.
LOOKS = 100 if os.environ.get("MP_CONNECTION_SPIN") != "0" else 0
#: How many times more looking may be in vain than it helped before it rests: at first,
#: after a rest, and after it has helped for long.
_FIRST_CREDIT, _PROBES, _MOST_CREDIT = 8, 2, 32
#: How many messages are received without looking then; more each time, to the last.
_RESTS = 128, 65536


class Recent:
    """What this process did last.

    Attributes:
        sent: it has sent a message, on any connection, since it began to wait
            for one.  Set by senders, taken back by receivers.
    """

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent: bool = False


#: Of the whole process: a request often goes one way and its answer comes another.
recent: Recent = Recent()


class Habit:
    """Whether looking is worth while, going by what came of it.

    Attributes:
        skips: how many times it is still to be left.
    """

    __slots__ = ("_credit", "_rest", "skips")

    def __init__(self) -> None:
        self._credit = _FIRST_CREDIT
        self._rest = _RESTS[0]
        self.skips: int = 0

    def learn(self, helped: bool) -> None:
        """Take into account what came of looking once."""
        if helped:
            if self._credit < _MOST_CREDIT:
                self._credit += 1
            else:
                self._rest = _RESTS[0]
            return
        self._credit -= 1
        if self._credit <= 0:
            self.rest()

    def rest(self) -> None:
        """Leave it for a while, and be quick to do so again."""
        self.skips = self._rest
        self._rest = min(4 * self._rest, _RESTS[1])
        self._credit = _PROBES


#: What came of the first look of each receiver: one that lives for a few messages only
#: has no time to find out by itself.
newcomers = Habit()


class Lookout(Habit):
    """What one receiver has learnt about looking.  Any thread may use it at any time.

    Args:
        fileno: returns the descriptor to look at, or -1 when it is closed.
        looks: how often to look at most; 0 for never.
        pollers: where whoever else polls that descriptor keeps poll objects that
            nobody uses just now.
    """

    __slots__ = ("_fileno", "_new", "_pollers", "_turns")

    skips: int

    def __init__(
        self,
        fileno: Callable[[], int],
        looks: int = LOOKS,
        pollers: list[Poll] | None = None,
    ) -> None:
        super().__init__()
        self._fileno = fileno
        self._new = True
        self._pollers = [] if pollers is None else pollers
        self._turns = range(looks)

    def look(self) -> None:
        """Look for a message, until there is one or it is time to sleep; or rest."""
        recent.sent = False
        if self.skips:
            self.skips -= 1
            return
        new, self._new = self._new, False
        if new and newcomers.skips:
            newcomers.skips -= 1
            self.rest()
            return
        # A poll object serves one thread at a time: each takes one of its own.
        try:
            poll = self._pollers.pop()
        except IndexError:
            fd = self._fileno()
            if fd == -1:
                return
            poll = poller(fd)
        helped = False
        for turn in self._turns:
            if poll(0):
                # What was there at once would have been there without looking.
                helped = turn > 0
                break
        self._pollers.append(poll)
        self.learn(helped)
        if new:
            newcomers.learn(helped)
