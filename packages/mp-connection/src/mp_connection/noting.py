"""For the layers above: noting which task runs, in memory that outlives a process."""

from __future__ import annotations

from mp_connection._backend import native as native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_connection._native import Noter as Noter

__all__ = ("noter",)


def noter(word: memoryview) -> Noter | None:
    """What notes the index of each of many tasks in a word of shared memory.

    Its ``over(tasks, start)`` iterates over the tasks, and stores the index of each in
    one step before it hands it out; ``release()`` lets go of the memory.

    Args:
        word: eight bytes, aligned, which stay in use until they are released.

    Returns:
        None where the extension is missing: Python has to store the numbers then.

    Raises:
        ValueError: it is no aligned word.
        BufferError: it is read-only.
    """
    return None if native is None else native.Noter(word)
