"""joblib in drop-in mode: its default backend, loky, gives way to that of mp-pool.

Loky is made of private parts of the standard package.  joblib lets others register a
backend under any name; that is done as soon as its module is imported.
"""

from __future__ import annotations

from mp_connection.lifecycle import ImportWatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

__all__ = ("joblib",)


def _register(parallel: ModuleType) -> bool:
    register = getattr(parallel, "register_parallel_backend", None)
    if register is None:
        return False
    if "loky" in parallel.BACKENDS:  # not where the user wants no processes
        register("loky", _backend)
    return True


def _backend(**options: Any) -> Any:
    # Not imported before a parallel call: programs import joblib for other things too.
    from mp_multiprocessing._layers import Needed

    with Needed("mp-pool", "joblib"):
        from mp_pool.joblib_backend import make_backend

    return make_backend(**options)


joblib = ImportWatcher("joblib.parallel", _register)
