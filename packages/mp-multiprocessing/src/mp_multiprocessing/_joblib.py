"""joblib in drop-in mode: its default backend, loky, gives way to that of mp-pool.

Loky is made of private parts of the standard package.  joblib lets others register a
backend under any name; that is done as soon as its module is imported.
"""

from __future__ import annotations

from importlib.machinery import ModuleSpec, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType
    from typing import Any
else:
    Loader = object  # its import would take as long as that of a layer

__all__ = ("MODULE", "find_joblib")

#: The module of joblib that has the table of backends.
MODULE = "joblib.parallel"


def find_joblib(path: Sequence[str] | None) -> ModuleSpec | None:
    """The spec of joblib's module, whose loader also registers the backend."""
    spec = PathFinder.find_spec(MODULE, path)
    if spec is not None and spec.loader is not None:
        spec.loader = _Loader(spec.loader)
    return spec


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Whoever looks is to see the loader that the module has by itself.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if "loky" in module.BACKENDS:  # not where the user wants no processes
            module.register_parallel_backend("loky", _backend)


def _backend(**options: Any) -> Any:
    # Not imported before a parallel call: programs import joblib for other things too.
    from mp_multiprocessing._layers import Needed

    with Needed("mp-pool", "joblib"):
        from mp_pool.joblib_backend import make_backend

    return make_backend(**options)
