"""Programs of others, unmodified, in drop-in mode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

assert sys.platform == "linux"

#: An interpreter finds with it what this one does.
ENVIRON = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

#: In front of each: whose package it is, and that nothing of the standard one came in.
HEAD = """\
import multiprocessing, os, signal, sys, time

def is_ours():
    standard = [
        name for name, module in list(sys.modules.items())
        if "/multiprocessing/" in (getattr(module, "__file__", None) or "")
        and "mp_multiprocessing" not in module.__file__
    ]
    return multiprocessing.__name__ == "mp_multiprocessing" and not standard

"""

JOBLIB = """\
import numpy
from joblib import Parallel, delayed

def work(i):
    return i * i, os.getpid(), is_ours()

if __name__ == "__main__":
    with Parallel(n_jobs=2, backend="multiprocessing") as parallel:
        found = parallel(delayed(work)(i) for i in range(50))
        print([n for n, _, _ in found] == [i * i for i in range(50)])
        pids = {pid for _, pid, _ in found}
        print(os.getpid() not in pids, all(ok for *_, ok in found))
        array = numpy.arange(300_000.0)  # big enough to be mapped from a file
        sums = parallel(delayed(numpy.sum)(array * i) for i in range(3))
        print([float(total) for total in sums] == [array.sum() * i for i in range(3)])
        try:
            parallel(delayed(int)(text) for text in ("1", "x"))
        except ValueError as error:
            print(error)
    print(is_ours())
"""

#: By loky, if nothing is said; without a guard, and with functions that are its own.
JOBLIB_DEFAULT = """\
import numpy
from joblib import Parallel, delayed, parallel, parallel_config

class Number:
    def __init__(self, value):
        self.value = value

def work(number):
    return Number(number.value ** 2), os.getpid()

found = Parallel(n_jobs=2)(delayed(work)(Number(i)) for i in range(50))
print([n.value for n, _ in found] == [i * i for i in range(50)])
print(os.getpid() not in {pid for _, pid in found})
with parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
    array = numpy.arange(300_000.0)
    found = Parallel()(delayed(lambda i: (array * i).sum())(i) for i in range(3))
    print([float(total) for total in found] == [array.sum() * i for i in range(3)])
    try:
        Parallel()(delayed(os._exit)(3) for _ in "ab")
    except parallel.loky.process_executor.TerminatedWorkerError as error:
        print("exit code 3" in str(error))
print(type(parallel.__spec__.loader).__name__, is_ours())
"""

DILL = """\
import dill

if __name__ == "__main__":
    print(dill.loads(dill.dumps(lambda x: x + 1))(1))
    print(is_ours())
"""

DASK = """\
from distributed import Client, LocalCluster

def work(i):
    return i * i, os.getpid(), is_ours()

if __name__ == "__main__":
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        found = client.gather(client.map(work, range(20)))
    print([n for n, _, _ in found] == [i * i for i in range(20)])
    print(os.getpid() not in {pid for _, pid, _ in found})
    print(all(ok for *_, ok in found), is_ours())
"""

COVERED = """\
import multiprocessing, sys

def work(i):
    if i:
        return i
    return 0

if __name__ == "__main__":
    process = multiprocessing.Process(target=work, args=(1,))
    process.start()
    process.join()
    with multiprocessing.Pool(1) as pool:
        pool.map(work, [0])
        pool.close()
        pool.join()
    print(multiprocessing.__name__)
"""

PEBBLE = """\
from concurrent.futures import TimeoutError
from pebble import ProcessExpired, ProcessPool, concurrent

def work(i):
    if i == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if i == 4:
        time.sleep(1000)
    return i * i

@concurrent.process(timeout=30)
def alone(x):
    return x + 1, is_ours()

if __name__ == "__main__":
    with ProcessPool(max_workers=2) as pool:
        limits = [50, 50, 50, 50, 0.3, 50]
        tasks = [pool.schedule(work, args=[i], timeout=limits[i]) for i in range(6)]
        for i, task in enumerate(tasks):
            try:
                print(i, task.result())
            except ProcessExpired as error:
                print(i, "expired", error.exitcode)
            except TimeoutError:
                print(i, "out of time")
    print(alone(3).result(), is_ours())
"""

TQDM = """\
from tqdm.contrib.concurrent import process_map

def work(i):
    return i * i, is_ours()

if __name__ == "__main__":
    found = process_map(work, range(20), max_workers=2, chunksize=3, ascii=True)
    print([n for n, _ in found] == [i * i for i in range(20)])
    print(all(ok for _, ok in found), is_ours())
"""

EXECUTOR = """\
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

def work(i):
    return i * i, multiprocessing.current_process().name, is_ours()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    context = multiprocessing.get_context()
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        number, name, ok = executor.submit(work, 5).result(30)
        print(number, "MainProcess" not in name, ok)
        found = list(executor.map(work, range(100), chunksize=7, timeout=30))
        print([n for n, _, _ in found] == [i * i for i in range(100)])
        unpicklable = executor.submit(work, lambda: None)
        print(isinstance(unpicklable.exception(30), Exception))
        print(executor.submit(work, 6).result(30)[0])
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        try:
            executor.submit(die).result(30)
        except BrokenProcessPool:
            print("broken")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        waiting = [executor.submit(time.sleep, 0.01) for _ in range(20)]
        executor.shutdown(cancel_futures=True)
        print(all(task.done() for task in waiting))
    print(is_ours())
"""

NUMPY = """\
import numpy

def double(array):
    return array * 2

def serve(wanted, given):
    while (array := wanted.get()) is not None:
        given.put(double(array))

