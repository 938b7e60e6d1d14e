"""`heap` and `resource_tracker`: what third parties use of these modules."""

from __future__ import annotations

import sys

import pytest

import mp_multiprocessing as mp
from mp_multiprocessing import resource_tracker
from mp_multiprocessing.heap import BufferWrapper
from mp_multiprocessing.shared_memory import SharedMemory

assert sys.platform == "linux"


def fill(wrapper: BufferWrapper) -> None:
    wrapper.create_memoryview()[:] = b"filled"


def test_a_block_is_shared(start_method: mp.Method) -> None:
    wrapper = BufferWrapper(6)
    process = mp.get_context(start_method).Process(target=fill, args=(wrapper,))
    process.start()
    process.join()
    assert bytes(wrapper.create_memoryview()) == b"filled"


def test_sizes() -> None:
    assert len(BufferWrapper(0).create_memoryview()) == 0
    with pytest.raises(ValueError, match="no -1 bytes"):
        BufferWrapper(-1)


def test_the_usual_call_after_attaching_does_no_harm() -> None:
    resource_tracker.ensure_running()
    created = SharedMemory(create=True, size=10)
    attached = SharedMemory(created.name)
    resource_tracker.unregister(attached.name, "shared_memory")
    attached.close()
    again = SharedMemory(created.name)
    again.close()
    created.close()
    created.unlink()
    resource_tracker.register(created.name, "shared_memory")
