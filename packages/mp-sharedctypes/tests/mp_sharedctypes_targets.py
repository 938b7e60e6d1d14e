"""What the children of the tests run."""

from __future__ import annotations

import ctypes
import os
from typing import Any, TypeAlias

from mp_connection import Connection

Report: TypeAlias = Connection[Any, Any]

SECONDS = 30.0  # longer than anything takes


class Point(ctypes.Structure):
    """The manual's."""

    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]

    def sum(self) -> float:
        """A method of the object."""
        total: float = self.x + self.y
        return total


class Number(ctypes.Union):
    """Either of two."""

    _fields_ = [("whole", ctypes.c_int64), ("real", ctypes.c_double)]


class Wide(ctypes.Structure):
    """Whose alignment is that of the widest type."""

    _fields_ = [("tag", ctypes.c_char), ("number", ctypes.c_longdouble)]


class Swapped(ctypes.BigEndianStructure):
    """Of another byte order."""

    _fields_ = [("number", ctypes.c_int)]


def first_example(number: Any, array: Any) -> None:
    """The manual's, under "Sharing state between processes"."""
    number.value = 3.1415927
    for i in range(len(array)):
        array[i] = -array[i]


def second_example(n: Any, x: Any, s: Any, A: Any) -> None:
    """The manual's, under "The multiprocessing.sharedctypes module"."""
    n.value **= 2
    x.value **= 2
    s.value = s.value.upper()
    for a in A:
        a.x **= 2
        a.y **= 2


def add_up(value: Any, times: int) -> None:
    """Add to a value in each way that is safe."""
    for _ in range(times):
        with value.get_lock():
            value.value += 1
        value.add(1)
        value.update(lambda number: number + 1)


def swap_ends(array: Any, report: Report) -> None:
    """Say what is there, and turn it around."""
    report.send(array[:])
    array[:] = array[::-1]


def keep_value(value: Any, report: Report) -> None:
    """Write to a value after its maker has let go of it, and read it back later."""
    report.recv()
    value.value = 42
    report.send("written")
    report.recv()
    report.send(value.value)


def hold_and_die(value: Any, report: Report) -> None:
    """Be killed within the lock."""
    value.acquire()
    value.value = 13
    report.send(os.getpid())
    os.kill(os.getpid(), 9)


def set_for_ever(value: Any, report: Report) -> None:
    """Write until killed."""
    report.send("here")
    while True:
        value.value = 1


def put_into_view(array: Any) -> None:
    """Write through the buffer."""
    with memoryview(array) as view:
        view.cast("B")[:8] = b"\1" * 8


def write_block(block: Any, report: Report) -> None:
    """Write to a block, and say how it looks here."""
    block.buf[:5] = b"child"
    report.send((bytes(block.buf[:8]), block.size, repr(block)))
    block.close()


def create_named(name: str) -> None:
    """Create a block that outlives this process."""
    from mp_sharedctypes.shared_memory import SharedMemory

    block = SharedMemory(name, create=True, size=100)
    block.buf[:4] = b"left"
    block.close()


def change_list(shared: Any) -> None:
    """Set the first item."""
    shared[0] = "changed"
    shared.shm.close()
