"""Chunks that did not unpickle, or killed workers: their tasks are tried one by one."""

from __future__ import annotations

from functools import partial

from mp_pool._desk import Again
from mp_pool._jobs import Chunk
from mp_pool._packs import Pack
from mp_pool._result import Failure
from mp_pool._wire import NOTED, pickle_chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mp_pool._desk import Desk
    from mp_pool._foreman import Foreman


def split(foreman: Foreman, chunk: Chunk) -> None:
    """Have the tasks of a chunk sent one by one, as some of them does harm."""
    if isinstance(chunk, Pack):
        foreman.scheduler.submit([chunk.split(1) for _ in range(chunk.tasks)])
        return
    again = Again(chunk)
    foreman.awaited.add(again)
    # Pickling may run code of the user's.
    foreman.callbacks.start()
    foreman.callbacks.run(partial(_pickle_again, again, foreman.desk))


def try_again(foreman: Foreman, again: Again) -> None:
    """The tasks of a chunk are there, one by one."""
    foreman.awaited.discard(again)
    job = again.chunk.job
    if job not in foreman.jobs:
        return  # it was cancelled meanwhile
    for task, failure in again.failures:
        if job.resolved(task, 1, failure):
            foreman.finish(job)
    foreman.scheduler.submit(again.chunks)


def _pickle_again(again: Again, desk: Desk) -> None:
    """Pickle the tasks of a chunk one by one."""
    chunk, function = again.chunk, again.chunk.job.function
    style = chunk.style & ~NOTED
    for number in range(chunk.done, chunk.count):
        item, task = chunk.items[number], chunk.first + number
        serial = next(desk.serials)

        def name_parts(
            task: int = task, item: object = item
        ) -> list[tuple[str, object]]:
            return [("func", function), (f"iterable[{task}]", item)]

        try:
            content = pickle_chunk(
                serial, style, chunk.job.sent, [item], {}, name_parts, copy=True
            )
        except Exception as error:
            again.failures.append((task, Failure(error)))
        else:
            single = Chunk(chunk.job, serial, task, content, [item], style)
            again.chunks.append(single)
    desk.post(again)
