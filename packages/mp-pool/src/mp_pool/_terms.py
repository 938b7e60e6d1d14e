"""What a caller asks for besides the call itself, and a pool for its workers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mp_pool._trace import Tracer


class Terms:
    """On which terms tasks are run.

    Args:
        timeout: seconds that each task may take; None for any time.
        retries: how often a task is run again whose worker died.
        progress: called with how many tasks are done and how many there are.

    Attributes:
        special: tasks have to be watched, or may be run again.

    Raises:
        ValueError: a number is negative.
    """

    __slots__ = ("progress", "retries", "special", "timeout")

    def __init__(
        self,
        timeout: float | None = None,
        retries: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout has to be at least 0, not {timeout}")
        if retries < 0:
            raise ValueError(f"retries has to be at least 0, not {retries}")
        self.timeout = timeout
        self.retries = retries
        self.progress = progress
        self.special = timeout is not None or retries > 0


#: As nearly everybody wants them.
USUAL = Terms()


class Setup:
    """What a worker is told when it starts; it travels there.

    Args:
        initializer: called first; None for nothing.
        initargs: its arguments.
        finalizer: called last; None for nothing.
        cpus: sets of CPUs, of which each worker takes the next; empty for all.
        trace: the file for events, and the process that has the pool; None for none.
    """

    __slots__ = ("cpus", "finalizer", "initargs", "initializer", "number", "trace")

    def __init__(
        self,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        finalizer: Callable[[], object] | None = None,
        cpus: Sequence[Collection[int]] = (),
        trace: tuple[str, int] | None = None,
    ) -> None:
        self.initializer = initializer
        self.initargs = initargs
        self.finalizer = finalizer
        self.cpus = cpus
        self.trace = trace
        self.number = 0

    def of_worker(self, number: int) -> Setup:
        """The same for a certain worker."""
        setup = Setup(
            self.initializer, self.initargs, self.finalizer, self.cpus, self.trace
        )
        setup.number = number
        return setup

    def make_tracer(self) -> Tracer | None:
        """What notes the tasks of this worker, if that is wanted.

        Raises:
            OSError: the file cannot be opened.
        """
        if self.trace is None:
            return None
        from mp_pool._trace import Tracer
        from mp_process import current_process

        tracer = Tracer(*self.trace)
        tracer.name("thread_name", current_process().name)
        tracer.flush()
        return tracer
