"""What Ctrl-C does to a worker: it interrupts the task, and never the worker.

The terminal sends SIGINT to parent and workers alike; how the pool ends is the
parent's decision.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from types import FrameType
else:
    import _signal  # the module around it costs a child two milliseconds


class Interrupts:
    """The handler of SIGINT.

    Attributes:
        in_task: SIGINT raises KeyboardInterrupt.  It is set and cleared where no signal
            handler can run in between: not across calls.
    """

    __slots__ = ("in_task",)

    def __init__(self) -> None:
        self.in_task = False

    def handle(self, signal: int, frame: FrameType | None) -> None:
        """The handler of SIGINT."""
        if self.in_task:
            self.in_task = False  # once a task: not while its failure is dealt with
            raise KeyboardInterrupt

    def install(self) -> None:
        """Become the handler, unless SIGINT is ignored."""
        if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
            try:
                _signal.signal(_signal.SIGINT, self.handle)
            except ValueError:
                pass  # not the main thread: somebody runs a worker within a thread
