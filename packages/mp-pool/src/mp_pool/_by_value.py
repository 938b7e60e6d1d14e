"""What travels by value: with functions and classes of the main module, and lambdas."""

from __future__ import annotations

import sys
from io import BytesIO
from pickle import loads

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
    from collections.abc import Callable, Sequence
    from pickle import PickleBuffer
    from typing import Any, TypeVar

    from typing_extensions import Buffer

    from mp_pool._buffers import Buffers

    T = TypeVar("T")

_PROTOCOL = 5


class _Pickler(Pickler):  # type: ignore[misc,unused-ignore]
    """Cloudpickle's, which leaves buffers of protocol 5 to *found*.

    Args:
        file: where to write.
        found: where buffers are added.
        buffers: takes care of large ones; None for nobody.
    """

    def __init__(
        self, file: BytesIO, found: list[PickleBuffer], buffers: Buffers | None
    ) -> None:
        numpy = sys.modules.get("numpy")
        if buffers is not None and numpy is not None:
            # Before the base class looks for it: an attribute of its class hides the
            # place where the C pickler would see a later one.
            self.dispatch_table = {
                **Pickler.dispatch_table,
                numpy.ndarray: _reducer(buffers, None),
                numpy.memmap: _reducer(buffers, numpy.ndarray),
            }
        super().__init__(file, _PROTOCOL, found.append)


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
        found: list[PickleBuffer] = []
        file = BytesIO()
        buffers = self._buffers
        _Pickler(file, found, buffers).dump(self._obj)
        if buffers is None:
            return _load, (file.getvalue(), found)
        return _load, (file.getvalue(), [buffers.transported(each) for each in found])


def _reducer(buffers: Buffers, kind: type | None) -> Callable[[Any], Any]:
    """How arrays are pickled; *kind* is that of the view which is, if of another."""

    def reduce(array: Any) -> Any:
        plain = array if kind is None else array.view(kind)
        return buffers.contiguous(plain).__reduce_ex__(_PROTOCOL)

    return reduce


def _load(data: bytes, buffers: Sequence[Buffer]) -> Any:
    return loads(data, buffers=buffers)
