"""What travels by value: with functions and classes of the main module, and lambdas."""

from __future__ import annotations

import sys
from io import BytesIO

from mp_connection.lean import PickleBuffer, loads

try:
    from cloudpickle import Pickler  # type: ignore[import-untyped,import-not-found,unused-ignore]
except ModuleNotFoundError as error:
    if error.name != "cloudpickle":
        raise
    try:  # joblib had a copy of its own, up to 1.5
        from joblib.externals.cloudpickle import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
            Pickler,
        )
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "joblib on this backend needs cloudpickle, which is not installed:"
            ' pip install "mp-pool[joblib]"',
            name="cloudpickle",
        ) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar

    from typing_extensions import Buffer

    from mp_pool._buffers import Buffers

    T = TypeVar("T")

_PROTOCOL = 5


class _Pickler(Pickler):  # type: ignore[misc,unused-ignore]
    """Cloudpickle's, which leaves buffers of protocol 5 to whoever calls it.

    Args:
        file: where to write.
        buffers: takes care of large ones; None for nobody.

    Attributes:
        found: the buffers.
        arrays: of which arrays they are, by their identities.
    """

    def __init__(self, file: BytesIO, buffers: Buffers | None) -> None:
        self.found: list[PickleBuffer] = []
        self.arrays: dict[int, Any] = {}
        self._buffers = buffers
        self._numpy = numpy = sys.modules.get("numpy")
        if buffers is not None and numpy is not None:
            # Before the base class looks for it: an attribute of its class hides the
            # place where the C pickler would see a later one.
            self.dispatch_table = {
                **Pickler.dispatch_table,
                numpy.ndarray: self._reduce_array,
                numpy.memmap: self._reduce_array,
            }
        super().__init__(file, _PROTOCOL, self.found.append)

    def _reduce_array(self, array: Any) -> Any:
        assert self._buffers is not None
        assert self._numpy is not None
        plain = self._buffers.contiguous(array).view(self._numpy.ndarray)
        reduced = plain.__reduce_ex__(_PROTOCOL)
        first = reduced[1][0]
        if isinstance(first, PickleBuffer):
            self.arrays[id(first)] = array
        return reduced


def by_value(obj: T, buffers: Buffers | None = None) -> T:
    """What arrives as *obj*, though not all of it can be imported there.

    Args:
        obj: the object.
        buffers: takes care of large buffers; None has them travel along.
    """
    return _ByValue(obj, buffers)  # type: ignore[return-value]


class _ByValue:
    """Stands for an object until it is pickled."""

    __slots__ = ("_buffers", "_obj")

    def __init__(self, obj: object, buffers: Buffers | None) -> None:
        self._obj = obj
        self._buffers = buffers

    def __reduce__(self) -> tuple[object, ...]:
        file = BytesIO()
        buffers = self._buffers
        pickler = _Pickler(file, buffers)
        pickler.dump(self._obj)
        found: Sequence[object] = pickler.found
        if buffers is not None:
            found = [
                buffers.transported(each, pickler.arrays.get(id(each)))
                for each in pickler.found
            ]
        return _load, (file.getvalue(), found)


def _load(data: bytes, buffers: Sequence[Buffer]) -> Any:
    return loads(data, buffers=buffers)
