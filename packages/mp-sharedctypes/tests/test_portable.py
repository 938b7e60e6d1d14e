"""The same without the extension: by the portable backend of mp_sync."""

from __future__ import annotations

import os
import subprocess
import sys

import mp_sharedctypes_targets as targets

assert sys.platform == "linux"

CODE = f"""
import sys; sys.path[:] = {sys.path!r}
import os, signal
import mp_sync
from mp_connection import Pipe
from mp_sharedctypes import Array, RawArray, Value
from mp_sharedctypes.shared_memory import SharedMemory
from mp_sharedctypes_targets import Point, add_up

def sent(obj):
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send(obj)
        return theirs.recv()

for code in "bBhHiIlLqQfd":
    value, array = Value(code, 5), Array(code, [1, 2, 3])
    sent(value).value += 2
    sent(array)[1:] = [7, 8]
    assert (value.add(1), value.update(lambda n: n * 2), array[:]) == (8, 16, [1, 7, 8])
text, point = Array("c", b"hello"), Value(Point, 1, 2, lock=mp_sync.Lock())
sent(text).value = b"bye"
sent(point).x = 9
assert (text.value, point.sum()) == (b"bye", 11)
total = Value("i")
for _ in range(2):
    if os.fork() == 0:
        add_up(total, 200)
        os._exit(0)
for _ in range(2):
    os.wait()
print(total.value)
if os.fork() == 0:
    total.acquire()
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
try:
    total.value
except mp_sync.OwnerDiedError:
    print(total.get_lock().recover(), total.value)
block = SharedMemory(create=True, size=10)
SharedMemory(block.name).buf[0] = 5
block.unlink()
print(block.buf[0])
"""


def test_values_arrays_and_blocks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "MP_SYNC_BACKEND": "portable"},
        capture_output=True,
        text=True,
        timeout=targets.SECONDS,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["1200", "True", "1200", "5"]
