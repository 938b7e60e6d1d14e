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
from time import monotonic_ns

from mp_connection.handles import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection.handles import ReceivedHandle

#: Parts of the memory; pages that nobody writes to take none.
_CRASH_AT = 4096
_NOTES_AT = 65536
_SIZE = 1 << 20

_SERIAL, _INDEX, _NOTED, _TIME = range(4)

#: Words for statistics: tasks done, those that failed, nanoseconds they took.
DONE, FAILURES, BUSY = range(4, 7)

#: The batch that the parent has revoked, and how often notes were forgotten.
REVOKED, _GENERATION = range(7, 9)

#: Added to a serial number, lest it be taken for an index.
_ANSWER = 1 << 62


class Progress:
    """The words of one worker, seen from the worker or from the parent.

    Args:
        fd: a descriptor of the memory, owned from now on.
    """

    __slots__ = ("_fd", "_map", "words")

    def __init__(self, fd: int) -> None:
        self._fd = fd
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
        self.words[_INDEX] = index
        self.words[_SERIAL] = serial

    def end(self) -> None:
        """Note that no task runs and that the outcome is on its way."""
        self.words[_SERIAL] = 0

    def begun(self, serial: int) -> int | None:
        """The index of the task of this chunk that had begun last; None if none had."""
        return self.words[_INDEX] if self.words[_SERIAL] == serial else None

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
        end = at + 16 + len(value)
        if end > _SIZE:
            return False
        head = index.to_bytes(8, "little") + len(value).to_bytes(8, "little")
        self._map[at:end] = head + value
        # Only now does it count.
        self.words[_NOTED] = end - _NOTES_AT
        return True

    def forget_notes(self) -> None:
        """Note that all values noted so far are sent, or not wanted any more."""
        self.words[_NOTED] = 0
        # After that, and before anything is overwritten: see `answers`.
        self.words[_GENERATION] += 1

    def note_answer(self, serial: int, value: bytes) -> bool:
        """Note the answer of a chunk; False if there is no room."""
        return self.note(_ANSWER + serial, value)

    def answers(self) -> list[tuple[int, bytes]]:
        """Answers that were noted and may not have been sent, with serial numbers."""
        generation = self.words[_GENERATION]
        notes = self.notes()
        if self.words[_GENERATION] != generation:
            return []  # they were overwritten meanwhile, as they are sent
        return [(key - _ANSWER, notes[key]) for key in notes if key > _ANSWER]

    def revoke(self, batch: int) -> None:
        """Have the worker begin nothing more of a batch."""
        self.words[REVOKED] = batch

    def notes(self) -> dict[int, bytes]:
        """The values that were noted, by the index of the task."""
        found = {}
        at, end = _NOTES_AT, _NOTES_AT + self.words[_NOTED]
        while at < end:  # beyond that is what nobody has finished writing
            head = self._map[at : at + 16]
            size = int.from_bytes(head[8:], "little")
            at += 16
            if size > _SIZE:
                break  # it is being overwritten
            found[int.from_bytes(head[:8], "little")] = self._map[at : at + size]
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
