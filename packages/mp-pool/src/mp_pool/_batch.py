"""Short tasks in a worker: several in one packet, and their answers in one as well.

That saves most of what a short task costs.  Nothing is lost by it: each answer is noted
before the next task begins, so that the parent finds it should this worker be killed,
or a task turn out to be a long one; and the parent can revoke what has not begun.
"""

from __future__ import annotations

from time import monotonic_ns

from mp_connection.lean import dumps, follow_reducers, loads
from mp_pool._failures import LOADING, PICKLING, RUNNING, failure
from mp_pool._progress import BUSY, DONE, FAILURES, REVOKED
from mp_pool._tasks import pickle_value
from mp_pool._wire import ANSWERS, CALL, DROPPED, MAP, PROTOCOL, Notice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from mp_connection.channel import Message
    from mp_pool._interrupts import Interrupts
    from mp_pool._progress import Progress

follow_reducers(globals())

#: Answers are sent when they are so many bytes, or when the first is so old.
_MOST_BYTES = 30_000
_MOST_NANOSECONDS = 1_000_000


class BatchRunner:
    """Runs batches.

    Args:
        progress: where tasks and answers are noted.
        interrupts: lets Ctrl-C interrupt a task.
        send: sends bytes or a message to the parent.
    """

    __slots__ = ("_interrupts", "_progress", "_send")

    def __init__(
        self,
        progress: Progress,
        interrupts: Interrupts,
        send: Callable[[bytes | Message], None],
    ) -> None:
        self._progress = progress
        self._interrupts = interrupts
        self._send = send

    def run(self, number: int, contents: Iterable[bytes]) -> None:
        """Run a batch.

        Args:
            number: its number, by which it is revoked.
            contents: chunks of one task each, pickled.
        """
        progress, interrupts = self._progress, self._interrupts
        words = progress.words
        progress.forget_notes()
        answers: list[tuple[int, bytes]] = []
        size = 0
        since = began = monotonic_ns()
        for content in contents:
            step, value, serial = LOADING, None, 0
            answer: bytes | Message
            try:
                try:
                    interrupts.in_task = True
                    serial, style, function, arguments, keywords = loads(content)
                    # First it is claimed; then comes the look whether it may be.
                    progress.begin(serial)
                    if words[REVOKED] == number:
                        interrupts.in_task = False
                        break
                    step = RUNNING
                    if style == CALL:
                        value = function(*arguments, **keywords)
                    elif style == MAP:
                        value = [function(arguments[0])]
                    else:
                        value = [function(*arguments[0])]
                    step = PICKLING
                    answer = pickle_value(value)
                finally:
                    interrupts.in_task = False
            except BaseException as error:
                answer = failure(step, 0, error, value).message()
                words[FAILURES] += step != LOADING
            now = monotonic_ns()
            words[DONE] += step != LOADING
            words[BUSY] += now - began
            noted = isinstance(answer, bytes) and size + len(answer) < _MOST_BYTES
            if noted and progress.note_answer(serial, answer):  # type: ignore[arg-type]
                answers.append((serial, answer))  # type: ignore[arg-type]
                size += len(answer)  # type: ignore[arg-type]
                if now - since > _MOST_NANOSECONDS:
                    self._flush(answers)
                    since, size = now, 0
            else:
                self._flush(answers)
                self._send(answer)
                since, size = now, 0
            progress.end()
            began = now
            function = arguments = keywords = value = answer = None  # type: ignore[assignment]
        else:
            self._flush(answers)
            return
        self._flush(answers)
        progress.end()
        self._send(Notice(DROPPED, number).message())

    def _flush(self, answers: list[Any]) -> None:
        """Send what is there."""
        if answers:
            self._send(ANSWERS + dumps(answers, PROTOCOL))
            answers.clear()
            self._progress.forget_notes()
