"""Results: what callers hold, and what becomes of the answers meanwhile.

An answer is kept as it arrived.  It is unpickled in the thread that asks for it, or in
the one that runs callbacks: that can run any code of the user's, and nothing else must
wait for it.
"""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic

from mp_connection.channel import unpickle
from mp_connection.lean import loads
from mp_pool._waiting import sleep_until, wake_all, wake_up_in_loop
from mp_pool._wire import Notice, safe_repr
from mp_pool.errors import RemoteTraceback, ResultError, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any, Generic, TypeGuard, TypeVar

    from mp_connection.channel import Received
    from mp_pool._waiting import Sleepers

    T = TypeVar("T")
else:
    from mp_connection.lean import Generic

    T = None


#: Bytes of a pickle that take some 50 us at least.
_LONG = 8192


class Direct:
    """A value that was made in this process.

    Args:
        value: the value.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Noted:
    """Values of several tasks that were pickled one by one.

    Args:
        answer: how they arrived.
    """

    __slots__ = ("answer",)

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class Alone:
    """The value of one task of several, which was too large to come with others.

    Args:
        answer: how it arrived.
    """

    __slots__ = ("answer",)

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class Early:
    """Values that may be unpickled before all of a job is done; see `AsyncResult.get`.

    Args:
        answer: how they arrived.
    """

    __slots__ = ("_answer", "_loaded", "_loading")

    def __init__(self, answer: bytes | Received) -> None:
        self._answer: bytes | Received | None = answer
        self._loaded: Any = None
        self._loading = allocate_lock()

    def load(self) -> None:
        """Unpickle them, if nobody has, or wait for whoever does it just now."""
        with self._loading:
            if self._answer is not None:
                try:
                    self._loaded = value_of(self._answer)
                except ResultError as error:
                    self._loaded = error
                self._answer = None

    def values(self) -> Any:
        """The values.

        Raises:
            ResultError: they cannot be unpickled.
        """
        self.load()
        if isinstance(self._loaded, ResultError):
            raise self._loaded
        return self._loaded


if TYPE_CHECKING:
    #: A value as it arrived: a packet that is the pickle, or more than that.
    Answer = bytes | Received | Direct | Noted | Alone | Early


def value_of(answer: Answer) -> Any:
    """The value that arrived, once.

    Raises:
        ResultError: it cannot be unpickled.
    """
    if isinstance(answer, Direct):
        return answer.value
    if isinstance(answer, Noted):
        return [noted_value(value) for value in value_of(answer.answer)]
    if isinstance(answer, Alone):
        return [(value_of(answer.answer),)]  # see `noted_value`
    if isinstance(answer, Early):
        return answer.values()
    try:
        if isinstance(answer, bytes):
            return loads(answer)
        return unpickle(answer)
    except Exception as error:
        raise unloadable(error) from error


def noted_value(value: Any) -> Any:
    """One of several values: a pickle, or packed up if it could not be pickled alone.

    Raises:
        ResultError: it cannot be unpickled.
    """
    return value[0] if isinstance(value, tuple) else value_of(value)


def is_long(answer: Answer) -> TypeGuard[bytes | Received]:
    """Whether unpickling takes longer than waking whoever could do it meanwhile."""
    if isinstance(answer, bytes):
        return len(answer) >= _LONG
    return not isinstance(answer, Direct | Noted | Alone | Early)


def size_of(answer: Answer) -> int:
    """Bytes that an answer takes; 0 for a value of this process."""
    if isinstance(answer, bytes):
        return len(answer)
    if isinstance(answer, Noted | Alone):
        return size_of(answer.answer)
    if isinstance(answer, Direct | Early):
        return 0
    return sum(memoryview(part).nbytes for part in answer.parts)


class Failure:
    """What takes the place of a value.

    Args:
        source: a worker's notice, or the exception itself.
    """

    __slots__ = ("_source",)

    def __init__(self, source: Notice | BaseException) -> None:
        self._source = source

    def exception(self) -> BaseException:
        """The exception that the caller is to get."""
        if isinstance(self._source, Notice):
            return raised_there(self._source)
        return self._source


def raised_there(notice: Notice) -> BaseException:
    """The exception of a notice, caused by the traceback in the worker."""
    error = notice.exception()
    error.__cause__ = RemoteTraceback(notice.traceback)
    return error


def unloadable(error: Exception) -> ResultError:
    """What a caller gets instead of a value that does not unpickle."""
    text = safe_repr(error)
    message = f"the result of a task cannot be unpickled: {text}"
    return ResultError(message, exc=text)


def lost_descriptors(error: Exception) -> Failure:
    """What takes the place of a value whose descriptors could not be received."""
    lost = ResultError(f"the result of a task cannot be received: {error}")
    lost.__cause__ = error
    return Failure(lost)


class Outcome:
    """What came of a job: answers in order, or a failure.

    Args:
        answers: one for each chunk.
        failure: what went wrong.
        single: the job has one task, and its value is the value.
    """

    __slots__ = ("_answers", "_failure", "_single")

    def __init__(
        self,
        answers: Sequence[Answer] = (),
        failure: Failure | None = None,
        single: bool = False,
    ) -> None:
        self._answers = answers
        self._failure = failure
        self._single = single

    def load(self) -> tuple[bool, Any]:
        """Whether it is a value; the value, or the exception."""
        if self._failure is not None:
            return False, self._failure.exception()
        try:
            if self._single:
                return True, value_of(self._answers[0])
            values: list[object] = []
            for answer in self._answers:
                values += value_of(answer)
        except ResultError as error:
            return False, error
        return True, values


class AsyncResult(Generic[T]):
    """The result of a call that a pool carries out (manual, "AsyncResult").

    Any thread may use it.
    """

    __slots__ = (
        "__weakref__",
        "_early",
        "_getting",
        "_keep",
        "_loaded",
        "_loading",
        "_outcome",
        "_ready",
        "_sleepers",
    )

    def __init__(self, keep: object = None) -> None:
        #: The pool: it has to live until the result is there.
        self._keep = keep
        self._ready = False
        #: Bytes are the pickle of the value.
        self._outcome: Outcome | bytes | None = None
        self._loaded: tuple[bool, Any] | None = None
        self._loading = allocate_lock()
        self._sleepers: Sleepers = []
        #: Those that can do something meanwhile, and what that is.
        self._getting: Sleepers = []
        self._early: list[Early] = []

    def ready(self) -> bool:
        """Whether the call is complete."""
        return self._ready

    def successful(self) -> bool:
        """Whether the call is complete and raised no exception.

        Raises:
            ValueError: it is not complete.
        """
        if not self._ready:
            raise ValueError("the result is not ready")
        return self._load()[0]

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is there.

        Args:
            timeout: seconds; None waits for ever.
        """
        if not self._ready:
            sleep_until(self.ready, self._sleepers, timeout)

    def get(self, timeout: float | None = None) -> T:
        """The result, as soon as it is there.

        Values of a map that have come are unpickled meanwhile, while others are made.

        Args:
            timeout: seconds to wait for it; None waits for ever.

        Raises:
            TimeoutError: it is not there in time.
            WorkerDiedError: the worker ended while it ran the task.
            ResultError: the result cannot be pickled or unpickled.
            BrokenPoolError: the pool cannot have working workers.
            PoolTerminatedError: the pool was terminated.
            Exception: whatever the task raised; its cause shows where.
        """
        if not self._ready:
            self._wait_loading(timeout)
            if not self._ready:
                # No text: programs compare what is printed with the manual.
                raise TimeoutError
        good, value = self._loaded or self._load()
        if good:
            return value  # type: ignore[no-any-return]
        raise value

    def _wait_loading(self, timeout: float | None) -> None:
        deadline = None if timeout is None else monotonic() + timeout
        while not self._ready:
            while not self._ready:
                try:
                    early = self._early.pop()
                except IndexError:
                    break
                early.load()
            if deadline is not None:
                timeout = deadline - monotonic()
                if timeout <= 0:
                    return
            sleep_until(self._has_news, self._getting, timeout)

    def _has_news(self) -> bool:
        return self._ready or bool(self._early)

    def cancel(self) -> bool:
        """Have the call not run, or ended if it runs.

        Its result is `TaskCancelledError` then, unless it is complete just now.  A
        worker that runs it is ended and replaced; other tasks go on.

        Returns:
            Whether the call was not complete yet.
        """
        cancel = getattr(self._keep, "_cancel", None)
        if self._ready or cancel is None:
            return False
        cancel(self)
        return True

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in an event loop, and give what `get` gives.

        To cancel the waiting task does not cancel the call.
        """
        if not self._ready:
            yield from wake_up_in_loop(self.ready, self._sleepers).__await__()
        return self.get()

    def _load(self) -> tuple[bool, Any]:
        with self._loading:
            if self._loaded is None:
                outcome = self._outcome
                assert outcome is not None
                if type(outcome) is bytes:
                    try:
                        self._loaded = True, loads(outcome)
                    except Exception as error:
                        self._loaded = False, unloadable(error)
                        self._loaded[1].__cause__ = error
                else:
                    self._loaded = outcome.load()  # type: ignore[union-attr]
                self._outcome = None
            return self._loaded

    def _offer(self, answer: bytes | Received) -> Early:
        """What stands for some of the values; who waits for all may unpickle them."""
        early = Early(answer)
        self._early.append(early)
        wake_all(self._getting)
        return early

    def _arrived(self, outcome: Outcome | bytes) -> None:
        """Keep what came, before callbacks and before anybody is woken."""
        self._outcome = outcome

    def _complete(self) -> None:
        """Wake whoever waits."""
        self._keep = None
        self._ready = True
        self._early.clear()
        wake_all(self._sleepers)
        wake_all(self._getting)

    def _deliver(self, pickled: bytes) -> None:
        """Both at once, for a value."""
        self._outcome = pickled
        self._keep = None
        self._ready = True
        if self._sleepers:
            wake_all(self._sleepers)
        if self._getting:
            wake_all(self._getting)

    def __repr__(self) -> str:
        state = "ready" if self._ready else "pending"
        return f"<{type(self).__module__}.{type(self).__qualname__} {state}>"


AsyncResult.__module__ = "mp_pool"
