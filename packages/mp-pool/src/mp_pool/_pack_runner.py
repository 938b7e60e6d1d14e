"""Packs in a worker: small tasks one after the other, and their values together.

That saves most of what a small task costs.  Nothing is lost by it: each value is noted
before the next task begins, so that the parent finds it should this worker be killed,
or a task turn out to be a long one; and the parent can revoke what has not begun.
"""

from __future__ import annotations

from itertools import repeat
from time import monotonic_ns

from mp_connection.lean import dumps, follow_reducers, loads
from mp_pool._failures import LOADING, PICKLING, RUNNING, failure
from mp_pool._progress import BUSY, DONE, FAILURES, INDEX, NONE, REVOKED
from mp_pool._tasks import pickle_value
from mp_pool._wire import (
    ANSWER_HEAD,
    ANSWERS,
    CALL,
    DROPPED,
    FAILED,
    MAP,
    PART,
    PROTOCOL,
    Notice,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pickle import PickleBuffer
    from typing import Any

    from mp_connection.channel import Message
    from mp_pool._interrupts import Interrupts
    from mp_pool._progress import Progress

follow_reducers(globals())

#: Values are sent when they are so many bytes, or when the first is so old.
_MOST_BYTES = 30_000
_MOST_NANOSECONDS = 1_000_000


class PackRunner:
    """Runs packs.

    Args:
        progress: where tasks and values are noted.
        interrupts: lets Ctrl-C interrupt a task.
        send: sends bytes or a message to the parent.
    """

    __slots__ = ("_interrupts", "_progress", "_send", "_values")

    def __init__(
        self,
        progress: Progress,
        interrupts: Interrupts,
        send: Callable[[bytes | Message], None],
    ) -> None:
        self._progress = progress
        self._interrupts = interrupts
        self._send = send
        #: Values that are not sent yet.
        self._values: list[bytes] = []

    def run(
        self,
        serial: int,
        style: int,
        functions: bytes | list[bytes | None] | None,
        pieces: list[bytes],
    ) -> None:
        """Run a pack and answer it.

        Args:
            serial: its number, by which it is revoked.
            style: `CALL`, `MAP` or `STARMAP`.
            functions: what tasks call, pickled, or one for each; None for those in
                whose piece it is.
            pieces: what each calls it with, pickled.
        """
        progress, interrupts = self._progress, self._interrupts
        words, note = progress.words, progress.note
        buffers: list[PickleBuffer] = []
        keep, add_buffer = self._values.append, buffers.append
        several = functions if isinstance(functions, list) else repeat(functions)
        known: bytes | None = None
        function: Callable[..., Any] = bool
        progress.forget_notes()  # lest they be taken for this pack's
        progress.begin(serial, NONE)
        size = 0
        since = began = monotonic_ns()
        for index, (pickled, piece) in enumerate(zip(several, pieces)):  # noqa: B905
            step, value = LOADING, None
            keywords: dict[str, Any] | None = None
            try:
                interrupts.in_task = True
                if pickled is not None:
                    if pickled is not known:
                        function = loads(pickled)
                        known = pickled
                    argument = loads(piece)
                elif style == CALL:
                    function, argument, keywords = loads(piece)
                    known = None
                else:
                    function, argument = loads(piece)
                # First it is claimed; then comes the look whether it may be.
                words[INDEX] = index
                if words[REVOKED] == serial:
                    interrupts.in_task = False
                    self._let_go(serial, index, began)
                    break
                step = RUNNING
                if style == MAP:
                    value = function(argument)
                elif keywords:
                    value = function(*argument, **keywords)
                else:
                    value = function(*argument)
                step = PICKLING
                data = dumps(value, PROTOCOL, buffer_callback=add_buffer)
                interrupts.in_task = False
            except BaseException as error:
                interrupts.in_task = False
                if step == LOADING:
                    words[INDEX] = index
                    if words[REVOKED] == serial:  # then this is another worker's task
                        self._let_go(serial, index, began)
                        break
                began = self._account(began)
                self._flush(serial, index)
                if step == PICKLING and isinstance(error, Exception):
                    self._send_alone(index, value)
                else:
                    self._fail(step, index, error, value)
                buffers.clear()
                since, size = began, 0
            else:
                if buffers or len(data) > _MOST_BYTES:
                    began = self._account(began)
                    self._flush(serial, index)
                    self._send_alone(index, value)
                    buffers.clear()
                    since, size = began, 0
                else:
                    size += len(data)
                    if size > _MOST_BYTES:
                        self._flush(serial, index)
                        since, size = monotonic_ns(), len(data)
                    note(index, data)
                    keep(data)
                    now = monotonic_ns()
                    if now - since > _MOST_NANOSECONDS:
                        began = self._account(began)
                        self._flush(serial, index + 1)
                        since, size = began, 0
            # Nothing of a task may live on in a worker that is idle, nor in the next.
            value = argument = keywords = None
        else:
            self._account(began)
            self._flush(serial, len(pieces))
            progress.end()

    def _let_go(self, serial: int, index: int, began: int) -> None:
        """Begin neither this task of a pack that was revoked nor those behind it."""
        self._account(began)
        self._flush(serial, index)
        self._progress.end()
        self._send(Notice(DROPPED, serial).message())

    def _account(self, began: int) -> int:
        """Count the time since then; what time it is now."""
        now = monotonic_ns()
        self._progress.words[BUSY] += now - began
        return now

    def _flush(self, serial: int, end: int) -> None:
        """Send the values of the tasks before this one that are not sent."""
        values = self._values
        count = len(values)
        if not count:
            return
        self._progress.words[DONE] += count
        head = ANSWER_HEAD.pack(ANSWERS, serial, end - count, end)
        self._send(head + dumps(values, PROTOCOL))
        values.clear()
        self._progress.forget_notes()

    def _send_alone(self, index: int, value: object) -> None:
        """Send a value that does not fit among others."""
        try:
            answer = pickle_value(value)
        except BaseException as error:
            self._fail(PICKLING, index, error, value)
            return
        self._progress.words[DONE] += 1
        self._send(Notice(PART, index + 1).message())
        self._send(answer)

    def _fail(self, step: int, index: int, error: BaseException, value: object) -> None:
        words = self._progress.words
        words[DONE] += step != LOADING
        words[FAILURES] += step != LOADING
        notice = failure(step, index, error, value)
        notice.kind = FAILED
        self._send(notice.message())
