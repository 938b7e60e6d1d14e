"""Pickles small tasks for packs, and says which tasks are no such."""

from __future__ import annotations

from types import FunctionType

from mp_connection.lean import dumps, follow_reducers
from mp_pool._packs import MOST_BYTES, MOST_TASKS, Pack, in_band
from mp_pool._wire import LIGHT, PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from mp_pool._jobs import Chunk, Job
    from mp_pool._terms import Terms

follow_reducers(globals())

#: Tasks that are not tried after one that turned out to be none for a pack: it was
#: pickled in vain.
_HEAVY = 8


class Light:
    """What a pool keeps for that.

    Args:
        wanted: whether tasks may travel in packs at all.
    """

    __slots__ = ("_function", "_heavy", "_wanted")

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        #: The function that was called last, and its pickle.
        self._function: tuple[object, bytes | None] = (None, None)
        self._heavy = 0

    def takes(self, function: object, sent: object, terms: Terms) -> bool:
        """Whether it is worth a try for single tasks of a map.

        Args:
            function: what they call.
            sent: what is sent for it.
            terms: on which they are run.
        """
        return self._wanted and sent is function and terms.timeout is None

    def call(
        self,
        function: Callable[..., object],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> tuple[bytes | None, bytes] | None:
        """A call as it is part of a `LightCall`; None if it cannot."""
        if self._heavy > 0:
            self._heavy -= 1
            return None
        pickled = None
        if not keywords:
            last, pickled = self._function
            if function is not last:
                pickled = self._pickled(function)
        try:
            if pickled is None:
                task = function, arguments, keywords
                piece = dumps(task, PROTOCOL, buffer_callback=in_band)
            else:
                piece = dumps(arguments, PROTOCOL, buffer_callback=in_band)
        except Exception:
            return None  # an error, or a descriptor, or a large buffer
        if len(piece) > LIGHT or not self._wanted:
            self._heavy = _HEAVY
            return None
        return pickled, piece

    def packs(
        self,
        job: Job,
        style: int,
        first: int,
        items: list[Any],
        make_chunk: Callable[[int, Sequence[Any]], Chunk],
    ) -> list[Chunk]:
        """Packs of tasks, and chunks of those that cannot be in one.

        Args:
            job: whose tasks they are.
            style: `MAP` or `STARMAP`.
            first: the index of the first task.
            items: with what they are called.
            make_chunk: makes a chunk of some tasks, from an index on.

        Raises:
            Exception: whatever *make_chunk* raises.
        """
        function, pickled = job.function, self._pickled(job.function)
        chunks: list[Chunk] = []
        pieces: list[bytes] = []
        size = begin = heavy = 0
        for number, item in enumerate(items, first):
            piece = None
            if heavy:
                heavy -= 1
            else:
                try:
                    what = item if pickled is not None else (function, item)
                    piece = dumps(what, PROTOCOL, buffer_callback=in_band)
                except Exception:
                    heavy = _HEAVY  # an error, or a descriptor, or a large buffer
                else:
                    if len(piece) > LIGHT:
                        piece, heavy = None, _HEAVY
            if piece is not None:
                size += len(piece)
            if pieces and (
                piece is None or size > MOST_BYTES or len(pieces) == MOST_TASKS
            ):
                chunks.append(Pack(job, begin, pickled, pieces, style))
                pieces = []
            if piece is None:
                chunks.append(make_chunk(number, [item]))
                continue
            if not pieces:
                begin, size = number, len(piece)
            pieces.append(piece)
        if pieces:
            chunks.append(Pack(job, begin, pickled, pieces, style))
        return chunks

    def _pickled(self, function: object) -> bytes | None:
        """The pickle of a function or class, which is its name; None of others."""
        last, pickled = self._function
        if function is not last:
            if type(function) is not FunctionType and type(function) is not type:
                return None
            try:
                pickled = dumps(function, PROTOCOL)
            except Exception:
                return None
            self._function = function, pickled
        return pickled
