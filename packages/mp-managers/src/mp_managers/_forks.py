"""Forked children that may still use what this process has leased.

A child that was forked has copies of all proxies, and asks for leases of its own when
it first uses one.  Until then its parent must not give back what it held at the fork.
The child has one end of a pipe that carries nothing, and closes it once it has its
leases; the kernel does when the child ends or turns into another program.
"""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Forks:
    """The children of one process that have no leases of their own yet.

    Attributes:
        epoch: how often this process has forked while it had leases.
    """

    __slots__ = ("__weakref__", "_ends", "_mine", "epoch")

    def __init__(self) -> None:
        self.epoch = 0
        self._ends: dict[int, int] = {}  # by epoch; the ends for reading
        #: In a child: the ends that its parent, and the parents of that, look at.
        self._mine: list[int] = []

    def before(self) -> tuple[int, int] | None:
        """Just before a fork.

        Returns:
            The pipe, or None if there are no descriptors left for one: then the child
            is as badly off as if its parent had given everything back.
        """
        try:
            return os.pipe()
        except OSError:
            return None

    def in_parent(self, pipe: tuple[int, int] | None) -> None:
        """After a fork, in the parent."""
        self.epoch += 1
        if pipe is not None:
            os.close(pipe[1])
            self._ends[self.epoch] = pipe[0]
            self.settle()

    def in_child(self, pipe: tuple[int, int] | None) -> None:
        """After a fork, in the child."""
        for end in self._ends.values():
            os.close(end)
        self._ends.clear()
        if pipe is not None:
            os.close(pipe[0])
            self._mine.append(pipe[1])

    def attached(self) -> None:
        """In a child: it has leases of its own."""
        while self._mine:
            os.close(self._mine.pop())

    @property
    def pending(self) -> bool:
        """Whether there were such children when somebody looked last."""
        return bool(self._ends)

    def settle(self) -> int:
        """Look which children need nothing more.

        Returns:
            The latest epoch that still counts: what was leased before it has to be
            kept; 0 if none does.
        """
        ends = self._ends
        if not ends:
            return 0
        module: Any = select
        poller = module.poll()
        numbers = {}
        for epoch, end in list(ends.items()):
            poller.register(end, module.POLLIN)
            numbers[end] = epoch
        for end, _ in poller.poll(0):
            if ends.pop(numbers[end], None) is not None:
                os.close(end)
        return max(ends, default=0)

    def close(self) -> None:
        """Forget all children."""
        while self._ends:
            _, end = self._ends.popitem()
            os.close(end)
        self.attached()