if __name__ == "__main__":
    array = numpy.arange(1_000_000.0).reshape(1000, 1000)
    wanted, given = multiprocessing.Queue(), multiprocessing.Queue()
    process = multiprocessing.Process(target=serve, args=(wanted, given))
    process.start()
    for _ in range(3):
        wanted.put(array)
    print([bool((given.get(timeout=30) == 2 * array).all()) for _ in range(3)])
    wanted.put(None)
    process.join()
    with multiprocessing.Pool(2) as pool:
        parts = pool.map(double, numpy.array_split(array, 4))
        print(bool((numpy.concatenate(parts) == 2 * array).all()))
    shared = multiprocessing.Array("d", 10)
    numpy.frombuffer(shared.get_obj())[:] = 7
    print(shared[:] == [7.0] * 10, is_ours())
"""

KILLED = """\
def work(i):
    if i == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return i * i

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        try:
            pool.map(work, range(10), chunksize=1)
        except multiprocessing.ProcessError as error:
            print(type(error).__name__)
        print(pool.map(work, [9])[0], is_ours())
"""

NOT_DROPPED_IN = """\
import sys
from concurrent.futures import ProcessPoolExecutor
import mp_multiprocessing as mp

if __name__ == "__main__":
    try:
        ProcessPoolExecutor(1, mp_context=mp.get_context(sys.argv[1]))
    except RuntimeError as error:
        print(error)
"""

FLAKE8 = """\
import runpy

if __name__ == "__main__":
    sys.argv[:] = ["flake8", "-j", "2", "--isolated", "--select", "F401", *sys.argv[1:]]
    try:
        runpy.run_module("flake8", run_name="__main__")
    except SystemExit as end:
        print("found", bool(end.code), is_ours())
"""


def run(program: str, method: str, tmp_path: Path, *arguments: str | Path) -> str:
    file = tmp_path / "program.py"
    file.write_text(HEAD + program)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mp_multiprocessing"),
            *("--start-method", method, file, *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        cwd=tmp_path,
        env={
            **ENVIRON,
            "TMPDIR": str(tmp_path),
            "JOBLIB_TEMP_FOLDER": str(tmp_path),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_joblib(tmp_path: Path) -> None:
    assert run(JOBLIB, "fork", tmp_path) == (
        "True\nTrue True\nTrue\ninvalid literal for int() with base 10: 'x'\nTrue\n"
    )


def test_joblib_by_default(tmp_path: Path) -> None:
    """Its own backend is made of the standard package: ours is in its place."""
    assert run(JOBLIB_DEFAULT, "fork", tmp_path) == (
        "True\nTrue\nTrue\nTrue\nSourceFileLoader True\n"
    )


def test_dill(tmp_path: Path) -> None:
    """Which others import for functions that are not importable."""
    assert run(DILL, "fork", tmp_path) == "2\nTrue\n"


def test_dask(tmp_path: Path) -> None:
    assert run(DASK, "fork", tmp_path) == "True\nTrue\nTrue True\n"


def test_coverage_of_children(start_method: str, tmp_path: Path) -> None:
    """It puts its own around the life of a child, whose lines are counted."""
    (tmp_path / "program.py").write_text(COVERED)
    (tmp_path / ".coveragerc").write_text(
        "[run]\nconcurrency = multiprocessing\nparallel = true\ninclude = program.py\n"
    )
    ours = ("-m", "mp_multiprocessing", "--start-method", start_method, "-m")
    out = ""
    for arguments in (
        (*ours, "coverage", "run", "program.py"),
        ("-m", "coverage", "combine", "--quiet"),
        ("-m", "coverage", "report"),
    ):
        out += subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
            cwd=tmp_path,
            env=ENVIRON,
        ).stdout
    lines = out.splitlines()
    assert lines[0] == "mp_multiprocessing"
    assert lines[-1].split() == ["TOTAL", "14", "0", "100%"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pebble(method: str, tmp_path: Path) -> None:
    assert run(PEBBLE, method, tmp_path) == (
        "0 0\n1 1\n2 4\n3 expired -9\n4 out of time\n5 25\n(4, True) True\n"
    )


def test_process_map_of_tqdm(tmp_path: Path) -> None:
    assert run(TQDM, "forkserver", tmp_path) == "True\nTrue True\n"


def test_executors_of_concurrent_futures(start_method: str, tmp_path: Path) -> None:
    assert run(EXECUTOR, start_method, tmp_path) == (
        "25 True True\nTrue\nTrue\n36\nbroken\nTrue\nTrue\n"
    )


def test_arrays_of_numpy(tmp_path: Path) -> None:
    assert run(NUMPY, "spawn", tmp_path) == "[True, True, True]\nTrue\nTrue True\n"


def test_a_killed_worker_is_an_error_where_the_standard_package_hangs(
    tmp_path: Path,
) -> None:
    assert run(KILLED, "fork", tmp_path) == "WorkerDiedError\n81 True\n"


def test_without_drop_in_mode_an_executor_says_what_to_do(
    start_method: str, tmp_path: Path
) -> None:
    file = tmp_path / "program.py"
    file.write_text(NOT_DROPPED_IN)
    done = subprocess.run(
        [sys.executable, file, start_method],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
        env=ENVIRON,
    )
    assert done.stdout == (
        "ProcessPoolExecutor works with this context in drop-in mode only: call"
        " mp_multiprocessing.install() first in the program, or use mp_pool.Executor\n"
    )


def test_flake8(tmp_path: Path) -> None:
    files = [tmp_path / f"module{i}.py" for i in range(8)]
    for file in files:
        file.write_text("import os\n")
    out = run(FLAKE8, "fork", tmp_path, *files).splitlines()
    assert len(out) == 9
    assert all("F401" in line for line in out[:8])
    assert out[8] == "found True True"
