"""What needs a layer that is not installed says which; all else works without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAD = """\
import sys
sys.path[:] = {path!r}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {layer!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import mp_multiprocessing as mp
"""

USES = [
    ("mp_pool", "mp.Pool(2)", "Pool"),
    ("mp_pool", "mp.get_context('spawn').Pool(2)", "Pool"),
    ("mp_pool", "from mp_multiprocessing.pool import Pool", "mp_multiprocessing.pool"),
    ("mp_pool", "mp.dummy.Pool(2)", "dummy.Pool"),
    ("mp_managers", "mp.Manager()", "Manager"),
    ("mp_managers", "mp.managers.BaseManager", "mp_multiprocessing.managers"),
    ("mp_sharedctypes", "mp.Value('i')", "Value"),
    ("mp_sharedctypes", "mp.get_context('fork').Array('i', 2)", "Array"),
    (
        "mp_sharedctypes",
        "mp.shared_memory.SharedMemory",
        "mp_multiprocessing.shared_memory",
    ),
    ("mp_sharedctypes", "mp.sharedctypes.Value", "mp_multiprocessing.sharedctypes"),
]


@pytest.mark.parametrize(("layer", "use", "what"), USES)
def test_a_missing_layer_is_named(layer: str, use: str, what: str) -> None:
    program = HEAD.format(path=sys.path, layer=layer) + (
        "mp.Process; mp.Lock(); mp.get_context('fork').Event()\n"
        f"try:\n    {use}\n"
        "except ModuleNotFoundError as error:\n    print(error.name, error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    name = layer.replace("_", "-")
    assert run.stdout == (
        f"{layer} {what} needs {name}, which is not installed: pip install {name}\n"
    )
