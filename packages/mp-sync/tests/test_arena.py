"""Blocks of shared memory, and when they are used again."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import mp_sync_targets as targets
import pytest

from mp_connection import Pipe
from mp_process import get_context
from mp_sync import Lock
from mp_sync.arena import Block, allocate
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_sync import _backend, _memory_posix, arena


def place(block: Block) -> tuple[int, int]:
    """Which memory it is."""
    return id(block._arena), block.offset


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_memory_is_zero_and_writable() -> None:
    block = allocate(100)
    assert (block.size, len(block.memory())) == (100, 100)
    assert bytes(block.memory()) == bytes(100)
    block.memory()[:] = b"a" * 100
    assert bytes(block.memory()) == b"a" * 100
    assert repr(block) == "<Block of 100 bytes>"


def test_memory_that_is_used_again_is_zero() -> None:
    block = allocate(100)
    where = place(block)
    block.memory()[:] = b"a" * 100
    del block
    block = allocate(100)
    assert place(block) == where
    assert bytes(block.memory()) == bytes(100)


@pytest.mark.parametrize("size", [1, 64, 3000, 70_000, 300_000, 3_000_000])
@pytest.mark.parametrize("alignment", [1, 8, 64, 256, 4096])
def test_sizes_and_alignments(size: int, alignment: int) -> None:
    blocks = [allocate(size, alignment) for _ in range(3)]
    for number, block in enumerate(blocks):
        assert block.offset % max(alignment, 16) == 0
        block.memory()[:] = bytes([number]) * size
    for number, block in enumerate(blocks):
        assert bytes(block.memory()) == bytes([number]) * size


@pytest.mark.parametrize("alignment", [0, -8, 3, 8192])
def test_wrong_alignments(alignment: int) -> None:
    with pytest.raises(ValueError, match="an alignment is a power of two up to 4096"):
        allocate(8, alignment)


@pytest.mark.parametrize("size", [0, -1])
def test_wrong_sizes(size: int) -> None:
    with pytest.raises(ValueError, match="one byte at least"):
        allocate(size)


def test_small_blocks_that_ask_for_little_take_little() -> None:
    kept = [allocate(4, 4) for _ in range(2000)]
    (home,) = arena._heap.homes
    assert home.arena.size == 1 << 16
    for number, block in enumerate(kept):
        block.memory()[:] = number.to_bytes(4, "little")
    lines = [allocate(64) for _ in range(100)]
    assert all(block.offset % 64 == 0 for block in lines)
    assert [int.from_bytes(b.memory(), "little") for b in kept] == list(range(2000))
    where = place(kept[7])
    del kept[7], block
    assert place(allocate(1, 1)) == where


def test_the_heap_grows_and_blocks_stay_apart() -> None:
    blocks = [allocate(64) for _ in range(5000)]
    assert len({place(block) for block in blocks}) == 5000
    assert len(arena._heap.homes) > 1
    assert sum(home.arena.size for home in arena._heap.homes) <= 1 << 20


def test_a_large_block_returns_its_memory_and_its_descriptors() -> None:
    before = descriptors()
    block = allocate(10_000_000)
    assert descriptors() == before + (1 if sys.version_info >= (3, 13) else 2)
    del block
    assert descriptors() == before


@pytest.mark.parametrize("size", [4096, 10_000, 3_000_000])
def test_a_block_of_a_page_returns_its_memory_though_it_was_sent(size: int) -> None:
    ours, theirs = Pipe()
    kept = allocate(64)
    before = descriptors()
    for _ in range(10):
        ours.send(allocate(size))
        theirs.recv()
    assert descriptors() == before
    assert arena._heap.homes[0].live == 1
    del kept
    ours.close()
    theirs.close()


def test_many_blocks_of_a_page_share_descriptors() -> None:
    before = descriptors()
    blocks = [allocate(5000) for _ in range(500)]
    assert descriptors() - before <= 2 * arena._MANY + 2 * len(arena._heap.homes)
    for number, block in enumerate(blocks):
        block.memory()[:] = number.to_bytes(2, "little") * 2500
    for number, block in enumerate(blocks):
        assert bytes(block.memory()) == number.to_bytes(2, "little") * 2500


def test_a_hundred_thousand_small_blocks_cost_little() -> None:
    """A granule each, and what an arena notes of it."""
    before = descriptors()
    blocks = [allocate(8) for _ in range(100_000)]
    size = sum(home.arena.size for home in arena._heap.homes)
    assert size <= 66 * 100_000 + (1 << 20)
    assert descriptors() - before <= 2 * len(arena._heap.homes) <= 30
    del blocks


def test_blocks_can_be_freed_by_any_thread() -> None:
    def work() -> None:
        for _ in range(500):
            blocks = [allocate(64) for _ in range(10)]
            for number, block in enumerate(blocks):
                block.memory()[:1] = bytes([number])
            for number, block in enumerate(blocks):
                assert block.memory()[0] == number
            done.extend(blocks)
            del done[:5]

    done: list[Block] = []
    failures: list[object] = []
    hook, threading.excepthook = threading.excepthook, failures.append
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = hook
    assert failures == []
    done.clear()
    homes = arena._heap.homes
    assert sum(home.live - len(home.returned) for home in homes) == 0


def test_a_signal_handler_can_allocate_within_an_allocation() -> None:
    """It gets memory, and not a deadlock."""
    with arena._heap.lock:
        arena._heap.busy = True
        block = allocate(64)
    arena._heap.busy = False
    assert block.offset == 0

    got: list[Block] = []

    def handler(number: int, frame: FrameType | None) -> None:
        got.append(allocate(64))

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        blocks = []
        while len(got) < 50:
            blocks.append(allocate(64))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    every = [*blocks, *got]
    assert len({place(block) for block in every}) == len(every)


# ------------------------------------------------------------- shared, and used again


def test_a_block_that_a_child_uses_is_not_handed_out_again(
    start_method: StartMethod,
) -> None:
    """The classic corruption: the maker drops it while the child still writes."""
    ours, theirs = Pipe()
    block = allocate(64)
    where = place(block)
    process = get_context(start_method).Process(
        target=targets.keep_block, args=(block, theirs)
    )
    process.start()
    theirs.close()
    # The process object holds its arguments no longer than until it has started.
    del block, process
    gc.collect()
    others = [allocate(64) for _ in range(3000)]
    assert where not in {place(other) for other in others}
    ours.send("write")
    assert ours.poll(targets.SECONDS)
    assert ours.recv() == "written"
    assert all(bytes(other.memory()) == bytes(64) for other in others)
    for other in others:
        other.memory()[:] = b"y" * 64
    ours.send("read")
    assert ours.poll(targets.SECONDS)
    assert ours.recv() == b"x" * 64
    ours.close()
    for child in get_context().active_children():
        child.join(targets.SECONDS)


def test_a_block_that_a_forked_child_gives_on_is_not_handed_out_again(
    start_method: StartMethod,
) -> None:
    """Its maker does not know of the grandchild, which outlives the child."""
    ours, theirs = Pipe()
    block = allocate(64)
    where = place(block)
    process = get_context("fork").Process(
        target=targets.keep_block_of_grandchild, args=(block, theirs, start_method)
    )
    process.start()
    theirs.close()
    process.join(targets.SECONDS)
    assert process.exitcode == 0
    del block
    gc.collect()
    assert where not in {place(allocate(64)) for _ in range(10)}
    ours.send("write")
    assert ours.poll(targets.SECONDS)
    ours.recv()
    ours.send("read")
    assert ours.poll(targets.SECONDS)
    assert ours.recv() == b"x" * 64
    ours.close()


def test_a_block_that_was_sent_is_not_handed_out_again() -> None:
    ours, theirs = Pipe()
    block = allocate(64)
    where = place(block)
    ours.send(block)
    del block
    kept = allocate(64)  # or the arena would go as a whole
    assert place(kept) != where
    received = theirs.recv()
    received.memory()[:] = b"z" * 64
    assert bytes(kept.memory()) == bytes(64)
    ours.close()
    theirs.close()


def test_memory_that_was_shared_goes_when_its_arena_has_no_block_left() -> None:
    """So a program that shares and drops for ever does not grow."""
    before = descriptors()
    ours, theirs = Pipe()
    for _ in range(5000):
        ours.send(allocate(64))
        theirs.recv()
    ours.close()
    theirs.close()
    assert descriptors() - before <= 2 * len(arena._heap.homes)
    assert len(arena._heap.homes) == 1


def test_a_fork_taints_what_was_there_and_not_what_comes_after() -> None:
    first, second = allocate(64), allocate(64)
    where = place(first)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    del first
    third = allocate(64)
    assert place(third) not in (where, place(second))
    where = place(third)
    del third
    assert place(allocate(64)) == where


def test_a_block_made_while_a_fork_goes_on_counts_as_shared() -> None:
    """Whichever side of the system call it was on."""
    kept = allocate(64)  # or the arena would go as a whole
    arena._heap.before_fork()
    early, late = allocate(64), allocate(64)
    where = {place(early), place(late)}
    del early
    arena._heap.after_fork_in_parent()
    del late
    again = allocate(64)
    assert again._arena is kept._arena
    assert place(again) not in where


def test_a_forked_child_allocates_from_its_own_memory() -> None:
    block = allocate(64)
    ours, theirs = Pipe()
    pid = os.fork()
    if pid == 0:
        mine = [allocate(64) for _ in range(2000)]
        for each in mine:
            each.memory()[:] = b"c" * 64
        theirs.send(len(mine))
        os._exit(0)
    assert ours.recv() == 2000
    os.waitpid(pid, 0)
    assert bytes(block.memory()) == bytes(64)
    assert all(bytes(allocate(64).memory()) == bytes(64) for _ in range(100))
    ours.close()
    theirs.close()


# ---------------------------------------------------------------------------- sending


def test_an_arena_is_mapped_once_and_travels_once() -> None:
    ours, theirs = Pipe()
    blocks = [allocate(64) for _ in range(300)]
    before = descriptors()
    ours.send(blocks)
    assert descriptors() <= before + 2  # in flight, within this process
    received = theirs.recv()
    assert [place(b) for b in received] == [place(b) for b in blocks]
    assert descriptors() == before
    ours.close()
    theirs.close()


def test_an_arena_that_is_too_short_is_refused() -> None:
    """Or touching what is missing would kill the process."""
    from mp_connection.handles import ReceivedHandle

    fd = _memory_posix.create(4096)
    with pytest.raises(ValueError, match="shorter than it says"):
        arena._receive_arena(ReceivedHandle(fd), 8192, b"name")


# ------------------------------------------------------------- where things are missing


@pytest.mark.parametrize("error", [PermissionError, AttributeError])
def test_without_memfd(
    monkeypatch: pytest.MonkeyPatch,
    start_method: StartMethod,
    error: type[Exception],
) -> None:
    """As in a sandbox or with an old C library: it works with a file."""

    def refuse(name: str, flags: int) -> int:
        raise error("not here")

    monkeypatch.setattr(os, "memfd_create", refuse)
    ours, theirs = Pipe()
    block = allocate(64)
    assert "mp-arena" in os.readlink(f"/proc/self/fd/{block._arena._file.fd}")
    assert not list(Path("/dev/shm").glob("mp-arena*"))
    process = get_context(start_method).Process(
        target=targets.keep_block, args=(block, theirs)
    )
    process.start()
    ours.send(1)
    assert ours.poll(targets.SECONDS)
    ours.recv()
    assert bytes(block.memory()) == b"x" * 64
    ours.send(1)
    process.join(targets.SECONDS)
    ours.close()
    theirs.close()


def test_more_than_there_is_at_all_is_an_error() -> None:
    """At once, and not when the kernel has killed somebody for it."""
    before = descriptors()
    for size in (1 << 45, 1 << 60):
        with pytest.raises(OSError, match="more memory than this machine has"):
            allocate(size)
    assert descriptors() == before


def test_signals_do_not_keep_a_large_block_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel begins an interrupted call anew, and Python repeats it for ever."""

    def claim(fd: int, offset: int, length: int) -> None:
        assert length <= 1 << 20
        claimed.append((offset, length))

    claimed: list[tuple[int, int]] = []
    monkeypatch.setattr(_memory_posix, "_AT_ONCE", 1 << 20)
    monkeypatch.setattr(os, "posix_fallocate", claim)
    os.close(_memory_posix.create(5 << 20 | 64))
    assert claimed == [*((n << 20, 1 << 20) for n in range(5)), (5 << 20, 64)]


def test_no_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves nothing behind."""

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            allocate(64)
        with pytest.raises(OSError, match="No space left"):
            allocate(10_000_000)
    assert descriptors() == before
    assert allocate(64).size == 64


def test_ten_thousand_locks_cost_a_mebibyte_and_no_descriptors_of_their_own() -> None:
    before = descriptors()
    locks = [Lock() for _ in range(10_000)]
    homes = arena._heap.homes
    assert descriptors() - before <= 2 * len(homes) <= 10
    limit = 1 << 20 if _backend.backend == "native" else 2 << 20
    assert sum(home.arena.size for home in homes) <= limit
    with locks[0], locks[9999]:
        assert sum(lock.locked() for lock in locks) == 2


def test_a_part_of_a_block_that_is_sent_keeps_the_whole() -> None:
    """Small locks share a block, of which one may be in another process."""
    ours, theirs = Pipe()
    locks = [Lock() for _ in range(8)]
    ours.send(locks[5])
    received = theirs.recv()
    del locks
    gc.collect()
    others = [allocate(64) for _ in range(3000)]
    with received:
        assert all(bytes(other.memory()) == bytes(64) for other in others)
    ours.close()
    theirs.close()
