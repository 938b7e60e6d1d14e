"""The memory in which a worker notes what it does.

It outlives the worker: after a death the parent reads there what had been done.

- Words, each written by one store of the processor, so that no SIGKILL leaves half of
  one: the serial number of the chunk that runs (0: none does), and the index of its
  task; how many bytes of notes there are; when the task began, for tasks that have a
  time limit.
- Values of tasks of that chunk that are not sent yet, pickled: the notes.
- What `faulthandler` writes when the worker crashes.
"""

from __future__ import annotations

import os
import sys
from mmap import mmap
from struct import Struct
from time import monotonic_ns

from mp_connection.handles import Handle
from mp_connection.noting import noter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeVar

    from mp_connection.handles import ReceivedHandle
    from mp_connection.noting import Noter

    T = TypeVar("T")

#: Parts of the memory; pages that nobody writes to take none.
_CRASH_AT = 4096
_NOTES_AT = 65536
_SIZE = 1 << 20

_SERIAL, INDEX, _NOTED, _TIME = range(4)

#: Words for statistics: tasks done, those that failed, nanoseconds they took.
DONE, FAILURES, BUSY = range(4, 7)

#: The pack that the parent has revoked, and how often notes were forgotten.
REVOKED, _GENERATION = range(7, 9)

#: What a note begins with: the index of a task, and how long its value is.
_HEAD = Struct("<II")

#: The index as long as no task of a chunk has begun.
NONE = (1 << 32) - 1


class Progress:
    """The words of one worker, seen from the worker or from the parent.

    Args:
        fd: a descriptor of the memory, owned from now on.
    """

    __slots__ = ("_fd", "_map", "_noter", "words")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._noter: Noter | None = None
        try:
            self._map = mmap(fd, _SIZE)
        except BaseException:
            self.close_descriptor()
            raise
        #: [0] is the serial number, [1] the index; written directly where it counts.
        self.words = memoryview(self._map)[:_CRASH_AT].cast("Q")

    @classmethod
    def create(cls) -> Progress:
        """Memory of a new worker: nothing runs.

        Raises:
            OSError: no more memory or descriptors.
        """
        fd = anonymous_file()
        try:
            os.ftruncate(fd, _SIZE)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def begin(self, serial: int, index: int = 0) -> None:
        """Note that the first task of a chunk, or a later one, is about to run."""
        self.words[INDEX] = index
        self.words[_SERIAL] = serial

    def noted(self, tasks: Sequence[T], start: int) -> Iterator[T] | None:
        """Tasks of the chunk that runs, each of which is noted as it is handed out.

        Args:
            tasks: what is to be handed out.
            start: the index of the first.

        Returns:
            None where there is no extension: `words` has to be written then.
        """
        if self._noter is None:
            self._noter = noter(self.words[INDEX : INDEX + 1])
            if self._noter is None:
                return None
        return self._noter.over(tasks, start)

    def end(self) -> None:
        """Note that no task runs and that the outcome is on its way."""
        self.words[_SERIAL] = 0

    def begun(self, serial: int) -> int | None:
        """The index of the task of this chunk that had begun last; None if none had."""
        # In this order: an index of the chunk before would be taken for this one's.
        begun = self.words[_SERIAL] == serial
        index = self.words[INDEX]
        return index if begun and index != NONE else None

    def note_time(self) -> None:
        """Note that a task is about to be noted: before, lest it seem old."""
        self.words[_TIME] = monotonic_ns()

    @property
    def time(self) -> float:
        """When the task that runs began, by `time.monotonic`."""
        return self.words[_TIME] / 1e9

    def counts(self) -> tuple[bool, int, int, int]:
        """Whether a task runs; tasks done, failures, nanoseconds."""
        words = self.words
        return words[_SERIAL] != 0, words[DONE], words[FAILURES], words[BUSY]

    def note(self, index: int, value: bytes) -> bool:
        """Note the pickled value of a task; False if there is no room."""
        at = _NOTES_AT + self.words[_NOTED]
        end = at + 8 + len(value)
        if end > _SIZE:
            return False
        self._map[at:end] = _HEAD.pack(index, len(value)) + value
        # Only now does it count.
        self.words[_NOTED] = end - _NOTES_AT
        return True

    def forget_notes(self) -> None:
        """Note that all values noted so far are sent, or not wanted any more."""
        self.words[_NOTED] = 0
        # After that, and before anything is overwritten: see `values`.
        self.words[_GENERATION] += 1

    def values(self, serial: int) -> dict[int, bytes]:
        """As `notes`, if this chunk runs and none of them was sent meanwhile."""
        generation = self.words[_GENERATION]
        notes = self.notes()
        # They may have been overwritten, by later ones or by those of another chunk.
        if self.words[_GENERATION] != generation or self.words[_SERIAL] != serial:
            return {}
        return notes

    def revoke(self, serial: int) -> None:
        """Have the worker begin no more of a pack."""
        self.words[REVOKED] = serial

    def notes(self) -> dict[int, bytes]:
        """The values that were noted, by the index of the task."""
        found = {}
        at, end = _NOTES_AT, _NOTES_AT + self.words[_NOTED]
        while at < end:  # beyond that is what nobody has finished writing
            index, size = _HEAD.unpack_from(self._map, at)
            at += _HEAD.size
            found[index] = self._map[at : at + size]
            at += size
        return found

    def catch_crashes(self) -> None:
        """Have the tracebacks of a process that crashes written here, in that process.

        It needs the descriptor.
        """
        import faulthandler

        os.lseek(self._fd, _CRASH_AT, os.SEEK_SET)
        faulthandler.enable(self._fd)

    def crash(self) -> str:
        """What a process that crashed has left here; empty if it has left nothing."""
        text = self._map[_CRASH_AT:_NOTES_AT]
        return text[: text.find(0)].decode(errors="replace")

    def close_descriptor(self) -> None:
        """Close the descriptor; the memory stays."""
        fd, self._fd = self._fd, -1
        if fd != -1:
            os.close(fd)

    def close(self) -> None:
        """Let go of memory and descriptor.  A second call does nothing."""
        self.close_descriptor()
        if self._noter is not None:
            self._noter.release()
        self.words.release()
        self._map.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (Handle(self._fd),)


def _rebuild(handle: ReceivedHandle) -> Progress:
    return Progress(handle.take())


def anonymous_file() -> int:
    """A file without a name: memory where the kernel and its filters allow it."""
    if sys.platform == "linux":
        try:
            return os.memfd_create("mp-pool")
        except (AttributeError, OSError):
            pass
    from tempfile import TemporaryFile

    with TemporaryFile() as file:
        return os.dup(file.fileno())
