"""Chunks of several tasks in a worker: each task has an outcome of its own."""

from __future__ import annotations

from itertools import islice, starmap

from mp_connection.channel import message_of, pickle_message
from mp_connection.lean import dumps, follow_reducers
from mp_pool._failures import PICKLING, RUNNING, failure
from mp_pool._progress import FAILURES, INDEX
from mp_pool._wire import (
    MAP,
    NOTED,
    PART,
    PLAIN,
    PROTOCOL,
    SMALL,
    TIMED,
    Notice,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pickle import PickleBuffer
    from typing import Any

    from mp_connection.channel import Message
    from mp_pool._interrupts import Interrupts
    from mp_pool._progress import Progress

follow_reducers(globals())


def pickle_value(value: object) -> bytes | Message:
    """A value as it is sent: bytes that are one packet, or a message.

    Raises:
        UnpicklableError: it cannot be pickled.
    """
    buffers: list[PickleBuffer] = []
    try:
        data = dumps(value, PROTOCOL, buffer_callback=buffers.append)
    except Exception:
        return pickle_message(value, "result")
    if buffers or len(data) > SMALL:
        return message_of(value, data, buffers)
    return data


class Runner:
    """Runs the tasks of a chunk one after the other, and answers.

    Args:
        progress: where each task is noted before it runs.
        interrupts: lets Ctrl-C interrupt a task.
        send: sends bytes or a message to the parent.
    """

    __slots__ = ("_interrupts", "_last", "_noting", "_progress", "_segment", "_send")

    def __init__(
        self,
        progress: Progress,
        interrupts: Interrupts,
        send: Callable[[bytes | Message], None],
    ) -> None:
        self._progress = progress
        self._interrupts = interrupts
        self._send = send
        self._last = 0
        self._noting = False
        #: Values that are not sent yet, and the task that the first is of.
        self._segment: tuple[int, list[object]] = (0, [])

    def run(
        self,
        style: int,
        function: Callable[..., object],
        arguments: Sequence[Any],
        start: int,
    ) -> bytes | Message | None:
        """Run a chunk.

        Args:
            style: as of the chunk; not `CALL`.
            function: what to call.
            arguments: with what.
            start: the first task to run.

        Returns:
            What is still to be sent; None if that is nothing.
        """
        self._last = last = len(arguments)
        self._noting = style & NOTED != 0
        plain = style <= PLAIN
        try:
            while True:
                self._segment = (start, [])
                try:
                    if plain:
                        self._run(style, function, arguments, start)
                    else:
                        self._run_carefully(style, function, arguments, start)
                except BaseException as error:
                    self._interrupts.in_task = False
                    first, values = self._segment
                    if plain and not values:
                        # The parent wants all values or none.
                        culprit = self._progress.words[INDEX]
                    else:
                        # An interrupt may come between two tasks: it meets the next.
                        culprit = first + len(values)
                    if culprit < last:
                        rest = self._answer(values, first, culprit)
                        assert rest is None
                        self._progress.words[FAILURES] += 1
                        self._send(failure(RUNNING, culprit, error).message())
                        self._progress.forget_notes()
                        start = culprit + 1
                        if start == last:
                            return None
                        self._interrupts.in_task = True
                        continue
                else:
                    self._interrupts.in_task = False
                first, values = self._segment
                return self._answer(values, first, last)
        finally:
            self._segment = (0, [])

    def _run(
        self,
        style: int,
        function: Callable[..., object],
        arguments: Sequence[Any],
        start: int,
    ) -> None:
        if start:
            arguments = arguments[start:]
        noted = self._progress.noted(arguments, start)
        if noted is None:
            values = self._run_noting(style, function, arguments, start)
        elif style == MAP:
            values = [function(argument) for argument in noted]
        else:
            values = list(starmap(function, noted))
        self._segment = (start, values)

    def _run_noting(
        self,
        style: int,
        function: Callable[..., object],
        arguments: Sequence[Any],
        start: int,
    ) -> list[object]:
        words = self._progress.words
        # Each task is noted, by the assignment that a loop begins with, before it runs.
        tasks = enumerate(arguments, start)
        if style == MAP:
            return [function(argument) for words[INDEX], argument in tasks]
        return [function(*argument) for words[INDEX], argument in tasks]

    def _run_carefully(
        self,
        style: int,
        function: Callable[..., object],
        arguments: Sequence[Any],
        start: int,
    ) -> None:
        words, note = self._progress.words, self._progress.note
        single = style & PLAIN == MAP
        values = self._segment[1]
        for number, argument in enumerate(islice(arguments, start, None), start):
            if style & TIMED:
                self._progress.note_time()
            words[INDEX] = number
            value = function(argument) if single else function(*argument)
            if not self._noting:
                values.append(value)
                continue
            try:
                pickled = dumps(value, PROTOCOL)
            except Exception:
                # It has descriptors, or is a mistake: that will turn out at the end.
                values.append((value,))
                continue
            if not note(number, pickled):
                self._make_room(number)
                values = self._segment[1]
                note(number, pickled)
            values.append(pickled)

    def _make_room(self, number: int) -> None:
        """Send what is noted: all before this task."""
        self._interrupts.in_task = False
        first, values = self._segment
        self._answer(values, first, number)
        self._segment = (number, [])
        self._progress.forget_notes()
        self._interrupts.in_task = True

    def _answer(
        self, values: list[object], first: int, end: int
    ) -> bytes | Message | None:
        """Send the values of some tasks; what is the last of a chunk is returned."""
        if not values:
            return None
        try:
            content = pickle_value(values)
        except BaseException as error:
            if len(values) == 1:
                value = values[0]
                if self._noting and isinstance(value, tuple):
                    value = value[0]  # see `_run_carefully`
                self._progress.words[FAILURES] += 1
                self._send(failure(PICKLING, first, error, value).message())
                return None
            # One of them is to blame, and the others are not to suffer.
            last = None
            for number, value in enumerate(values, first):
                last = self._answer([value], number, number + 1)
            return last
        if end == self._last:
            return content
        self._send(Notice(PART, end).message())
        self._send(content)
        return None
