"""Waiting for processes in an event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import mp_process_scripts as scripts
import mp_process_targets as targets
import pytest

import mp_process
from mp_connection import Pipe
from mp_process import get_context
from mp_testing import StartMethod

assert sys.platform == "linux"

SECONDS = 30


def test_join_async(start_method: StartMethod) -> None:
    """The loop goes on while a task waits, and no thread does."""
    ours, theirs = Pipe()
    process = get_context(start_method).Process(
        target=targets.say_and_wait, args=(theirs,)
    )
    process.start()
    theirs.close()

    async def main() -> int:
        waiting = asyncio.create_task(process.join_async())
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
            if turns == 5:
                assert threading.active_count() == 1
                assert process.exitcode is None
                ours.send("end")
        assert await waiting is None  # type: ignore[func-returns-value]
        return turns

    assert asyncio.run(main()) >= 5
    assert process.exitcode == 0
    assert process not in mp_process.active_children()
    asyncio.run(process.join_async())
    ours.close()


def test_time_out(start_method: StartMethod) -> None:
    """It returns when the time is over, and the process runs on."""
    process = get_context(start_method).Process(target=targets.sleep)
    process.start()
    begun = time.monotonic()
    for seconds in (-1, 0, 0.01, 0.3):
        asyncio.run(process.join_async(seconds))
    assert 0.31 <= time.monotonic() - begun < SECONDS
    assert process.is_alive()
    process.kill()
    asyncio.run(process.join_async(SECONDS))
    assert process.exitcode == -9


def test_many_tasks(start_method: StartMethod) -> None:
    """Several tasks wait for several processes; one that is cancelled disturbs none."""
    ctx = get_context(start_method)
    processes = [ctx.Process(target=targets.sleep) for _ in range(3)]
    for process in processes:
        process.start()

    async def main() -> None:
        tasks = [asyncio.create_task(p.join_async()) for p in processes * 3]
        cancelled = asyncio.create_task(processes[0].join_async())
        await asyncio.sleep(0.05)
        before = len(os.listdir("/proc/self/fd"))
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert len(os.listdir("/proc/self/fd")) == before - 1
        assert not any(task.done() for task in tasks)
        for process in processes:
            process.terminate()
        await asyncio.wait_for(asyncio.gather(*tasks), SECONDS)

    asyncio.run(main())
    assert [process.exitcode for process in processes] == [-15] * 3


def test_joined_by_a_thread_meanwhile(start_method: StartMethod) -> None:
    """Whoever finds out first, the other is told."""
    process = get_context(start_method).Process(target=targets.sleep)
    process.start()

    async def main() -> None:
        task = asyncio.create_task(process.join_async())
        await asyncio.sleep(0.01)
        process.kill()
        process.join(SECONDS)
        process.close()
        await asyncio.wait_for(task, SECONDS)

    asyncio.run(main())


def test_errors() -> None:
    """They are those of join."""
    process = get_context("fork").Process()
    with pytest.raises(AssertionError, match="was not started"):
        asyncio.run(process.join_async())
    process.close()
    with pytest.raises(ValueError, match="closed"):
        asyncio.run(process.join_async())


def test_asyncio_is_imported_when_needed() -> None:
    """Programs without an event loop do not pay for it."""
    code = """
import sys, mp_process
process = mp_process.get_context("fork").Process()
process.start()
process.join()
print("asyncio" in sys.modules)
"""
    assert scripts.run("-c", code).stdout == "False\n"
