"""Blocks of shared memory that a manager keeps."""

from __future__ import annotations

import os
import sys
from typing import Any

assert sys.platform == "linux"

import pytest

from mp_managers import SharedMemoryManager
from mp_process import get_context
from mp_sharedctypes.shared_memory import ShareableList, SharedMemory
from mp_testing import StartMethod

WAIT = 30


def write(block: SharedMemory, items: ShareableList[Any]) -> None:
    block.buf[:5] = b"hello"
    items[1] = 7


def test_the_manuals_blocks_and_lists(start_method: StartMethod) -> None:
    context = get_context(start_method)
    with SharedMemoryManager(ctx=context) as manager:
        block = manager.SharedMemory(size=100)
        items = manager.ShareableList(range(4))
        child = context.Process(target=write, args=(block, items))
        child.start()
        child.join(WAIT)
        assert child.exitcode == 0
        assert bytes(block.buf[:5]) == b"hello"
        assert list(items) == [0, 7, 2, 3]
        name = block.name
        again = SharedMemory(name, track=False)
        assert bytes(again.buf[:5]) == b"hello"
        again.close()
    for gone in (name, items.shm.name):
        with pytest.raises(FileNotFoundError):
            SharedMemory(gone, track=False)
    block.close()
    items.shm.close()


def ask_and_end(address: Any) -> None:
    manager = SharedMemoryManager(address)
    manager.connect()
    block = manager.SharedMemory(10)
    block.buf[0] = 1
    os._exit(0 if block.name else 1)


def test_a_block_outlives_who_asked_for_it() -> None:
    with SharedMemoryManager() as manager:
        child = get_context("fork").Process(target=ask_and_end, args=(manager.address,))
        child.start()
        child.join(WAIT)
        assert child.exitcode == 0
        (name,) = manager._ask("list_segments")
        block = SharedMemory(name, track=False)
        assert block.buf[0] == 1
        block.close()
        manager._ask("release_segment", name)
        assert manager._ask("list_segments") == []


def test_a_size_that_is_none() -> None:
    with SharedMemoryManager() as manager, pytest.raises(ValueError, match="size"):
        manager.SharedMemory(0)


def test_a_manager_that_was_not_started_has_no_blocks() -> None:
    manager = SharedMemoryManager()
    with pytest.raises(ValueError, match="neither started nor connected"):
        manager.SharedMemory(10)
    with pytest.raises(ValueError, match="neither started nor connected"):
        manager.ShareableList([1])
