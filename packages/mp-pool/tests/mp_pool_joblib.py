"""A program without a main guard that uses joblib on this project's backend."""

import os

import joblib  # type: ignore[import-untyped]

import mp_pool.joblib_backend

mp_pool.joblib_backend.register()


class Point:
    """Travels by value, as the main module is not imported elsewhere."""

    def __init__(self, x: int) -> None:
        self.x = x


def moved(point: Point) -> Point:
    """Somewhere else."""
    assert os.getpid() != PID
    return Point(point.x + 1)


PID = os.getpid()
with joblib.parallel_config(backend="mp"):
    points = joblib.Parallel(n_jobs=2)(
        joblib.delayed(moved)(Point(i)) for i in range(3)
    )
print([type(point) is Point and point.x for point in points])
