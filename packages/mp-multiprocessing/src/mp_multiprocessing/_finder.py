"""What drop-in mode finds: our modules under the names of the standard package's."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType
else:
    Loader = object  # its import would take as long as that of a layer

__all__ = ("Finder",)


class Finder(Loader):
    """Finds the modules of this package under the names of the standard one.

    Args:
        standard: the name of the standard package.
        ours: the name of this one.
    """

    def __init__(self, standard: str, ours: str) -> None:
        self._standard = standard
        self._ours = ours

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The spec of a module of the standard package; None for any other's."""
        ours = self._our_name(fullname)
        if ours is None:
            return None
        # Nobody else may be asked: they would find a file of ours, and make a second
        # module of it.
        try:
            known = importlib.util.find_spec(ours)
        except ModuleNotFoundError:  # its parent is no package
            known = None
        if known is None or ours.rpartition(".")[2].startswith("_"):
            reason = f"{self._standard} is {self._ours} here"
            text = f"No module named {fullname!r}: {reason}"
            raise ModuleNotFoundError(text, name=fullname)
        return ModuleSpec(fullname, self, origin=known.origin, is_package=False)

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the import system, which gets another module afterwards."""

    def exec_module(self, module: ModuleType) -> None:
        """Put our module in the place of the one that was made for it."""
        ours = self._our_name(module.__name__)
        assert ours is not None
        sys.modules[module.__name__] = importlib.import_module(ours)

    def _our_name(self, fullname: str) -> str | None:
        package, dot, rest = fullname.partition(".")
        return f"{self._ours}{dot}{rest}" if package == self._standard else None
