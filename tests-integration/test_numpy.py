"""Arrays of numpy over shared memory, with no copy in between."""

from __future__ import annotations

import subprocess
import sys

CODE = f"""
import sys; sys.path[:] = {sys.path!r}
import ctypes
import numpy
import mp_multiprocessing as mp
from mp_multiprocessing.shared_memory import SharedMemory

class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("n", ctypes.c_int)]

def double(what):
    array = numpy.frombuffer(what.buf if hasattr(what, "buf") else what)
    array *= 2

if __name__ == "__main__":
    for code in "bBhHiIlLqQfd":
        values = mp.Array(code, [1, 2, 3])
        array = numpy.frombuffer(values, dtype=numpy.asarray(values).dtype)
        array += 1
        values[1:] = array[:2]  # a slice from a buffer of the same numbers
        assert values[:] == [2, 2, 3], code
        assert numpy.asarray(mp.RawArray(code, array)).tolist() == [2, 2, 3], code
    points = mp.Array(Point, [(1, 2), (3, 4)])
    array = numpy.frombuffer(points, dtype=numpy.dtype(Point))
    array["x"] += 1
    assert (points[1].x, array["n"].sum()) == (4, 6)
    values, raw = mp.Array("d", [1, 2, 3]), mp.RawArray("d", [1, 2, 3])
    block = SharedMemory(create=True, size=24)
    view = numpy.frombuffer(block.buf)
    view[:] = [1, 2, 3]
    for what in values, raw, block:
        process = mp.get_context("fork").Process(target=double, args=(what,))
        process.start()
        process.join()
    print(values[:], list(raw), view.tolist())
    block.close()  # the array keeps the memory
    print(view.sum())
"""


def test_numpy_shares_the_memory_of_values_arrays_and_blocks() -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=CODE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    doubled = "[2.0, 4.0, 6.0]"
    assert done.stdout.splitlines() == [f"{doubled} {doubled} {doubled}", "12.0"]
