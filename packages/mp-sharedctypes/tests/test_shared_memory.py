"""Blocks of shared memory, with and without names."""

from __future__ import annotations

import array
import errno
import gc
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mp_sharedctypes_targets as targets
import pytest

from mp_connection import Pipe
from mp_process import get_context
from mp_sharedctypes.shared_memory import SharedMemory
from mp_testing import StartMethod

assert sys.platform == "linux"

from mp_sharedctypes import _blocks_linux, _files_linux, _register_linux


def sent(obj: Any) -> Any:
    """What comes out of a connection."""
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send(obj)
        return theirs.recv()


def there(name: str) -> bool:
    return Path("/dev/shm", name).exists()


@pytest.fixture
def name() -> Iterator[str]:
    """A name that is free, and gone after the test."""
    chosen = f"mp-test-{os.getpid()}"
    yield chosen
    Path("/dev/shm", chosen).unlink(missing_ok=True)


@pytest.fixture(params=["nameless", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With files that have no name, and on a system without."""
    if request.param == "named":
        monkeypatch.setattr(_files_linux, "create_nameless", lambda size: None)
    return str(request.param)


def test_a_block_without_a_name() -> None:
    before = set(os.listdir("/dev/shm"))
    block = SharedMemory(create=True, size=100)
    assert (block.size, len(block.buf), block.buf.readonly) == (100, 100, False)
    other = sent(block)
    other.buf[:5] = b"hello"
    assert bytes(block.buf[:6]) == b"hello\0"
    assert repr(other) == repr(block) == "<SharedMemory without a name, 100 bytes>"
    assert set(os.listdir("/dev/shm")) == before
    block.close()
    assert bytes(sent(other).buf[:5]) == b"hello"
    other.close()
    block.unlink()


def test_its_name_is_made_when_it_is_asked_for() -> None:
    """The same in every process that has the block."""
    block = SharedMemory(create=True, size=100)
    other = sent(block)
    name = other.name
    assert there(name)
    assert name in _register_linux.register().names()
    assert block.name == name
    attached = SharedMemory(name)
    attached.buf[:2] = b"hi"
    assert bytes(block.buf[:2]) == b"hi"
    assert repr(block) == f"<SharedMemory {name!r}, 100 bytes>"
    block.unlink()
    assert not there(name)
    with pytest.raises(FileNotFoundError):
        other.unlink()
    assert name not in _register_linux.register().names()
    for each in (block, other, attached):
        each.close()


def test_a_name_that_was_taken_away_stays_away() -> None:
    block = SharedMemory(create=True, size=100)
    other, third = sent(block), sent(block)
    name = block.name
    block.unlink()
    assert other.name == name
    assert not there(name)
    third.unlink()


@pytest.mark.usefixtures("kind")
def test_a_named_block(name: str) -> None:
    block = SharedMemory(name, create=True, size=5000)
    assert block.name == name
    assert there(name)
    with pytest.raises(FileExistsError, match=name):
        SharedMemory(name, create=True, size=10)
    assert [n for n in os.listdir("/dev/shm") if n.startswith("mp-new")] == []
    other = SharedMemory(name, size=7)  # of which the manual says: is ignored
    assert other.size == 5000
    other.buf[4999] = 7
    assert block.buf[4999] == 7
    other.close()
    block.unlink()
    assert not there(name)
    with pytest.raises(FileNotFoundError, match=name):
        block.unlink()
    with pytest.raises(FileNotFoundError, match=name):
        SharedMemory(name)
    assert block.buf[4999] == 7
    block.close()
    assert _register_linux.register().names() == []


@pytest.mark.usefixtures("kind")
def test_without_a_tracker(name: str) -> None:
    block = SharedMemory(name, create=True, size=10, track=False)
    assert _register_linux.register().names() == []
    with pytest.raises(FileExistsError):
        SharedMemory(name, create=True, size=10, track=False)
    block.close()
    attached = SharedMemory(name, track=True)
    assert _register_linux.register().names() == []
    attached.unlink()
    attached.close()
    assert not there(name)


def test_a_system_without_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block has a name from the beginning there."""
    monkeypatch.setattr(_files_linux, "create_nameless", lambda size: None)
    block = SharedMemory(create=True, size=100)
    assert there(block.name)
    other = sent(block)
    other.buf[0] = 5
    assert block.buf[0] == 5
    block.close()
    other.close()
    other.unlink()
    assert not there(block.name)


def test_a_file_gets_its_name_without_linkat(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As on kernels before 6.10, for who is not root."""
    monkeypatch.setattr(_files_linux, "_linkat", None)
    block = SharedMemory(name, create=True, size=10)
    with pytest.raises(FileExistsError, match=name):
        SharedMemory(name, create=True, size=10)
    block.close()
    block.unlink()


def test_who_unlinks_leaves_the_block_of_another_alone(name: str) -> None:
    """Which has come to the same name."""
    first = SharedMemory(name, create=True, size=10)
    os.unlink(f"/dev/shm/{name}")
    second = SharedMemory(name, create=True, size=10)
    with pytest.raises(FileNotFoundError):
        first.unlink()
    assert there(name)
    second.unlink()
    for each in (first, second):
        each.close()


def test_a_block_that_was_replaced_is_not_received(name: str) -> None:
    first = SharedMemory(name, create=True, size=10)
    ours, theirs = Pipe()
    ours.send(first)
    first.unlink()
    second = SharedMemory(name, create=True, size=10)
    with pytest.raises(FileNotFoundError, match="is gone"):
        theirs.recv()
    second.unlink()
    for each in (ours, theirs, first, second):
        each.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((None, True, 0), ValueError),
        ((None, True, -1), ValueError),
        ((None, True), ValueError),
        ((None, False), ValueError),
        ((None, True, 1.5), TypeError),
        ((None, True, 2**62), OSError),
        ((None, True, 2**70), OverflowError),
        (("mp-test-huge", True, 2**62), OSError),
        (("mp-test-none",), FileNotFoundError),
        (("mp-test-none", False, -1), ValueError),
        (("a/b", True, 10), OSError),
        (("a/b",), OSError),
        (("", True, 10), OSError),
        (("",), OSError),
        ((".", True, 10), OSError),
        (("..",), OSError),
        (("a\0b", True, 10), ValueError),
        (("x" * 300, True, 10), OSError),
        (("x" * 300,), OSError),
        ((5, True, 10), TypeError),
    ],
    ids=repr,
)
def test_wrong_arguments(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    before = set(os.listdir("/dev/shm"))
    with pytest.raises(error):
        SharedMemory(*arguments)
    assert set(os.listdir("/dev/shm")) == before
    assert _register_linux.register().names() == []


def test_a_leading_slash_does_not_count(name: str) -> None:
    """As in shm_open."""
    block = SharedMemory(f"/{name}", create=True, size=10)
    assert block.name == f"/{name}"
    assert there(name)
    SharedMemory(name).close()
    block.close()
    block.unlink()
    assert _register_linux.register().names() == []


def test_closing(name: str) -> None:
    block = SharedMemory(name, create=True, size=10)
    block.close()
    block.close()
    with pytest.raises(ValueError, match="closed"):
        block.buf  # noqa: B018
    assert (block.name, block.size) == (name, 10)
    other = sent(block)  # by its name
    other.close()
    block.unlink()
    nameless = SharedMemory(create=True, size=10)
    nameless.close()
    with pytest.raises(ValueError, match="closed"):
        sent(nameless)


def mapped() -> set[str]:
    """Mappings of shared memory, as the kernel shows them."""
    with open("/proc/self/maps") as maps:
        return {line for line in maps if "/dev/shm" in line}


def test_views_outlive_the_block() -> None:
    """The memory stays mapped for them, and is unmapped with the last."""
    # What other tests have left in reference cycles goes before, and not meanwhile.
    gc.collect()
    before = mapped()
    block = SharedMemory(create=True, size=100)
    view = block.buf[10:20]
    numbers = block.buf.cast("I")
    block.close()
    view[0] = 7
    numbers[0] = 2**32 - 1
    assert (view[0], numbers[0]) == (7, 2**32 - 1)
    assert len(mapped() - before) == 1
    del view, numbers
    assert mapped() == before


def test_it_is_closed_with_the_object() -> None:
    before = os.listdir("/proc/self/fd")
    block = SharedMemory(create=True, size=100)
    block.buf[0] = 1
    del block
    assert os.listdir("/proc/self/fd") == before


def test_plain_pickles(name: str) -> None:
    """By the name, which a block without one gets."""
    block = SharedMemory(name, create=True, size=10)
    copy = pickle.loads(pickle.dumps(block))
    copy.buf[0] = 5
    assert (block.buf[0], copy.name) == (5, name)
    nameless = SharedMemory(create=True, size=10)
    again = pickle.loads(pickle.dumps(nameless))
    assert again.name == nameless.name
    nameless.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickle.dumps(nameless))
    block.unlink()
    for each in (block, copy, nameless, again):
        each.close()


def test_there_is_no_room(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A named block cannot be made; one without a name can, but it gets none."""

    class Full:
        f_blocks, f_bavail, f_frsize = 10, 1, 4096

    monkeypatch.setattr(os, "fstatvfs", lambda fd: Full)
    with pytest.raises(OSError, match="more than /dev/shm has room for") as caught:
        SharedMemory(name, create=True, size=5000)
    assert caught.value.errno == errno.ENOSPC
    assert not there(name)
    block = SharedMemory(create=True, size=5000)
    sent(block).buf[0] = 7
    assert block.buf[0] == 7
    with pytest.raises(OSError, match="cannot get a name") as caught:
        block.name  # noqa: B018
    assert _register_linux.register().names() == []
    block.close()


def test_there_is_no_dev_shm(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Blocks without a name do without it; others say so."""
    monkeypatch.setattr(_files_linux, "DIRECTORY", "/nowhere/at/all")
    block = SharedMemory(create=True, size=5000)
    sent(block).buf[0] = 7
    assert block.buf[0] == 7
    block.close()
    with pytest.raises(OSError, match="there is no /nowhere/at/all") as caught:
        SharedMemory(name, create=True, size=10)
    assert caught.value.errno == errno.ENOSYS
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_a_handler_that_raises_when_the_name_is_there_leaves_none(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def interrupted(fd: int, path: str) -> None:
        give_name(fd, path)
        raise KeyboardInterrupt

    give_name = _files_linux.give_name
    monkeypatch.setattr(_files_linux, "give_name", interrupted)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(KeyboardInterrupt):
        SharedMemory(name, create=True, size=10)
    assert not there(name)
    assert _register_linux.register().names() == []
    assert os.listdir("/proc/self/fd") == before


def test_too_many_descriptors_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no reason to do without a name."""

    def refuse(*args: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        _blocks_linux.create(None, "mp-x", 10, True)


def test_a_received_block_that_is_too_short_is_refused() -> None:
    """Or touching what is missing would kill the process."""
    from mp_connection.handles import ReceivedHandle
    from mp_sharedctypes._shared_memory import _receive

    fd = _files_linux.create_nameless(10)
    assert fd is not None
    with pytest.raises(ValueError, match="shorter than it says"):
        _receive(ReceivedHandle(fd), "mp-x", 11, True)


def test_children_share_it(start_method: StartMethod, name: str) -> None:
    for block in (
        SharedMemory(create=True, size=100),
        SharedMemory(name, create=True, size=100),
    ):
        ours, theirs = Pipe()
        process = get_context(start_method).Process(
            target=targets.write_block, args=(block, theirs)
        )
        process.start()
        assert ours.poll(targets.SECONDS)
        assert ours.recv() == (b"child\0\0\0", 100, repr(block))
        process.join()
        assert bytes(block.buf[:5]) == b"child"
        block.unlink()
        for each in (ours, theirs, block):
            each.close()


def test_a_child_may_leave_a_block_to_its_parent(
    start_method: StartMethod, name: str
) -> None:
    """The name lives as long as one of the family."""
    process = get_context(start_method).Process(
        target=targets.create_named, args=(name,)
    )
    process.start()
    process.join()
    block = SharedMemory(name)
    assert bytes(block.buf[:4]) == b"left"
    block.unlink()
    block.close()


def test_numbers_share_the_memory() -> None:
    block = SharedMemory(create=True, size=80)
    numbers = block.buf.cast("d")
    numbers[:] = array.array("d", range(10))
    with memoryview(sent(block).buf) as same:
        assert same.cast("d").tolist() == list(range(10))
    numbers.release()
    block.close()
